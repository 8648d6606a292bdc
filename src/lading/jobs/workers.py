"""The workers: who runs jobs, how many of each action at once, and when it was last heard of. Source: DTR reference 1.3."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.core.clock import Clock
from lading.core.errors import UnknownError
from lading.database import Database
from lading.events.log import Actor, Event, EventType, ObjectType, record
from lading.jobs.jobs import check_capacity
from lading.jobs.tables import workers

_FORGOTTEN_AFTER = timedelta(days=7)


class WorkerUnknownError(UnknownError):
    """No such worker."""

    code = "NO_SUCH_WORKER"

    def __init__(self, worker_id: str) -> None:
        super().__init__(f"there is no worker {worker_id[:64]!r}")


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A worker as the database has it. Where `capacity` says nothing of an action, the worker's own default holds."""

    id: str
    status: str  # running, stopped
    capacity: Mapping[str, int]
    heartbeat_at: datetime


@dataclass(frozen=True)
class Workers:
    """The use cases of workers."""

    database: Database
    clock: Clock

    async def list(self) -> Sequence[WorkerState]:
        """All workers heard of in the last week, in order of their ids."""
        async with self.database.read() as connection:
            found = await connection.execute(select(workers).order_by(workers.c.id))
            return [WorkerState(row.id, row.status, json.loads(row.capacity), row.heartbeat_at) for row in found]

    async def set_capacity(self, worker_id: str, capacity: Mapping[str, int], *, by: Actor | None = None) -> None:
        """The worker runs so many jobs of each action at once, from its next heartbeat on; 0 keeps it from them.

        Told as an event when it is known who asks. Errors: WorkerUnknownError; JobInvalidError when a number is not from 0
        to 1,000.
        """
        check_capacity(capacity)
        document = json.dumps(dict(capacity), sort_keys=True)
        async with self.database.write() as unit:
            changed = await unit.execute(update(workers).where(workers.c.id == worker_id).values(capacity=document))
            if not changed.rowcount:
                raise WorkerUnknownError(worker_id)
            if by is not None:
                told = Event(EventType.UPDATE, by, ObjectType.WORKER, worker_id, content=f"capacity {document}")
                await record(unit, self.clock.now(), told)

    async def beat(self, worker_id: str, *, status: str = "running") -> Mapping[str, int]:
        """The capacity that was set for the worker, which is known to live now."""
        now = self.clock.now()
        async with self.database.write(durable=False) as unit:
            await unit.execute(delete(workers).where(workers.c.heartbeat_at < now - _FORGOTTEN_AFTER))
            return await _put(unit, worker_id, status, now)


async def _put(unit: AsyncConnection, worker_id: str, status: str, now: datetime) -> Mapping[str, int]:
    dialect = sqlite if unit.dialect.name == "sqlite" else postgresql
    alive = {"status": status, "heartbeat_at": now}
    await unit.execute(
        dialect.insert(workers)
        .values(id=worker_id, capacity="{}", **alive)
        .on_conflict_do_update(index_elements=["id"], set_=alive)
    )
    capacity: Mapping[str, int] = json.loads(
        await unit.scalar(select(workers.c.capacity).where(workers.c.id == worker_id)) or "{}"
    )
    return capacity
