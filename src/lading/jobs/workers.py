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
from lading.jobs.jobs import JobInvalidError
from lading.jobs.tables import workers

CAPACITY_LIMIT = 1000
_FORGOTTEN_AFTER = timedelta(days=7)
_ACTIONS_LIMIT = 100


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

    async def set_capacity(self, worker_id: str, capacity: Mapping[str, int]) -> None:
        """The worker runs so many jobs of each action at once, from its next heartbeat on; 0 keeps it from them.

        Errors: WorkerUnknownError; JobInvalidError when a number is not from 0 to 1,000.
        """
        if len(capacity) > _ACTIONS_LIMIT or not all(0 <= number <= CAPACITY_LIMIT for number in capacity.values()):
            raise JobInvalidError(f"capacities are from 0 to {CAPACITY_LIMIT}, of at most {_ACTIONS_LIMIT} actions")
        async with self.database.write() as unit:
            changed = await unit.execute(
                update(workers).where(workers.c.id == worker_id).values(capacity=json.dumps(dict(capacity)))
            )
        if not changed.rowcount:
            raise WorkerUnknownError(worker_id)

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
