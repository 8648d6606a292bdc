"""How long events stay: by age and by number, dropped in small units of work. Source: DTR reference 3.1, 3.3."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from lading.core.clock import Clock
from lading.database import Database
from lading.events import store
from lading.events.log import SYSTEM, Actor, Event, EventType, ObjectType, record
from lading.events.store import Place

_ROWS = 1000  # dropped in one unit of work

Told = Callable[[int], Awaitable[None]]
"""Is told how many have gone so far; raises to end the work."""


async def _quietly(_gone: int) -> None: ...


@dataclass(frozen=True)
class Retention:
    """The use case of dropping old events."""

    database: Database
    clock: Clock

    async def trim(self, *, keep: int, age: timedelta, told: Told = _quietly, by: Actor = SYSTEM) -> int:
        """How many events went: those older than `age`, and all but the newest `keep`; 0 sets no limit.

        That they went is itself an event. Cut off at any step, it leaves the newer ones, and the next run ends the work.
        """
        now, bounds = self.clock.now(), list[Place]()
        if age:
            bounds.append(Place(now - age, 0))
        async with self.database.read() as connection:
            oldest_kept = await store.find_place(connection, keep - 1) if keep else None
        if oldest_kept is not None:
            bounds.append(oldest_kept)
        if not bounds:
            return 0
        before, gone = max(bounds), 0
        while True:
            async with self.database.write() as unit:
                count = await store.delete_before(unit, before, limit=_ROWS)
                gone += count
                if count < _ROWS and gone:
                    what = f"{gone} events from before {before.at:%Y-%m-%dT%H:%M:%SZ}"
                    await record(unit, now, Event(EventType.DELETE, by, ObjectType.EVENT, "", content=what))
            await told(gone)
            if count < _ROWS:
                return gone
