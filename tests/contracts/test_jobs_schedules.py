"""Schedules on each kind of database: one job per moment, however many workers look."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, update

from lading.database import Database
from lading.jobs.claims import Claims
from lading.jobs.context import JobContext
from lading.jobs.cron import ScheduleInvalidError, ScheduleUnknownError
from lading.jobs.jobs import Job, JobInvalidError, JobRequest
from lading.jobs.queue import Queue
from lading.jobs.schedules import Schedules
from lading.jobs.tables import jobs
from lading.jobs.tables import schedules as rows
from lading.jobs.worker import Timing, Worker
from support.clocks import START, ManualClock
from support.waiting import until

SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
EACH_SECOND = "* * * * * *"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def queue(database: Database, clock: ManualClock) -> Queue:
    return Queue(database, clock)


@pytest.fixture
def schedules(database: Database, clock: ManualClock) -> Schedules:
    return Schedules(database, clock)


@pytest.fixture
async def others(upgraded_url: str, database: Database, clock: ManualClock) -> AsyncIterator[Schedules]:
    """The same schedules, as another worker sees them."""
    opened = await Database.open(upgraded_url)
    yield Schedules(opened, clock)
    await opened.close()


async def run_waiting(claims: Claims) -> int:
    """How many jobs waited; they are done now."""
    count = 0
    while claim := await claims.claim(["work"]):
        await claims.finish(claim)
        count += 1
    return count


async def test_a_schedule_submits_its_job_when_its_moment_has_come_and_not_before(
    queue: Queue, schedules: Schedules, clock: ManualClock
) -> None:
    await schedules.put("work", "@daily", parameters={"what": "all"}, deadline=HOUR, stop_timeout=SECOND, retries=2)
    assert (await schedules.get("work")).next_run_at == START.replace(hour=0, minute=0, second=0) + DAY
    assert await schedules.submit_due() == 0
    clock.move(DAY)
    assert await schedules.submit_due() == 1
    (job,) = await queue.list()
    assert (job.action, job.parameters, job.retries_left) == ("work", {"what": "all"}, 2)
    assert (job.deadline, job.stop_timeout) == (HOUR, SECOND)


async def test_each_moment_makes_one_job_however_many_workers_look(
    database: Database, queue: Queue, schedules: Schedules, others: Schedules, clock: ManualClock
) -> None:
    claims = Claims(database, clock, "worker")
    await schedules.put("work", EACH_SECOND)
    for _ in range(5):
        clock.move(SECOND)
        submitted = await asyncio.gather(*(one.submit_due() for one in (schedules, others) for _ in range(4)))
        assert sum(submitted) == 1
        assert await run_waiting(claims) == 1
    assert len(await queue.list(limit=100)) == 5


async def test_moments_missed_while_nothing_ran_are_made_up_by_one_job(
    queue: Queue, schedules: Schedules, clock: ManualClock
) -> None:
    await schedules.put("work", "@hourly")
    clock.move(30 * DAY)
    assert [await schedules.submit_due() for _ in range(3)] == [1, 0, 0]
    assert len(await queue.list()) == 1
    assert clock.now() < (await schedules.get("work")).next_run_at <= clock.now() + HOUR


async def test_while_a_run_waits_the_next_moment_adds_none(
    queue: Queue, schedules: Schedules, clock: ManualClock
) -> None:
    await schedules.put("work", EACH_SECOND)
    for _ in range(4):
        clock.move(SECOND)
        await schedules.submit_due()
    assert len(await queue.list()) == 1


async def test_while_a_run_is_under_way_the_next_one_waits(
    database: Database, queue: Queue, schedules: Schedules, clock: ManualClock
) -> None:
    await schedules.put("work", EACH_SECOND)
    clock.move(SECOND)
    await schedules.submit_due()
    assert await Claims(database, clock, "worker").claim(["work"])
    for _ in range(2):
        clock.move(SECOND)
        await schedules.submit_due()
    assert sorted(job.status for job in await queue.list()) == ["running", "waiting"]


async def test_a_scheduled_job_is_apart_from_those_people_ask_for(
    queue: Queue, schedules: Schedules, clock: ManualClock
) -> None:
    await queue.submit(JobRequest("work"))
    await schedules.put("work", EACH_SECOND)
    clock.move(SECOND)
    await schedules.submit_due()
    assert len(await queue.list()) == 2


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 7000), max_size=12))
async def test_a_look_makes_a_job_exactly_when_a_moment_has_come_since_the_last(
    database: Database, pauses: list[int]
) -> None:
    clock = ManualClock(START.replace(minute=0, second=0))
    schedules, claims = Schedules(database, clock), Claims(database, clock, "worker")
    async with database.write() as unit:
        await unit.execute(delete(jobs))
        await unit.execute(delete(rows))
    await schedules.put("work", "0 0 * * * *")
    for seconds in pauses:
        before = clock.now()
        clock.move(seconds * SECOND)
        passed = clock.now().replace(minute=0, second=0) > before.replace(minute=0, second=0)
        await schedules.submit_due()
        assert await run_waiting(claims) == int(passed)


# --- changing schedules ---


async def test_a_schedule_put_again_with_the_same_words_keeps_its_next_run(
    schedules: Schedules, clock: ManualClock
) -> None:
    first = await schedules.put("work", "@hourly")
    clock.move(2 * HOUR)  # the server was away, and starts again
    again = await schedules.put("work", "@hourly", retries=1)
    assert (again.id, again.next_run_at, again.retries) == (first.id, first.next_run_at, 1)
    assert await schedules.submit_due() == 1


async def test_other_words_move_the_next_run(schedules: Schedules, clock: ManualClock) -> None:
    await schedules.put("work", "@daily")
    changed = await schedules.put("work", EACH_SECOND)
    assert changed.next_run_at == START + SECOND
    assert [schedule.schedule for schedule in await schedules.list()] == [EACH_SECOND]


async def test_a_deleted_schedule_submits_nothing_more(queue: Queue, schedules: Schedules, clock: ManualClock) -> None:
    await schedules.put("work", EACH_SECOND)
    await schedules.delete("work")
    clock.move(HOUR)
    assert await schedules.submit_due() == 0
    with pytest.raises(ScheduleUnknownError):
        await schedules.get("work")
    assert await queue.list() == []


async def test_what_could_not_run_is_refused_when_it_is_put(schedules: Schedules) -> None:
    with pytest.raises(ScheduleInvalidError):
        await schedules.put("work", "0 0 * * *")
    with pytest.raises(JobInvalidError):
        await schedules.put("work", "@daily", retries=-1)
    assert await schedules.list() == []


async def test_a_schedule_that_no_longer_parses_holds_up_no_other(
    database: Database, queue: Queue, schedules: Schedules, clock: ManualClock
) -> None:
    await schedules.put("broken", EACH_SECOND)
    await schedules.put("work", EACH_SECOND)
    async with database.write() as unit:
        await unit.execute(update(rows).where(rows.c.action == "broken").values(schedule="@never"))
    clock.move(SECOND)
    assert await schedules.submit_due() == 1
    assert [job.action for job in await queue.list()] == ["work"]


async def test_a_running_worker_runs_what_is_scheduled_each_time(
    database: Database, schedules: Schedules, clock: ManualClock
) -> None:
    ran: list[str] = []

    async def work(job: Job, _context: JobContext) -> None:
        ran.append(job.id)

    await schedules.put("work", EACH_SECOND)
    timing = Timing(poll=timedelta(milliseconds=20))
    worker = Worker(database, clock, {"work": work}, "here", timing=timing)
    running = asyncio.create_task(worker.run())
    for number in range(1, 4):
        clock.move(SECOND)

        async def has_run(wanted: int = number) -> bool:
            return len(ran) == wanted

        await until(has_run)
    worker.stop()
    await running
    assert len(set(ran)) == 3
