"""Schedules: each due time submits exactly one job, however many workers look."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from lading.core.clock import Clock
from lading.database import Database
from lading.events.log import Actor, Event, EventType, ObjectType, record
from lading.jobs import schedule_store as store
from lading.jobs.cron import Schedule, ScheduleInvalidError, ScheduleUnknownError, next_run
from lading.jobs.queue import submit

log = structlog.get_logger()


@dataclass(frozen=True)
class Schedules:
    """The use cases of schedules."""

    database: Database
    clock: Clock

    async def put(
        self,
        action: str,
        schedule: str,
        *,
        parameters: Mapping[str, str] | None = None,
        deadline: timedelta | None = None,
        stop_timeout: timedelta | None = None,
        retries: int = 0,
        capacity: Mapping[str, int] | None = None,
        by: Actor | None = None,
    ) -> Schedule:
        """The action runs by this schedule; put again with the same words, its next run stays.

        Told as an event when it is known who asks. Errors: ScheduleInvalidError, JobInvalidError.
        """
        now = self.clock.now()
        due = next_run(schedule, now)
        made = Schedule(
            str(uuid.uuid4()), action, schedule, due, parameters or {}, deadline, stop_timeout, retries, capacity or {}
        )
        made.request()  # checks all but the schedule
        async with self.database.write() as unit:
            await store.put(unit, made)
            if by is not None:
                await record(unit, now, Event(EventType.UPDATE, by, ObjectType.CRON, action, content=schedule))
        return await self.get(action)

    async def put_first(self, action: str, schedule: str) -> None:
        """The action runs by this schedule, when it never had one: what somebody set, or removed, stays.

        Errors: ScheduleInvalidError, JobInvalidError.
        """
        made = Schedule(str(uuid.uuid4()), action, schedule, next_run(schedule, self.clock.now()))
        made.request()
        async with self.database.write() as unit:
            await store.add(unit, made)

    async def get(self, action: str) -> Schedule:
        """Errors: ScheduleUnknownError."""
        async with self.database.read() as connection:
            found = await store.find(connection, action)
        if found is None:
            raise ScheduleUnknownError(action)
        return found

    async def list(self) -> Sequence[Schedule]:
        """All schedules, in order of their actions."""
        async with self.database.read() as connection:
            return await store.list_schedules(connection)

    async def delete(self, action: str, *, by: Actor | None = None) -> None:
        """The action no longer runs by itself; jobs already submitted do. Told as an event when it is known who asks."""
        async with self.database.write() as unit:
            if await store.delete_schedule(unit, action) and by is not None:
                await record(unit, self.clock.now(), Event(EventType.DELETE, by, ObjectType.CRON, action))

    async def submit_due(self) -> int:
        """How many jobs were submitted, one per due schedule, however many workers ask at once.

        Runs missed while nothing ran are made up by one.
        """
        now = self.clock.now()
        async with self.database.read() as connection:
            due = await store.list_schedules(connection, due=now)
        return sum([await self._submit(schedule, now) for schedule in due])

    async def _submit(self, schedule: Schedule, now: datetime) -> bool:
        try:
            following = next_run(schedule.schedule, now)
        except ScheduleInvalidError as error:  # an older version took it, or somebody wrote it by hand
            log.warning("a schedule is passed over", action=schedule.action, error=error.message)
            return False
        async with self.database.write() as unit:
            moved = await store.move(unit, schedule.action, expected=schedule.next_run_at, to=following)
            if moved:
                await submit(unit, schedule.request(), now)
            return moved
