"""What `lading.database` promises, on each kind of database. The `locks` table stands for any."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, text, update

from lading.core.clock import EPOCH
from lading.core.errors import UnavailableError
from lading.database import Database, Point
from lading.database.locks import find_holder, release, try_lease
from lading.database.migrations import current, newest, upgrade
from lading.database.schema import locks
from support.clocks import START
from support.database_writer import STEP
from support.waiting import until

WRITER = Path(__file__).parents[1] / "support" / "database_writer.py"
MINUTE = timedelta(minutes=1)
HOLDER = Point(select(locks.c.holder).where(locks.c.name == text(":name").bindparams(name="")))


def row(name: str, holder: str = "nobody") -> dict[str, object]:
    return {"name": name, "holder": holder, "expires_at": EPOCH}


async def count(database: Database) -> int:
    async with database.read() as connection:
        return int(await connection.scalar(select(func.count()).select_from(locks)) or 0)


@pytest.fixture
async def other(upgraded_url: str, database: Database) -> AsyncIterator[Database]:
    """The same database, opened once more, as another process would."""
    opened = await Database.open(upgraded_url)
    yield opened
    await opened.close()


async def test_a_unit_of_work_is_kept_whole(database: Database, other: Database) -> None:
    async with database.write() as unit:
        await unit.execute(insert(locks).values(row("one")))
        await unit.execute(insert(locks).values(row("two")))
        assert await count(other) == 0
    assert await count(other) == 2


async def test_nothing_of_a_unit_of_work_is_kept_when_it_ends_with_an_error(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        await _add(database, "one", after=lambda: 1 // 0)
    assert await count(database) == 0


async def test_nothing_of_a_cancelled_unit_of_work_is_kept_and_others_go_on(database: Database) -> None:
    begun = asyncio.Event()

    async def write() -> None:
        async with database.write() as unit:
            await unit.execute(insert(locks).values(row("one")))
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(write())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with database.write() as unit:
        await unit.execute(insert(locks).values(row("two")))
    assert await count(database) == 1


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)  # the only one where units wait for each other
async def test_cancelling_who_waits_for_its_turn_takes_nobody_elses(database: Database, other: Database) -> None:
    async with other.write() as unit:
        await unit.execute(insert(locks).values(row("one")))
        waiting = asyncio.create_task(_add(database, "two"))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    await _add(database, "three")
    await _add(other, "four")
    assert "one" in await names(database)
    assert {"three", "four"} <= await names(other)


async def names(database: Database) -> set[str]:
    async with database.read() as connection:
        return set(await connection.scalars(select(locks.c.name)))


async def _add(database: Database, name: str, after: Callable[[], object] = lambda: None) -> None:
    async with database.write() as unit:
        await unit.execute(insert(locks).values(row(name)))
        after()


async def test_a_unit_that_need_not_be_durable_is_seen_like_any_other(database: Database, other: Database) -> None:
    async with database.write(durable=False) as unit:
        await unit.execute(insert(locks).values(row("one")))
    assert await names(other) == {"one"}


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
async def test_a_durable_unit_waits_for_the_disk_after_one_that_did_not(database: Database) -> None:
    async with database.write(durable=False) as unit:
        assert await unit.scalar(text("PRAGMA synchronous")) == 1  # NORMAL
    async with database.write() as unit:
        assert await unit.scalar(text("PRAGMA synchronous")) == 2  # FULL


async def test_a_point_sees_each_commit_at_once(database: Database, other: Database) -> None:
    for number in range(20):
        async with other.write() as unit:
            if number == 0:
                await unit.execute(insert(locks).values(row("one", "0")))
            await unit.execute(update(locks).values(holder=str(number)))
        found = await database.points.first(HOLDER, name="one")
        assert found is not None
        assert found[0] == str(number)
    assert await database.points.first(HOLDER, name="two") is None
    assert database.points.count == 21


async def test_many_units_at_once_lose_no_count(database: Database, other: Database) -> None:
    async with database.write() as unit:
        await unit.execute(insert(locks).values(row("one")))

    async def add(where: Database) -> None:
        for _ in range(10):
            async with where.write(durable=False) as unit:
                last = await unit.scalar(select(locks.c.expires_at).with_for_update())
                assert last is not None
                await unit.execute(update(locks).values(expires_at=last + STEP))

    await asyncio.gather(*(add(where) for where in (database, other) for _ in range(3)))
    async with database.read() as connection:
        assert await connection.scalar(select(locks.c.expires_at)) == EPOCH + 60 * STEP


async def test_writers_of_several_processes_all_get_their_turns(database: Database, upgraded_url: str) -> None:
    writers = ("a", "b", "c", "d")
    async with database.write() as unit:
        await unit.execute(insert(locks), [row(name) for name in writers])
    processes = [
        subprocess.Popen([sys.executable, WRITER, upgraded_url, name], stdout=subprocess.PIPE) for name in writers
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert await asyncio.to_thread(process.stdout.readline) == b"ready\n"
        before = await counters(database)
        goal = {name: before[name] + 20 for name in writers}

        async def reached() -> bool:
            return all(counted >= goal[name] for name, counted in (await counters(database)).items())

        await until(reached)  # while all of them loop; a starved one would take far longer
    finally:
        for process in processes:
            process.terminate()
            process.communicate(timeout=30)
    assert [process.returncode for process in processes] == [0, 0, 0, 0]


async def counters(database: Database) -> dict[str, int]:
    async with database.read() as connection:
        found = await connection.execute(select(locks.c.name, locks.c.expires_at))
        return {name: (moment - EPOCH) // STEP for name, moment in found}


# --- leases ---


async def lease(database: Database, holder: str, at: timedelta = timedelta(0)) -> bool:
    async with database.write() as unit:
        return await try_lease(unit, "garbage", holder, START + at, MINUTE)


async def test_one_of_many_gets_a_lease(database: Database, other: Database) -> None:
    got = await asyncio.gather(*(lease((database, other)[number % 2], str(number)) for number in range(10)))
    assert sum(got) == 1
    async with database.read() as connection:
        assert await find_holder(connection, "garbage", START) == str(got.index(True))


async def test_a_lease_is_taken_over_when_it_is_over_or_was_given_back(database: Database) -> None:
    assert await lease(database, "a")
    assert await lease(database, "a", at=MINUTE / 2)  # renewed
    assert not await lease(database, "b", at=MINUTE)
    assert await lease(database, "b", at=MINUTE * 2)
    async with database.write() as unit:
        await release(unit, "garbage", "a")  # no longer a's to give back
    assert not await lease(database, "a", at=MINUTE * 2)
    async with database.write() as unit:
        await release(unit, "garbage", "b")
    assert await lease(database, "a", at=MINUTE * 2)


# --- schema ---


async def test_upgrading_twice_changes_nothing_more(database_url: str) -> None:
    database = await Database.open(database_url)
    assert await current(database) is None
    await upgrade(database)
    await _add(database, "kept")
    await upgrade(database)
    assert await current(database) == newest()
    assert await names(database) == {"kept"}
    await database.close()


async def test_replicas_that_start_at_once_upgrade_one_after_the_other(database_url: str) -> None:
    replicas = [await Database.open(database_url) for _ in range(3)]
    await asyncio.gather(*(upgrade(replica) for replica in replicas))
    assert [await current(replica) for replica in replicas] == [newest()] * 3
    for replica in replicas:
        await replica.close()


async def test_a_database_that_does_not_answer_is_said_to_be_unavailable(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"database\.url"):
        await Database.open(f"postgresql+asyncpg://nobody@/none?host={tmp_path}")
