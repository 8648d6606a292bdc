"""Refused attempts to change something: told, as an auditor asks for them, and sparingly."""

from lading.access import Principal
from lading.core.clock import Clock
from lading.database import Database
from lading.events.log import NAME_LIMIT, Actor, Event, EventType, ObjectType, Outcome
from lading.events.pending import PendingEvents, Sparingly

_FEW, _SECONDS = 20, 60.0  # of one account, in so long


class RefusalLog:
    """Tells of them. `flush` is called every few seconds, and at the end."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._pending = PendingEvents(database, clock)
        self._sparingly = Sparingly(_FEW, _SECONDS)

    def refused(self, who: Principal, action: str, on: str) -> None:
        """The caller asked for what he may not do: `POST` on a path of the REST doors, `push` on `repository:acme/app`.

        A path comes without its query, which may hold credentials.
        """
        what = "".join(c if c.isprintable() else "?" for c in f"{action} {on}"[:NAME_LIMIT])
        actor = Actor.account(who.account_id)
        event = Event(EventType.REFUSE, actor, ObjectType.URI, what, object_name=who.name, outcome=Outcome.REFUSED)
        if self._sparingly.take(who.account_id):
            self._pending.add(event)
        else:
            self._pending.count(event)

    async def flush(self, *, is_last: bool = False) -> None:
        """What waited is in the log. Errors: UnavailableError; then it waits on."""
        await self._pending.flush(is_last=is_last)
