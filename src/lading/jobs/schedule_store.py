"""The SQL of schedules: rows to values and back."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, case, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.jobs.cron import Schedule
from lading.jobs.store import to_length, to_milliseconds
from lading.jobs.tables import schedules

_IS_THERE = schedules.c.schedule != ""


def _schedule(row: Row[Any]) -> Schedule:
    return Schedule(
        id=row.id,
        action=row.action,
        schedule=row.schedule,
        next_run_at=row.next_run_at,
        parameters=json.loads(row.parameters),
        deadline=to_length(row.deadline_ms),
        stop_timeout=to_length(row.stop_timeout_ms),
        retries=row.retries,
        capacity=json.loads(row.capacity),
    )


async def put(unit: AsyncConnection, made: Schedule) -> None:
    """One schedule per action: a newer one replaces it, but for its id, and its next run when the words are the same."""
    dialect = sqlite if unit.dialect.name == "sqlite" else postgresql
    changes = {
        "schedule": made.schedule,
        "parameters": json.dumps(dict(made.parameters)),
        "deadline_ms": to_milliseconds(made.deadline),
        "stop_timeout_ms": to_milliseconds(made.stop_timeout),
        "retries": made.retries,
        "capacity": json.dumps(dict(made.capacity), sort_keys=True),
    }
    added = dialect.insert(schedules).values(action=made.action, id=made.id, next_run_at=made.next_run_at, **changes)
    due = case((schedules.c.schedule == made.schedule, schedules.c.next_run_at), else_=added.excluded.next_run_at)
    await unit.execute(added.on_conflict_do_update(index_elements=["action"], set_={**changes, "next_run_at": due}))


async def add(unit: AsyncConnection, made: Schedule) -> None:
    """The action's schedule, unless it has, or had, one."""
    dialect = sqlite if unit.dialect.name == "sqlite" else postgresql
    values = {
        "action": made.action,
        "id": made.id,
        "schedule": made.schedule,
        "parameters": json.dumps(dict(made.parameters)),
        "retries": made.retries,
        "next_run_at": made.next_run_at,
    }
    await unit.execute(dialect.insert(schedules).values(values).on_conflict_do_nothing())


async def find(connection: AsyncConnection, action: str) -> Schedule | None:
    wanted = select(schedules).where(schedules.c.action == action, _IS_THERE)
    row = (await connection.execute(wanted)).one_or_none()
    return None if row is None else _schedule(row)


async def list_schedules(connection: AsyncConnection, *, due: datetime | None = None) -> Sequence[Schedule]:
    """All schedules, or those that are due, in order of their actions."""
    wanted = select(schedules).where(_IS_THERE).order_by(schedules.c.action)
    if due is not None:
        wanted = wanted.where(schedules.c.next_run_at <= due)
    return [_schedule(row) for row in await connection.execute(wanted)]


async def move(unit: AsyncConnection, action: str, *, expected: datetime, to: datetime) -> bool:
    """The schedule's next run is `to`; False when another worker was faster (compare and set)."""
    moved = await unit.execute(
        update(schedules)
        .where(schedules.c.action == action, schedules.c.next_run_at == expected)
        .values(next_run_at=to)
    )
    return bool(moved.rowcount)


async def delete_schedule(unit: AsyncConnection, action: str) -> bool:
    """False when there was none. A row without a schedule stays: so nobody gives the action its usual one again."""
    gone = update(schedules).where(schedules.c.action == action, _IS_THERE).values(schedule="")
    return bool((await unit.execute(gone)).rowcount)
