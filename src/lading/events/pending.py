"""Events told a little later, many in one unit of work: for what happens too often, or too fast, to wait for the disk.

Bounded on purpose, as strangers cause some of them: few of the same are told, and of the rest how many there were. What waits
when the process is killed is lost; whatever changes something is told with the change itself, and not here.
"""

import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from cachetools import TTLCache

from lading.core.clock import EPOCH, Clock
from lading.database import Database
from lading.events.log import Event, record
from lading.web.origin import Origin, current_origin

_WAITING = 5000  # events between two flushes; what is more is only counted
_TRACKED = 50_000
_ADDRESSES = 100  # of whom it is told, once a minute, how much more there was
_MORE_EVERY = timedelta(minutes=1)


class Sparingly:
    """Says yes to the first `few` of the same within `seconds`."""

    def __init__(self, few: int, seconds: float, timer: Callable[[], float] = time.monotonic) -> None:
        self._few = few
        self._counts: TTLCache[Hashable, list[int]] = TTLCache(_TRACKED, seconds, timer)

    def take(self, key: Hashable) -> bool:
        """Whether this one is among the first few. The time runs from the first on."""
        count = self._counts.get(key)
        if count is None:
            count = self._counts[key] = [0]
        count[0] += 1
        return count[0] <= self._few


async def _as_they_are(waiting: Sequence[Event]) -> Sequence[Event]:
    return waiting


@dataclass
class PendingEvents:
    """Events that wait to be written; `flush` is called every few seconds, and at the end."""

    database: Database
    clock: Clock
    _waiting: list[Event] = field(default_factory=list)
    _more: dict[Event, int] = field(default_factory=dict)
    _more_told_at: datetime = EPOCH

    def add(self, event: Event) -> None:
        """The event happened now, and is written soon; its origin is the request that is being answered."""
        if len(self._waiting) >= _WAITING:
            self.count(event)
        else:
            self._waiting.append(replace(event, at=self.clock.now(), origin=event.origin or current_origin()))

    def count(self, event: Event) -> None:
        """One more like those that were told: of such only the number is, by address."""
        address = (event.origin or current_origin()).address if len(self._more) < _ADDRESSES else ""
        like = replace(event, object_id="", object_name="", repository="", content="", at=None, origin=Origin(address))
        self._more[like] = self._more.get(like, 0) + 1

    async def flush(
        self,
        prepare: Callable[[Sequence[Event]], Awaitable[Sequence[Event]]] = _as_they_are,
        *,
        is_last: bool = False,
    ) -> None:
        """What waited is in the log, as `prepare` makes it. Errors: UnavailableError; then it waits on."""
        now = self.clock.now()
        waiting, self._waiting = self._waiting, []
        more: dict[Event, int] = {}
        if is_last or now - self._more_told_at >= _MORE_EVERY:
            more, self._more = self._more, {}
            self._more_told_at = now
        if not waiting and not more:
            return
        try:
            told = [*await prepare(waiting), *(replace(like, content=f"{n} more like it") for like, n in more.items())]
            async with self.database.write(durable=False) as unit:
                await record(unit, now, *told)
        except BaseException:
            self._waiting = [*waiting, *self._waiting][:_WAITING]
            for like, number in more.items():
                self._more[like] = self._more.get(like, 0) + number
            raise
