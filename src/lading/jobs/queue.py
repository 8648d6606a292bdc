"""The queue: submitting, looking at and cancelling jobs. Running them is worker.py's."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from lading.core.clock import Clock
from lading.database import Database
from lading.jobs import store
from lading.jobs.jobs import Job, JobRequest, JobUnknownError, LogLine, Status


async def submit(unit: AsyncConnection, request: JobRequest, now: datetime) -> str:
    """The id of the job, waiting, in the caller's unit of work; of an older waiting one with the same key."""
    if request.unique_key is not None:
        known = await store.find_waiting(unit, request.unique_key)
        if known is not None:
            return known.id
    job_id = str(uuid.uuid4())
    await store.add(
        unit,
        id=job_id,
        action=request.action,
        parameters=json.dumps(dict(request.parameters)),
        status=Status.WAITING.value,
        priority=request.priority,
        scheduled_at=request.scheduled_at or now,
        created_at=now,
        updated_at=now,
        deadline_seconds=int(request.deadline.total_seconds()) if request.deadline is not None else 0,
        retries_left=request.retries,
        retries_total=request.retries,
        unique_key=request.unique_key,
    )
    return job_id


@dataclass(frozen=True)
class Queue:
    """The use cases of the queue."""

    database: Database
    clock: Clock

    async def submit(self, request: JobRequest) -> Job:
        """The job, waiting."""
        now = self.clock.now()
        async with self.database.write() as unit:
            job_id = await submit(unit, request, now)
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
        """Jobs, newest scheduled first."""
        async with self.database.read() as connection:
            return await store.list_jobs(
                connection, action=action, worker=worker, running=running, start=start, limit=limit
            )

    async def log(self, job_id: str, *, start: int = 0, limit: int = 1000) -> Sequence[LogLine]:
        """Lines of the job's log from `start` on; readable while it runs."""
        async with self.database.read() as connection:
            return await store.list_log(connection, job_id, start=start, limit=limit)

    async def cancel(self, job_id: str) -> None:
        """A waiting job never runs; a running one is asked to stop. Errors: JobUnknownError."""
        await self.get(job_id)
        async with self.database.write() as unit:
            await store.request_cancel(unit, job_id, self.clock.now())

    async def delete(self, job_id: str) -> None:
        """The job and its log are gone; a running one finds its lease lost."""
        async with self.database.write() as unit:
            await store.delete_job(unit, job_id)

    async def trim(self, *, keep: int, age: timedelta) -> int:
        """How many finished jobs went: those older than `age`, and all but the newest `keep` of each action."""
        async with self.database.write() as unit:
            return await store.delete_history(unit, before=self.clock.now() - age, keep=keep)
