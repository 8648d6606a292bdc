"""The queue's SQL: rows to values and back."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, and_, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.jobs.jobs import FINISHED, Job, LogLine, Status
from lading.jobs.tables import job_logs, jobs, schedules, workers


def _job(row: Row[Any]) -> Job:
    return Job(
        id=row.id,
        action=row.action,
        parameters=json.loads(row.parameters),
        status=Status(row.status),
        priority=row.priority,
        scheduled_at=row.scheduled_at,
        created_at=row.created_at,
        started_at=row.started_at,
        updated_at=row.updated_at,
        deadline=timedelta(seconds=row.deadline_seconds) if row.deadline_seconds else None,
        retries_left=row.retries_left,
        retries_total=row.retries_total,
        worker_id=row.worker_id or "",
        cancel_requested=bool(row.cancel_requested),
        progress_done=row.progress_done,
        progress_total=row.progress_total,
    )


async def add(unit: AsyncConnection, **values: object) -> None:
    await unit.execute(insert(jobs).values(**values))


async def find(connection: AsyncConnection, job_id: str) -> Job | None:
    row = (await connection.execute(select(jobs).where(jobs.c.id == job_id))).one_or_none()
    return None if row is None else _job(row)


async def find_waiting(connection: AsyncConnection, unique_key: str) -> Job | None:
    """The waiting job of that key."""
    wanted = select(jobs).where(jobs.c.status == Status.WAITING.value, jobs.c.unique_key == unique_key).limit(1)
    row = (await connection.execute(wanted)).one_or_none()
    return None if row is None else _job(row)


async def list_jobs(
    connection: AsyncConnection,
    *,
    action: str | None,
    worker: str | None,
    running: bool | None,
    start: int,
    limit: int,
) -> list[Job]:
    """Jobs, newest scheduled first."""
    wanted = select(jobs).order_by(jobs.c.scheduled_at.desc(), jobs.c.id).offset(start).limit(limit)
    if action is not None:
        wanted = wanted.where(jobs.c.action == action)
    if worker is not None:
        wanted = wanted.where(jobs.c.worker_id == worker)
    if running is not None:
        is_running = jobs.c.status == Status.RUNNING.value
        wanted = wanted.where(is_running if running else ~is_running)
    return [_job(row) for row in await connection.execute(wanted)]


async def claim(unit: AsyncConnection, actions: Sequence[str], *, worker: str, lease: str, now: datetime) -> Job | None:
    """The next job that may run, now this worker's under a fresh lease; None when there is none.

    PostgreSQL skips rows that others are claiming; on SQLite the transaction is the lock.
    """
    wanted = (
        select(jobs.c.id)
        .where(jobs.c.status == Status.WAITING.value, jobs.c.scheduled_at <= now, jobs.c.action.in_(actions))
        .order_by(jobs.c.priority.desc(), jobs.c.scheduled_at, jobs.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    job_id = await unit.scalar(wanted)
    if job_id is None:
        return None
    await unit.execute(
        update(jobs)
        .where(jobs.c.id == job_id)
        .values(
            status=Status.RUNNING.value,
            worker_id=worker,
            lease=lease,
            heartbeat_at=now,
            started_at=now,
            updated_at=now,
            cancel_requested=False,
            progress_done=0,
            progress_total=0,
        )
    )
    return await find(unit, job_id)


async def beat(unit: AsyncConnection, job_id: str, lease: str, now: datetime) -> bool | None:
    """Whether cancelling was asked for; None when the lease was lost to another worker."""
    kept = await unit.execute(
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.lease == lease, jobs.c.status == Status.RUNNING.value)
        .values(heartbeat_at=now)
    )
    if not kept.rowcount:
        return None
    return bool(await unit.scalar(select(jobs.c.cancel_requested).where(jobs.c.id == job_id)))


async def settle(unit: AsyncConnection, job_id: str, mine: str, /, **values: object) -> bool:
    """Sets columns of a job whose lease is `mine` still; False when it is not."""
    kept = await unit.execute(update(jobs).where(jobs.c.id == job_id, jobs.c.lease == mine).values(**values))
    return bool(kept.rowcount)


async def give_back(unit: AsyncConnection, job_id: str, worker: str, now: datetime) -> None:
    """A job that the worker was running waits again."""
    await unit.execute(
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.worker_id == worker, jobs.c.status == Status.RUNNING.value)
        .values(status=Status.WAITING.value, lease=None, scheduled_at=now, updated_at=now)
    )


async def expired(connection: AsyncConnection, before: datetime) -> list[tuple[Job, str]]:
    """Running jobs whose worker was silent since `before`, with their leases."""
    wanted = select(jobs).where(jobs.c.status == Status.RUNNING.value, jobs.c.heartbeat_at < before)
    return [(_job(row), row.lease) for row in await connection.execute(wanted)]


async def request_cancel(unit: AsyncConnection, job_id: str, now: datetime) -> None:
    """A waiting job is cancelled; a running one's worker is asked to."""
    await unit.execute(
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.status == Status.WAITING.value)
        .values(status=Status.CANCELED.value, updated_at=now)
    )
    await unit.execute(
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.status == Status.RUNNING.value)
        .values(cancel_requested=True, updated_at=now)
    )


async def delete_job(unit: AsyncConnection, job_id: str) -> None:
    await unit.execute(delete(jobs).where(jobs.c.id == job_id))


async def delete_history(unit: AsyncConnection, *, before: datetime, keep: int) -> int:
    """Drops finished jobs older than `before`, and all but the newest `keep` of each action; how many."""
    finished = [status.value for status in FINISHED]
    ranked = (
        select(
            jobs.c.id,
            func.row_number().over(partition_by=jobs.c.action, order_by=jobs.c.updated_at.desc()).label("rank"),
        )
        .where(jobs.c.status.in_(finished))
        .subquery()
    )
    gone = await unit.execute(
        delete(jobs).where(
            jobs.c.status.in_(finished),
            or_(jobs.c.updated_at < before, jobs.c.id.in_(select(ranked.c.id).where(ranked.c.rank > keep))),
        )
    )
    return int(gone.rowcount)


# --- logs ------------------------------------------------------------------------------------------------------------


async def add_log(unit: AsyncConnection, job_id: str, lines: Sequence[str], now: datetime, *, limit: int) -> None:
    """Appends lines, as long as the log has fewer than `limit`."""
    count = int(await unit.scalar(select(func.count()).select_from(job_logs).where(job_logs.c.job_id == job_id)) or 0)
    rows = [
        {"job_id": job_id, "line": count + number, "at": now, "data": data}
        for number, data in enumerate(lines[: max(limit - count, 0)])
    ]
    if rows:
        await unit.execute(insert(job_logs), rows)


async def list_log(connection: AsyncConnection, job_id: str, *, start: int, limit: int) -> list[LogLine]:
    wanted = (
        select(job_logs.c.line, job_logs.c.at, job_logs.c.data)
        .where(job_logs.c.job_id == job_id, job_logs.c.line >= start)
        .order_by(job_logs.c.line)
        .limit(limit)
    )
    return [LogLine(*row) for row in await connection.execute(wanted)]


# --- schedules -------------------------------------------------------------------------------------------------------


async def put_schedule(unit: AsyncConnection, **values: object) -> None:
    """One schedule per action: a newer one replaces it."""
    upsert = sqlite.insert if unit.dialect.name == "sqlite" else postgresql.insert
    changes = {key: value for key, value in values.items() if key != "action"}
    await unit.execute(
        upsert(schedules).values(**values).on_conflict_do_update(index_elements=["action"], set_=changes)
    )


async def list_schedules(connection: AsyncConnection, *, due: datetime | None = None) -> Sequence[Any]:
    """All schedules, or those that are due, in order of their actions."""
    wanted = select(schedules).order_by(schedules.c.action)
    if due is not None:
        wanted = wanted.where(schedules.c.next_run_at <= due)
    return (await connection.execute(wanted)).all()


async def move_schedule(unit: AsyncConnection, action: str, *, expected: datetime, to: datetime) -> bool:
    """The schedule's next run is `to`; False when another worker was faster (compare and set)."""
    moved = await unit.execute(
        update(schedules)
        .where(and_(schedules.c.action == action, schedules.c.next_run_at == expected))
        .values(next_run_at=to)
    )
    return bool(moved.rowcount)


async def delete_schedule(unit: AsyncConnection, action: str) -> None:
    await unit.execute(delete(schedules).where(schedules.c.action == action))


# --- workers ---------------------------------------------------------------------------------------------------------


async def put_worker(unit: AsyncConnection, worker_id: str, *, status: str, capacity: str, now: datetime) -> None:
    upsert = sqlite.insert if unit.dialect.name == "sqlite" else postgresql.insert
    values = {"status": status, "heartbeat_at": now}
    await unit.execute(
        upsert(workers)
        .values(id=worker_id, capacity=capacity, **values)
        .on_conflict_do_update(index_elements=["id"], set_=values)
    )
