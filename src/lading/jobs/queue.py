"""The queue, from the side of those who want work done: submitting, looking at and cancelling jobs."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from lading.core.clock import Clock
from lading.core.errors import UnavailableError
from lading.database import Database
from lading.events.log import Actor, Event, EventType, ObjectType, record
from lading.jobs import config_store, store
from lading.jobs.jobs import Job, JobRequest, JobUnknownError, LogLine

LIST_LIMIT = 10_000
_ATTEMPTS = 10


async def submit(unit: AsyncConnection, request: JobRequest, now: datetime) -> str:
    """The id of the job, waiting, in the caller's unit of work; of an older waiting one with the same key.

    Parameters that the request does not give are those of the action's config.
    """
    config = await config_store.find(unit, request.action)
    for _ in range(_ATTEMPTS):
        job_id = str(uuid.uuid4())
        if await store.add(unit, job_id, request, now, defaults={} if config is None else config.parameters):
            return job_id
        # One of the same key waited; it may have been claimed since, and then it no longer counts.
        known = await store.find_waiting(unit, request.unique_key or "")
        if known is not None:
            return known
    raise UnavailableError("jobs of the same key come and go too fast; try again in a moment")


def _nobody() -> None: ...


@dataclass(frozen=True)
class Queue:
    """The use cases of the queue. `wake` tells the worker of this process, if there is one, of a new job.

    What somebody asks for (`by`) is told as an event; what the server does by itself is not.
    """

    database: Database
    clock: Clock
    wake: Callable[[], None] = _nobody

    async def submit(self, request: JobRequest, *, by: Actor | None = None) -> Job:
        """The job, waiting; an older waiting one with the same key."""
        now = self.clock.now()
        async with self.database.write() as unit:
            job_id = await submit(unit, request, now)
            await _tell(unit, now, EventType.CREATE, by, job_id, request.action)
        self.wake()
        return await self.get(job_id)

    async def get(self, job_id: str) -> Job:
        """Errors: JobUnknownError."""
        async with self.database.read() as connection:
            job = await store.find(connection, job_id)
        if job is None:
            raise JobUnknownError(job_id)
        return job

    async def list(
        self,
        *,
        action: str | None = None,
        worker: str | None = None,
        running: bool | None = None,
        start: int = 0,
        limit: int = 10,
    ) -> Sequence[Job]:
        """Jobs, newest scheduled first; at most 10,000 at a time. Source: DTR reference 1.3."""
        start, limit = max(start, 0), min(max(limit, 0), LIST_LIMIT)
        async with self.database.read() as connection:
            return await store.list_jobs(
                connection, action=action, worker=worker, running=running, start=start, limit=limit
            )

    async def log(self, job_id: str, *, start: int = 0, limit: int = LIST_LIMIT) -> Sequence[LogLine]:
        """Lines of the job's log from `start` on; readable while it runs. Errors: JobUnknownError."""
        await self.get(job_id)
        async with self.database.read() as connection:
            return await store.list_log(connection, job_id, start=start, limit=min(max(limit, 0), LIST_LIMIT))

    async def cancel(self, job_id: str, *, by: Actor | None = None) -> None:
        """A waiting job never runs; a running one is asked to stop; a finished one stays. Errors: JobUnknownError."""
        job, now = await self.get(job_id), self.clock.now()
        async with self.database.write() as unit:
            if await store.request_cancel(unit, job_id, now):
                await _tell(unit, now, EventType.UPDATE, by, job_id, job.action, "cancel")

    async def delete(self, job_id: str, *, by: Actor | None = None) -> None:
        """The job and its log are gone; if it was running, its worker stops it."""
        async with self.database.write() as unit:
            gone = await store.delete_job(unit, job_id)
            if gone is not None:
                await _tell(unit, self.clock.now(), EventType.DELETE, by, job_id, gone)


async def _tell(
    unit: AsyncConnection,
    now: datetime,
    kind: EventType,
    by: Actor | None,
    job_id: str,
    action: str,
    content: str = "",
) -> None:
    if by is not None:
        await record(unit, now, Event(kind, by, ObjectType.JOB, job_id, object_name=action, content=content))
