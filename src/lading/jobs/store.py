"""The SQL of jobs and their logs: rows to values and back."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, case, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.jobs.jobs import FINISHED, PRIORITY_LIMIT, Claim, Job, JobRequest, LogLine, Status
from lading.jobs.tables import IS_NEEDY, IS_RUNNING, IS_WAITING, WAITING_ROWS, job_logs, jobs

_MILLISECOND = timedelta(milliseconds=1)
LOG_LIMIT = 5000  # lines of a log; two more tell that it is full, and how the job ended
LINE_LIMIT = 4096  # characters of a line
_FULL = "the log is full: what follows is left out"
_OVERTAKEN = "a newer job of the same kind waits already, and does the work"


def to_milliseconds(length: timedelta | None) -> int | None:
    """How the tables keep a length of time; at least 1."""
    return None if length is None else max(length // _MILLISECOND, 1)


def to_length(milliseconds: int | None) -> timedelta | None:
    return None if milliseconds is None else milliseconds * _MILLISECOND


def _job(row: Row[Any]) -> Job:
    return Job(
        id=row.id,
        action=row.action,
        parameters=json.loads(row.parameters),
        status=Status(row.status),
        priority=-row.rank,
        scheduled_at=row.scheduled_at,
        created_at=row.created_at,
        started_at=row.started_at,
        updated_at=row.updated_at,
        deadline=to_length(row.deadline_ms),
        stop_timeout=to_length(row.stop_timeout_ms),
        retries_left=row.retries_left,
        retries_total=row.retries_total,
        losses=row.losses,
        worker_id=row.worker_id or "",
        cancel_requested=bool(row.cancel_requested),
        progress_done=row.progress_done,
        progress_total=row.progress_total,
        capacity=json.loads(row.capacity),
    )


async def add(
    unit: AsyncConnection, job_id: str, request: JobRequest, now: datetime, *, defaults: Mapping[str, str]
) -> bool:
    """The job waits, with the default parameters that the request does not give; False when one of the same key did already."""
    dialect = sqlite if unit.dialect.name == "sqlite" else postgresql
    added = await unit.execute(
        dialect.insert(jobs)
        .values(
            id=job_id,
            action=request.action,
            parameters=json.dumps({**defaults, **request.parameters}),
            status=Status.WAITING.value,
            rank=-request.priority,
            scheduled_at=request.scheduled_at or now,
            created_at=now,
            updated_at=now,
            deadline_ms=to_milliseconds(request.deadline),
            stop_timeout_ms=to_milliseconds(request.stop_timeout),
            retries_left=request.retries,
            retries_total=request.retries,
            unique_key=request.unique_key,
            capacity=json.dumps(dict(request.capacity), sort_keys=True),
        )
        .on_conflict_do_nothing(index_elements=["unique_key"], index_where=WAITING_ROWS)
    )
    return bool(added.rowcount)


async def find(connection: AsyncConnection, job_id: str) -> Job | None:
    row = (await connection.execute(select(jobs).where(jobs.c.id == job_id))).one_or_none()
    return None if row is None else _job(row)


async def find_waiting(connection: AsyncConnection, unique_key: str) -> str | None:
    """The id of the waiting job of that key."""
    found: str | None = await connection.scalar(select(jobs.c.id).where(IS_WAITING, jobs.c.unique_key == unique_key))
    return found


async def list_jobs(
    connection: AsyncConnection, *, action: str | None, worker: str | None, running: bool | None, start: int, limit: int
) -> list[Job]:
    """Jobs, newest scheduled first."""
    wanted = select(jobs).order_by(jobs.c.scheduled_at.desc(), jobs.c.id.desc()).offset(start).limit(limit)
    if action is not None:
        wanted = wanted.where(jobs.c.action == action)
    if worker is not None:
        wanted = wanted.where(jobs.c.worker_id == worker)
    if running is not None:
        wanted = wanted.where(IS_RUNNING if running else ~IS_RUNNING)
    return [_job(row) for row in await connection.execute(wanted)]


# --- claims ----------------------------------------------------------------------------------------------------------


_NOTHING = "{}"
_CAPACITIES = 1000


async def list_capacities(connection: AsyncConnection) -> Sequence[str]:
    """The capacities, JSON objects, that waiting jobs ask for besides one place of their action."""
    found = await connection.scalars(select(jobs.c.capacity).where(IS_NEEDY).distinct().limit(_CAPACITIES))
    return found.all()


def _due(actions: Iterable[str], capacities: Iterable[str], now: datetime) -> Select[str]:
    # Always true, and no index holds what is added to: so SQLite, too, walks ix_jobs_waiting, and does not sort all jobs.
    walked = jobs.c.rank >= -PRIORITY_LIMIT
    wanted = jobs.c.action.concat("").in_(sorted(actions))
    return (
        select(jobs.c.id)
        .where(IS_WAITING, walked, jobs.c.scheduled_at <= now, wanted, jobs.c.capacity.in_([_NOTHING, *capacities]))
        .order_by(jobs.c.rank, jobs.c.scheduled_at, jobs.c.id)
        .limit(1)
    )


async def is_due(
    connection: AsyncConnection, actions: Iterable[str], now: datetime, capacities: Iterable[str] = ()
) -> bool:
    """Whether `claim` would find one."""
    return await connection.scalar(_due(actions, capacities, now)) is not None


async def claim(
    unit: AsyncConnection,
    actions: Iterable[str],
    *,
    worker: str,
    lease: str,
    now: datetime,
    capacities: Iterable[str] = (),
) -> Job | None:
    """The next job that may run, now this worker's under a fresh lease; None when there is none.

    Those that ask for capacities only when they ask for one of `capacities`.

    PostgreSQL skips rows that others are claiming; on SQLite the transaction is the lock.
    """
    job_id = await unit.scalar(_due(actions, capacities, now).with_for_update(skip_locked=True))
    if job_id is None:
        return None
    values = {"status": Status.RUNNING.value, "worker_id": worker, "lease": lease, "heartbeat_at": now}
    again = {"started_at": now, "updated_at": now, "progress_done": 0, "progress_total": 0}
    claimed = update(jobs).where(jobs.c.id == job_id).values(**values, **again).returning(jobs)
    return _job((await unit.execute(claimed)).one())


async def beat(unit: AsyncConnection, leases: Sequence[str], now: datetime) -> None:
    """Those of the claims that still hold are alive at `now`."""
    await unit.execute(update(jobs).where(IS_RUNNING, jobs.c.lease.in_(leases)).values(heartbeat_at=now))


async def list_held(connection: AsyncConnection, leases: Sequence[str]) -> Mapping[str, bool]:
    """Those of the claims that still hold, and whether cancelling was asked for."""
    held = select(jobs.c.lease, jobs.c.cancel_requested).where(IS_RUNNING, jobs.c.lease.in_(leases))
    return {row.lease: bool(row.cancel_requested) for row in await connection.execute(held)}


def _held(claim: Claim) -> ColumnElement[bool]:
    return (jobs.c.id == claim.job.id) & (jobs.c.lease == claim.lease) & IS_RUNNING


async def put_progress(unit: AsyncConnection, claim: Claim, done: int, total: int) -> None:
    await unit.execute(update(jobs).where(_held(claim)).values(progress_done=done, progress_total=total))


async def _hold(unit: AsyncConnection, claim: Claim, *, silent_since: datetime | None = None) -> int | None:
    """The lines of the job's log, its row locked until the unit ends; None when the claim was lost."""
    wanted = select(jobs.c.log_lines).where(_held(claim)).with_for_update()
    if silent_since is not None:
        wanted = wanted.where(jobs.c.heartbeat_at < silent_since)
    lines: int | None = await unit.scalar(wanted)
    return lines


async def end(
    unit: AsyncConnection,
    claim: Claim,
    status: Status,
    now: datetime,
    *,
    line: str | None,
    silent_since: datetime | None = None,
) -> bool:
    """The job is over, `line` the last of its log; False, and nothing changed, when the claim was lost.

    Likewise when it gave a sign of life after `silent_since`.
    """
    count = await _hold(unit, claim, silent_since=silent_since)
    if count is None:
        return False
    await _append(unit, claim.job.id, count, [] if line is None else [line], now)
    values = {"status": status.value, "lease": None, "heartbeat_at": None, "updated_at": now}
    await unit.execute(update(jobs).where(jobs.c.id == claim.job.id).values(**values))
    return True


async def wait_again(
    unit: AsyncConnection,
    claim: Claim,
    now: datetime,
    *,
    line: str,
    silent_since: datetime | None = None,
    **changes: object,
) -> bool:
    """The job waits again, with `changes`; False when the claim was lost, or gave a sign of life after `silent_since`.

    It is canceled instead when that was asked for, or when another job of its key waits already.
    """
    count = await _hold(unit, claim, silent_since=silent_since)
    if count is None:
        return False
    status = case((jobs.c.cancel_requested, Status.CANCELED.value), else_=Status.WAITING.value)
    values = {"status": status, "lease": None, "heartbeat_at": None, "updated_at": now, **changes}
    try:
        async with unit.begin_nested():
            await _append(unit, claim.job.id, count, [line], now)
            await unit.execute(update(jobs).where(jobs.c.id == claim.job.id).values(**values))
    except IntegrityError:
        return await end(unit, claim, Status.CANCELED, now, line=_OVERTAKEN)
    return True


async def list_silent(connection: AsyncConnection, before: datetime, *, limit: int) -> list[Claim]:
    """Claims that gave no sign of life since `before`, the longest silent first."""
    silent = select(jobs).where(IS_RUNNING, jobs.c.heartbeat_at < before).order_by(jobs.c.heartbeat_at).limit(limit)
    return [Claim(_job(row), row.lease) for row in await connection.execute(silent)]


async def list_claims(connection: AsyncConnection, worker: str, *, limit: int) -> list[Claim]:
    """The claims of one worker."""
    held = select(jobs).where(IS_RUNNING, jobs.c.worker_id == worker).limit(limit)
    return [Claim(_job(row), row.lease) for row in await connection.execute(held)]


async def request_cancel(unit: AsyncConnection, job_id: str, now: datetime) -> bool:
    """A waiting job is canceled; a running one's worker is asked to. False when it was neither."""
    status = case((jobs.c.status == Status.WAITING.value, Status.CANCELED.value), else_=jobs.c.status)
    asked = await unit.execute(
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.status.in_([Status.WAITING.value, Status.RUNNING.value]))
        .values(status=status, cancel_requested=True, updated_at=now)
    )
    return bool(asked.rowcount)


# --- logs ------------------------------------------------------------------------------------------------------------


async def add_log(unit: AsyncConnection, claim: Claim, lines: Sequence[str], now: datetime) -> None:
    """Appends the lines, while the claim holds and the log is not full."""
    count = await _hold(unit, claim)
    if count is None:
        return
    room = max(LOG_LIMIT - count, 0)
    full = [_FULL] if len(lines) > room and count <= LOG_LIMIT else []
    await _append(unit, claim.job.id, count, [*lines[:room], *full], now)


async def _append(unit: AsyncConnection, job_id: str, count: int, lines: Sequence[str], now: datetime) -> None:
    rows = [{"job_id": job_id, "line": count + number, "at": now, "data": data} for number, data in enumerate(lines)]
    if rows:
        await unit.execute(insert(job_logs), rows)
        await unit.execute(update(jobs).where(jobs.c.id == job_id).values(log_lines=count + len(rows)))


async def list_log(connection: AsyncConnection, job_id: str, *, start: int, limit: int) -> list[LogLine]:
    wanted = (
        select(job_logs.c.line, job_logs.c.at, job_logs.c.data)
        .where(job_logs.c.job_id == job_id, job_logs.c.line >= start)
        .order_by(job_logs.c.line)
        .limit(limit)
    )
    return [LogLine(*row) for row in await connection.execute(wanted)]


# --- history ---------------------------------------------------------------------------------------------------------


async def delete_job(unit: AsyncConnection, job_id: str) -> str | None:
    """The action of the job that is gone; None when there was none."""
    gone: str | None = await unit.scalar(delete(jobs).where(jobs.c.id == job_id).returning(jobs.c.action))
    return gone


async def list_history(
    connection: AsyncConnection, *, before: datetime, keep: int, limit: int
) -> list[tuple[str, int]]:
    """Finished jobs older than `before`, or not among the newest `keep` of their action: ids, and lines of their logs."""
    rank = func.row_number().over(partition_by=jobs.c.action, order_by=(jobs.c.updated_at.desc(), jobs.c.id))
    finished = (
        select(jobs.c.id, jobs.c.log_lines, jobs.c.updated_at, rank.label("rank"))
        .where(jobs.c.status.in_([status.value for status in FINISHED]))
        .subquery()
    )
    wanted = (
        select(finished.c.id, finished.c.log_lines)
        .where(or_(finished.c.updated_at < before, finished.c.rank > keep))
        .limit(limit)
    )
    return [(row.id, row.log_lines) for row in await connection.execute(wanted)]


async def delete_jobs(unit: AsyncConnection, job_ids: Sequence[str]) -> int:
    """How many were deleted, their logs with them."""
    return int((await unit.execute(delete(jobs).where(jobs.c.id.in_(job_ids)))).rowcount)
