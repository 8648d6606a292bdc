"""Reading events: who may see which, page by page, newest first. Source: DTR reference 1.2, 2.2 (last rows), 3.3.

System administrators see all of them, and where they came from. Others see what happened in repositories that they may view:
pushes, deletions and the repository's own changes; of repositories they administer all but refused attempts.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import ColumnElement, and_

from lading.access import Permission, Principal, System, decide
from lading.database import Database
from lading.events import store
from lading.events.log import EventType, ObjectType, Outcome
from lading.events.store import Filter, Place, StoredEvent
from lading.events.tables import events
from lading.web.paging import Page, Paging

WINDOW = 20_000
"""Of so many events at a time those are picked that a caller may see; a page ends there, and names the next."""

_COUNTED = 1_000_000  # as far as events are counted; for those who see only some, a window
_SEEN_BY_ALL = [kind.value for kind in (ObjectType.REPOSITORY, ObjectType.TAG, ObjectType.MANIFEST, ObjectType.BLOB)]


@dataclass(frozen=True, slots=True)
class RepositorySight:
    """A repository whose events the caller may see; those before `since` were another's of the same name."""

    name: str
    since: datetime
    is_administrator: bool  # sees pulls, promotions, mirroring and grants, too


class Sight(Protocol):
    """Which repositories' events a caller may see. Filled by the registry."""

    async def of_repository(self, who: Principal, namespace: str, reponame: str) -> RepositorySight:
        """Errors: UnknownError, the same for what is not there and for what he may not view."""
        ...

    def of_any(self, who: Principal) -> ColumnElement[bool]:
        """The condition that an event is of a repository that the caller may view, and not from before it was made."""
        ...


Names = Callable[[Collection[str]], Awaitable[Mapping[str, str]]]
"""Gives the names of accounts by their ids, of those that are known; one query."""


@dataclass(frozen=True, slots=True)
class Feed:
    """The use cases of reading events."""

    database: Database
    sight: Sight
    names: Names

    def is_administrator(self, who: Principal) -> bool:
        """Whether the caller sees all events, and where they came from."""
        return bool(decide(who, Permission.ADMINISTER, System()))

    async def list(self, who: Principal, wanted: Filter, paging: Paging) -> Page[StoredEvent]:
        """Events of all that the caller may see. Errors: InvalidError."""
        if self.is_administrator(who):
            return await self._page(wanted.clauses, None, paging)
        return await self._page(wanted.clauses, and_(*_usual(), self.sight.of_any(who)), paging)

    async def list_of_repository(
        self, who: Principal, namespace: str, reponame: str, wanted: Filter, paging: Paging, *, exclude_pulls: bool
    ) -> Page[StoredEvent]:
        """Events of one repository. Errors: UnknownError, InvalidError."""
        seen = await self.sight.of_repository(who, namespace, reponame)
        clauses = [*wanted.clauses, events.c.repository == seen.name]
        if exclude_pulls:
            clauses.append(events.c.type != EventType.GET.value)
        if not self.is_administrator(who):
            clauses += [events.c.published_at >= seen.since, events.c.outcome != Outcome.REFUSED.value]
            clauses += [] if seen.is_administrator else _usual()
        return await self._page(clauses, None, paging)

    async def _page(
        self, clauses: Sequence[ColumnElement[bool]], seen: ColumnElement[bool] | None, paging: Paging
    ) -> Page[StoredEvent]:
        start = Place.parse(paging.start) if paging.start else None
        limit, edge = paging.size + 1, None
        async with self.database.read() as connection:
            if seen is None:
                found = await store.list_events(connection, clauses, start=start, limit=limit)
            else:
                found, edge = await store.list_events_within(
                    connection, clauses, seen, start=start, limit=limit, window=WINDOW
                )
            more = found[paging.size].place if len(found) > paging.size else edge
            total = None
            if paging.count:
                most = _COUNTED if seen is None else WINDOW
                total = await store.count_events(connection, clauses, most=most, seen=seen)
        return Page(found[: paging.size], None if more is None else more.text, total)


def _usual() -> list[ColumnElement[bool]]:
    return [
        events.c.type != EventType.GET.value,
        events.c.object_type.in_(_SEEN_BY_ALL),
        events.c.outcome != Outcome.REFUSED.value,
    ]
