"""The SQL of reading events: rows to values and back. Lists are newest first, each page one stretch of an index."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, Select, delete, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.core.clock import from_microseconds, to_microseconds
from lading.core.errors import InvalidError
from lading.database import Moment
from lading.events.tables import events

_BIGGEST = 2**63 - 1


class Place(NamedTuple):
    """Where an event stands in the order of all: by its moment, then by its id."""

    at: datetime
    id: int

    @classmethod
    def parse(cls, text: str) -> "Place":
        """The place that `text`, the start of a page, names. Errors: InvalidError."""
        moment, dash, number = text.partition("-")
        if not (dash and moment.isascii() and moment.isdigit() and number.isascii() and number.isdigit()):
            raise InvalidError("pageStart is what X-Next-Page-Start said, or empty for the first page")
        try:
            at, event_id = from_microseconds(int(moment[:20])), int(number[:20])
        except OverflowError as error:
            raise InvalidError("pageStart is what X-Next-Page-Start said, or empty for the first page") from error
        return cls(at, min(event_id, _BIGGEST))

    @property
    def text(self) -> str:
        """The place as the start of a page."""
        return f"{max(to_microseconds(self.at), 0)}-{self.id}"


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as the log has it."""

    id: int
    published_at: datetime
    type: str
    actor_type: str
    actor: str
    repository: str
    object_type: str
    object_id: str
    object_name: str
    content: str
    address: str
    user_agent: str
    outcome: str

    @property
    def place(self) -> Place:
        return Place(self.published_at, self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which events are wanted; None wants any. From `after` on, and before `before`: windows that touch share nothing."""

    before: datetime | None = None
    after: datetime | None = None
    actor: str | None = None
    type: str | None = None
    object_type: str | None = None
    repository: str | None = None

    @property
    def clauses(self) -> list[ColumnElement[bool]]:
        """The filter as conditions of a SELECT."""
        named = {
            events.c.actor: self.actor,
            events.c.type: self.type,
            events.c.object_type: self.object_type,
            events.c.repository: self.repository,
        }
        wanted: list[ColumnElement[bool]] = [column == value for column, value in named.items() if value is not None]
        if self.before is not None:
            wanted.append(events.c.published_at < self.before)
        if self.after is not None:
            wanted.append(events.c.published_at >= self.after)
        return wanted


def _from(place: Place) -> ColumnElement[bool]:
    """Events at the place and older ones."""
    return tuple_(events.c.published_at, events.c.id) <= tuple_(literal(place.at, Moment), literal(place.id))


def _event(row: Row[Any]) -> StoredEvent:
    return StoredEvent(**row._mapping)  # noqa: SLF001 — SQLAlchemy's public name for it


def page(wanted: Sequence[ColumnElement[bool]], start: Place | None, limit: int) -> Select[Any]:
    """The SELECT of a page, newest first."""
    places = [] if start is None else [_from(start)]
    return (
        select(events).where(*wanted, *places).order_by(events.c.published_at.desc(), events.c.id.desc()).limit(limit)
    )


async def list_events(
    connection: AsyncConnection, wanted: Sequence[ColumnElement[bool]], *, start: Place | None, limit: int
) -> Sequence[StoredEvent]:
    """Events, newest first, from the place on."""
    return [_event(row) for row in await connection.execute(page(wanted, start, limit))]


async def list_events_within(
    connection: AsyncConnection,
    wanted: Sequence[ColumnElement[bool]],
    seen: ColumnElement[bool],
    *,
    start: Place | None,
    limit: int,
    window: int,
) -> tuple[Sequence[StoredEvent], Place | None]:
    """Those events that are `seen` of the next `window` wanted ones; and where the window ends, None when the log does."""
    edge = page(wanted, start, 1).with_only_columns(events.c.published_at, events.c.id).offset(window)
    row = (await connection.execute(edge)).one_or_none()
    end = None if row is None else Place(row.published_at, row.id)
    within = [] if end is None else [~_from(end)]
    return await list_events(connection, [*wanted, *within, seen], start=start, limit=limit), end


async def count_events(
    connection: AsyncConnection, wanted: Sequence[ColumnElement[bool]], *, most: int, seen: ColumnElement[bool] | None
) -> int:
    """How many there are, or how many of them are `seen`; of the newest `most`."""
    newest = page(wanted, None, most).with_only_columns(events.c.id)
    if seen is None:
        return int(await connection.scalar(select(func.count()).select_from(newest.subquery())) or 0)
    return int(await connection.scalar(select(func.count()).where(events.c.id.in_(newest), seen)) or 0)


async def find_place(connection: AsyncConnection, number: int) -> Place | None:
    """The place of the event that `number` newer ones come before; None when there are not so many."""
    wanted = (
        select(events.c.published_at, events.c.id)
        .order_by(events.c.published_at.desc(), events.c.id.desc())
        .offset(number)
        .limit(1)
    )
    row = (await connection.execute(wanted)).one_or_none()
    return None if row is None else Place(row.published_at, row.id)


async def delete_before(unit: AsyncConnection, place: Place, *, limit: int) -> int:
    """How many were deleted, the oldest first, of those before the place."""
    old = (
        select(events.c.id)
        .where(tuple_(events.c.published_at, events.c.id) < tuple_(literal(place.at, Moment), literal(place.id)))
        .order_by(events.c.published_at, events.c.id)
        .limit(limit)
    )
    return int((await unit.execute(delete(events).where(events.c.id.in_(old.scalar_subquery())))).rowcount)
