"""Replicas: each tells every ten seconds that it lives, and how it is. Source: DTR reference 6.5."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from lading.cluster.health import HealthChecks
from lading.cluster.tables import replicas
from lading.core.clock import Clock
from lading.database import Database

HEARTBEAT = timedelta(seconds=10)
_SILENCE = timedelta(seconds=60)  # a replica not heard of for longer is not healthy
_HEALTHY = "OK"


@dataclass(frozen=True, slots=True)
class Replica:
    """A replica, as it last told. `health` is OK, or what is wrong."""

    id: str
    heartbeat_at: datetime
    health: str
    is_readonly: bool


@dataclass(frozen=True)
class Replicas:
    """The use cases of this replica (`here`) and its like."""

    database: Database
    checks: HealthChecks
    clock: Clock
    here: str
    is_readonly: Callable[[], bool]

    async def look(self) -> Replica:
        """This replica, asked now."""
        health = await self.checks.look()
        return Replica(self.here, self.clock.now(), health.error or _HEALTHY, self.is_readonly())

    async def beat(self) -> None:
        """This replica's row is as it is now; one process of several writes it."""
        now = self.clock.now()
        async with self.database.read() as connection:
            last = await connection.scalar(select(replicas.c.heartbeat_at).where(replicas.c.id == self.here))
        if last is not None and now - last < HEARTBEAT * 0.9:
            return
        seen = await self.look()
        values = {"heartbeat_at": seen.heartbeat_at, "health": seen.health, "is_readonly": seen.is_readonly}
        try:
            async with self.database.write(durable=False) as unit:
                written = await unit.execute(update(replicas).where(replicas.c.id == self.here).values(**values))
                if not written.rowcount:
                    await unit.execute(insert(replicas).values(id=self.here, **values))
        except IntegrityError:
            return  # another process of this replica was first

    async def list(self) -> Sequence[Replica]:
        """All replicas, this one as it is now."""
        now, here = self.clock.now(), await self.look()
        async with self.database.read() as connection:
            rows = await connection.execute(select(replicas).where(replicas.c.id != self.here).order_by(replicas.c.id))
            return [here, *(_judged(Replica(*row), now) for row in rows)]


def _judged(replica: Replica, now: datetime) -> Replica:
    if now - replica.heartbeat_at <= _SILENCE:
        return replica
    word = f"Replica reported health too long ago: {replica.heartbeat_at:%Y-%m-%d %H:%M:%S} UTC"
    return Replica(replica.id, replica.heartbeat_at, word, replica.is_readonly)
