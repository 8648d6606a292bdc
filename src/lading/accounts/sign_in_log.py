"""Who signed in, and who was refused, as events: written in the background, so that signing in does not wait for it.

Strangers cause the refusals, so they are bounded: a few a minute of one name and address, a few hundred of all; of the rest
only the number is told. Programs sign in all the time: the same account, address and user agent is told once in a while.
What was typed as a name is told only when an account has it: people type passwords there.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from lading.accounts.account_names import AccountNames
from lading.core.clock import Clock
from lading.database import Database
from lading.events.log import Actor, Event, EventType, ObjectType, Outcome
from lading.events.pending import PendingEvents, Sparingly
from lading.web.origin import current_origin

_REPEATED_SECONDS = 300.0
_FEW, _FEW_SECONDS = 5, 60.0
_ALL = 300  # refusals told in a minute, by one process
_NAME_LIMIT = 255
_NOBODY = "no account of that name; "


@dataclass
class SignInLog:
    """Tells of sign-ins. `flush` is called every few seconds, and at the end."""

    database: Database
    clock: Clock
    timer: Callable[[], float] = time.monotonic
    _pending: PendingEvents = field(init=False)

    def __post_init__(self) -> None:
        self._pending = PendingEvents(self.database, self.clock)
        self._successes = Sparingly(1, _REPEATED_SECONDS, self.timer)
        self._refusals = Sparingly(_FEW, _FEW_SECONDS, self.timer)
        self._all = Sparingly(_ALL, _FEW_SECONDS, self.timer)

    def succeeded(self, account_id: str, name: str, *, method: str) -> None:
        """The account signed in by `method`: password, access token, client certificate, ldap, …"""
        origin = current_origin()
        if self._successes.take((account_id, method, origin)):
            actor = Actor.account(account_id)
            self._pending.add(
                Event(EventType.SIGN_IN, actor, ObjectType.ACCOUNT, account_id, name, content=method, origin=origin)
            )

    def refused(self, name: str, *, method: str, why: str) -> None:
        """Somebody could not sign in under that name, as typed; empty when none was given."""
        origin, name = current_origin(), name[:_NAME_LIMIT].replace("\0", "?")
        event = Event(
            EventType.SIGN_IN,
            Actor.account(None),
            ObjectType.ACCOUNT,
            "",
            name,
            content=f"{method}: {why}",
            outcome=Outcome.REFUSED,
            origin=origin,
        )
        if self._refusals.take((name, origin.address)) and self._all.take(""):
            self._pending.add(event)
        else:
            self._pending.count(event)

    async def flush(self, *, is_last: bool = False) -> None:
        """What waited is in the log. Errors: UnavailableError; then it waits on."""
        await self._pending.flush(self._with_accounts, is_last=is_last)

    async def _with_accounts(self, waiting: Sequence[Event]) -> Sequence[Event]:
        refused = {event.object_name for event in waiting if event.outcome is Outcome.REFUSED and event.object_name}
        ids = await AccountNames(self.database).ids_of(refused) if refused else {}
        return [_with_account(event, ids.get(event.object_name)) for event in waiting]


def _with_account(event: Event, account_id: str | None) -> Event:
    if event.outcome is not Outcome.REFUSED:
        return event
    if account_id is None:
        return replace(event, object_name="", content=_NOBODY * bool(event.object_name) + event.content)
    return replace(event, object_id=account_id)
