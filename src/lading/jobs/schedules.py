"""Schedules: cron with a seconds field, or `@daily` and its kin; each due time submits exactly one job.

Source: DTR reference 6.7 (six fields, seconds first). The expressions are cronsim's.
"""

import uuid
from dataclasses import dataclass, field
from datetime import datetime

from cronsim import CronSim, CronSimError

from lading.core.clock import Clock
from lading.core.errors import InvalidError
from lading.database import Database
from lading.jobs import store
from lading.jobs.jobs import JobRequest
from lading.jobs.queue import submit

_WORDS = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}
_FIELDS = (5, 6)
_LENGTH_LIMIT = 128


def next_run(schedule: str, after: datetime) -> datetime:
    """The first moment after `after` that the schedule names.

    Shape: `second minute hour day month weekday`, or five fields from minute on, or one of `@hourly @daily @weekly
    @monthly @yearly`; in UTC. Errors: InvalidError.
    """
    expression = _WORDS.get(schedule.strip().lower(), schedule.strip())
    wanted = (
        "want `second minute hour day month weekday`, such as `0 30 2 * * *`, or @hourly, @daily, @weekly, @monthly"
    )
    if len(expression) > _LENGTH_LIMIT or len(expression.split()) not in _FIELDS:
        raise InvalidError(f"{schedule[:_LENGTH_LIMIT]!r} is not a schedule: {wanted}")
    try:
        return next(CronSim(expression, after))
    except (CronSimError, StopIteration) as error:
        raise InvalidError(f"{schedule[:_LENGTH_LIMIT]!r} is not a schedule: {wanted}") from error


@dataclass(frozen=True, slots=True)
class Schedule:
    """One action, run again and again."""

    id: str
    action: str
    schedule: str
    next_run_at: datetime
    retries: int = field(default=0)


@dataclass(frozen=True)
class Schedules:
    """The use cases of schedules."""

    database: Database
    clock: Clock

    async def put(self, action: str, schedule: str, *, retries: int = 0) -> Schedule:
        """The action runs by this schedule from now on. Errors: InvalidError."""
        due = next_run(schedule, self.clock.now())
        made = Schedule(str(uuid.uuid4()), action, schedule, due, retries)
        async with self.database.write() as unit:
            await store.put_schedule(
                unit,
                action=action,
                id=made.id,
                schedule=schedule,
                parameters="{}",
                deadline_seconds=0,
                stop_timeout_seconds=0,
                retries=retries,
                next_run_at=due,
            )
        return made

    async def list(self) -> list[Schedule]:
        """All schedules, in order of their actions."""
        async with self.database.read() as connection:
            rows = await store.list_schedules(connection)
        return [Schedule(row.id, row.action, row.schedule, row.next_run_at, row.retries) for row in rows]

    async def delete(self, action: str) -> None:
        """The action no longer runs by itself; jobs already submitted do."""
        async with self.database.write() as unit:
            await store.delete_schedule(unit, action)

    async def submit_due(self) -> int:
        """How many jobs were submitted. A run missed while nothing ran is made up once, not several times."""
        now = self.clock.now()
        async with self.database.read() as connection:
            due = await store.list_schedules(connection, due=now)
        submitted = 0
        for row in due:
            following = next_run(row.schedule, now)
            async with self.database.write() as unit:
                if await store.move_schedule(unit, row.action, expected=row.next_run_at, to=following):
                    await submit(
                        unit,
                        JobRequest(row.action, retries=row.retries, unique_key=f"schedule:{row.action}"),
                        now,
                    )
                    submitted += 1
        return submitted
