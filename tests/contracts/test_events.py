"""The log of events, on each kind of database: what goes by age and number, indexes, and what waits to be written."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import ColumnElement, func, insert, select, text

from lading.core.errors import UnavailableError
from lading.database import Database
from lading.events import store
from lading.events.log import SYSTEM, Actor, Event, EventType, ObjectType, Outcome, record
from lading.events.pending import PendingEvents, Sparingly
from lading.events.retention import Retention
from lading.events.store import Filter, Place
from lading.events.tables import events
from support.clocks import START, ManualClock
from support.cutting import is_cut

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MANY = 3000  # more than goes in one unit of work


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def retention(database: Database, clock: ManualClock) -> Retention:
    return Retention(database, clock)


def event(number: int) -> Event:
    return Event(EventType.UPDATE, SYSTEM, ObjectType.TAG, str(number), repository="ada/app", at=START + number * HOUR)


async def happen(database: Database, *numbers: int) -> None:
    """Events, each as many hours after the start as its number."""
    async with database.write() as unit:
        await record(unit, START, *map(event, numbers))


async def kept(database: Database) -> list[str]:
    """What is in the log of those above, the oldest first."""
    async with database.read() as connection:
        found = await store.list_events(connection, [events.c.object_type == "TAG"], start=None, limit=10_000)
    return [item.object_id for item in reversed(found)]


async def told(database: Database) -> list[str]:
    """What is told of dropped events."""
    async with database.read() as connection:
        return list(await connection.scalars(select(events.c.content).where(events.c.object_type == "EVENT")))


@pytest.mark.parametrize(
    ("keep", "age", "left"),
    [
        (0, timedelta(0), "012345"),
        (2, timedelta(0), "45"),
        (6, timedelta(0), "012345"),
        (100, timedelta(0), "012345"),
        (0, 4 * HOUR, "345"),  # an event as old as that stays
        (2, 4 * HOUR, "45"),
        (5, 4 * HOUR, "345"),
        (1, DAY, "5"),
    ],
)
async def test_events_go_by_number_and_by_age_and_that_is_an_event(
    database: Database, retention: Retention, clock: ManualClock, keep: int, age: timedelta, left: str
) -> None:
    await happen(database, 3, 1, 0, 2, 5, 4)
    clock.move(7 * HOUR)
    assert await retention.trim(keep=keep, age=age, by=Actor.job("1")) == 6 - len(left)
    assert "".join(await kept(database)) == left
    assert len(await told(database)) == (len(left) < 6)


async def test_many_go_in_small_units_of_work_and_a_job_that_is_stopped_stops(
    database: Database, retention: Retention, clock: ManualClock
) -> None:
    await happen(database, *range(MANY))
    clock.move(MANY * HOUR)
    steps: list[int] = []

    async def stop(gone: int) -> None:
        steps.append(gone)
        if len(steps) == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        await retention.trim(keep=10, age=timedelta(0), told=stop)
    assert steps == [1000, 2000]
    assert await retention.trim(keep=10, age=timedelta(0)) == MANY - 2000 - 10
    assert await kept(database) == [str(number) for number in range(MANY - 10, MANY)]


async def test_cut_off_at_any_step_the_newest_stay_and_the_next_run_ends_the_work(
    database: Database, retention: Retention, clock: ManualClock
) -> None:
    await happen(database, 100, 101)
    clock.move(200 * HOUR)
    step, was_cut = 0, True
    while was_cut:
        await happen(database, 1, 2, 3)
        was_cut = await is_cut(retention.trim(keep=0, age=150 * HOUR), step)
        step += 1
        assert {"100", "101"} <= set(await kept(database))
    assert step > 2  # it did wait, and was cut off at each wait
    await retention.trim(keep=0, age=150 * HOUR)
    assert await kept(database) == ["100", "101"]


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)  # PostgreSQL decides by what is in the tables
@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (Filter(), "ix_events_published_at"),
        (Filter(before=START, after=START - DAY), "ix_events_published_at"),
        (Filter(actor="x"), "ix_events_actor"),
        (Filter(actor="x", before=START), "ix_events_actor"),
        (Filter(type="FAIL"), "ix_events_type"),
        (Filter(object_type="GRANT", after=START), "ix_events_object_type"),
        (Filter(repository="ada/app", after=START), "ix_events_repository"),
    ],
    ids=["all", "moments", "actor", "actor-before", "type", "object-type", "repository"],
)
async def test_a_page_is_a_stretch_of_an_index_whatever_is_filtered(
    database: Database, wanted: Filter, index: str
) -> None:
    for start in (None, Place(START, 7)):
        plan = await explain(database, wanted.clauses, start)
        assert f"USING INDEX {index}" in plan, plan
        assert "TEMP B-TREE" not in plan, plan  # nothing is sorted


async def explain(database: Database, clauses: Sequence[ColumnElement[bool]], start: Place | None) -> str:
    async with database.read() as connection:
        statement = store.page(clauses, start, 11).compile(
            dialect=connection.dialect, compile_kwargs={"literal_binds": True}
        )
        found = await connection.execute(text(f"EXPLAIN QUERY PLAN {statement}"))
        return "; ".join(row.detail for row in found)


async def test_dropping_the_oldest_reads_no_more_than_it_drops(database: Database, database_kind: str) -> None:
    if database_kind == "sqlite":
        async with database.read() as connection:
            found = await connection.execute(
                text(
                    "EXPLAIN QUERY PLAN SELECT id FROM events WHERE (published_at, id) < (5, 5) ORDER BY published_at, id"
                )
            )
            assert "USING COVERING INDEX ix_events_published_at" in "; ".join(row.detail for row in found)
    await happen(database, 1, 2)
    async with database.write() as unit:
        assert await store.delete_before(unit, Place(START + 2 * HOUR, 0), limit=10) == 1
    assert await kept(database) == ["2"]


# --- what waits to be written ---


def refusal(name: str) -> Event:
    return Event(EventType.SIGN_IN, SYSTEM, ObjectType.ACCOUNT, name, outcome=Outcome.REFUSED)


async def count(database: Database) -> int:
    async with database.read() as connection:
        return int(await connection.scalar(select(func.count()).select_from(events)) or 0)


async def test_what_waits_is_written_once_and_waits_on_when_the_database_is_away(
    database: Database, clock: ManualClock
) -> None:
    pending = PendingEvents(database, clock)
    pending.add(refusal("a"))
    moment = clock.now()
    clock.move(HOUR)
    pending.count(refusal("b"))

    async def away(_waiting: Sequence[Event]) -> Sequence[Event]:
        raise UnavailableError("away")

    with pytest.raises(UnavailableError):
        await pending.flush(away)
    assert await count(database) == 0
    clock.move(HOUR)
    for _ in range(2):
        await pending.flush()
    async with database.read() as connection:
        rows: list[Any] = list(await connection.execute(select(events).order_by(events.c.id)))
    assert [(row.object_id, row.content) for row in rows] == [("a", ""), ("", "1 more like it")]
    assert rows[0].published_at == moment


async def test_a_flood_fills_neither_memory_nor_disk(database: Database, clock: ManualClock) -> None:
    pending = PendingEvents(database, clock)
    for number in range(20_000):
        pending.add(refusal(str(number)))
    await pending.flush(is_last=True)
    assert await count(database) == 5001


def test_few_of_the_same_are_let_through_until_the_time_is_over() -> None:
    seconds = [0.0]
    sparingly = Sparingly(2, 60, lambda: seconds[0])
    assert [sparingly.take("a") for _ in range(3)] == [True, True, False]
    assert sparingly.take("b")
    seconds[0] = 59
    assert not sparingly.take("a")
    seconds[0] = 61
    assert sparingly.take("a")


async def test_an_event_of_another_version_is_still_read(database: Database) -> None:
    row = {"published_at": START, "type": "NEW", "actor_type": "?", "actor": "", "object_type": "TAG", "object_id": "9"}
    async with database.write() as unit:
        await unit.execute(insert(events).values(**row))
    assert await kept(database) == ["9"]
