"""The history of jobs, on each kind of database: what goes by number and by age, and what a kill in the middle leaves."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from lading.database import Database
from lading.jobs.claims import Claims
from lading.jobs.context import JobContext
from lading.jobs.history import History
from lading.jobs.jobs import JobRequest
from lading.jobs.queue import Queue
from lading.jobs.tables import job_logs, jobs
from support.clocks import ManualClock
from support.cutting import is_cut

DAY = timedelta(days=1)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def queue(database: Database, clock: ManualClock) -> Queue:
    return Queue(database, clock)


@pytest.fixture
def claims(database: Database, clock: ManualClock) -> Claims:
    return Claims(database, clock, "worker", chance=lambda: 0.0)


async def ended(queue: Queue, claims: Claims, how: str = "finish", *, action: str = "work", lines: int = 0) -> str:
    """The id of a job that was run and has ended."""
    job = await queue.submit(JobRequest(action))
    claim = await claims.claim([action])
    assert claim is not None
    await claims.log(claim, *["line"] * lines)
    await (claims.finish(claim) if how == "finish" else getattr(claims, how)(claim, "why"))
    return job.id


async def ids(queue: Queue) -> set[str]:
    return {job.id for job in await queue.list(limit=1000)}


async def count_lines(database: Database) -> int:
    async with database.read() as connection:
        return int(await connection.scalar(select(func.count()).select_from(job_logs)) or 0)


async def test_the_newest_finished_jobs_of_each_action_stay(
    database: Database, queue: Queue, claims: Claims, clock: ManualClock
) -> None:
    made: dict[str, list[str]] = {"work": [], "play": []}
    for _ in range(4):
        for action, known in made.items():
            clock.move(DAY)
            known.append(await ended(queue, claims, action=action))
    assert await History(database, clock, keep=2, age=365 * DAY).trim() == 4
    assert await ids(queue) == {*made["work"][-2:], *made["play"][-2:]}


@pytest.mark.parametrize("how", ["finish", "cancel", "fail"])
async def test_finished_jobs_go_when_they_are_too_old_however_they_ended(
    database: Database, queue: Queue, claims: Claims, clock: ManualClock, how: str
) -> None:
    await ended(queue, claims, how)
    clock.move(10 * DAY)
    young = await ended(queue, claims, how)
    assert await History(database, clock, keep=100, age=9 * DAY).trim() == 1
    assert await ids(queue) == {young}


async def test_waiting_and_running_jobs_stay_however_old_they_are(
    database: Database, queue: Queue, claims: Claims, clock: ManualClock
) -> None:
    await queue.submit(JobRequest("work"))
    assert await claims.claim(["work"])
    await queue.submit(JobRequest("work"))
    clock.move(1000 * DAY)
    assert await History(database, clock, keep=0, age=DAY).trim() == 0
    assert len(await ids(queue)) == 2


async def test_logs_go_with_their_jobs_and_only_with_them(
    database: Database, queue: Queue, claims: Claims, clock: ManualClock
) -> None:
    await ended(queue, claims, lines=700)  # more than one unit of work takes
    clock.move(DAY)
    kept = await ended(queue, claims, lines=3)
    assert await History(database, clock, keep=1, age=365 * DAY).trim() == 1
    assert await count_lines(database) == len(await queue.log(kept)) == 3


async def test_trimming_twice_is_trimming_once(
    database: Database, queue: Queue, claims: Claims, clock: ManualClock
) -> None:
    for _ in range(3):
        await ended(queue, claims)
    history = History(database, clock, keep=1, age=365 * DAY)
    assert [await history.trim(), await history.trim()] == [2, 0]


async def test_as_a_job_it_tells_in_its_own_log_what_went(
    database: Database, queue: Queue, claims: Claims, clock: ManualClock
) -> None:
    for _ in range(3):
        await ended(queue, claims)
    job = await queue.submit(JobRequest("job_history"))
    claim = await claims.claim(["job_history"])
    assert claim is not None
    await History(database, clock, keep=1, age=365 * DAY)(claim.job, JobContext(claims, claim))
    assert [line.data for line in await queue.log(job.id)] == ["dropped 2 finished jobs"]


async def test_cut_off_at_any_step_it_leaves_whole_jobs_and_the_next_run_ends_the_work(
    database: Database, queue: Queue, claims: Claims, clock: ManualClock
) -> None:
    kept = await ended(queue, claims, lines=2)
    step, was_cut = 0, True
    while was_cut:
        clock.move(-DAY)  # each older than the one before
        await ended(queue, claims, lines=2)
        clock.move(DAY)
        was_cut = await is_cut(History(database, clock, keep=1, age=365 * DAY).trim(), step)
        step += 1
        assert kept in await ids(queue)
        assert await count_lines(database) == 2 * len(await ids(queue))
    assert step > 1
    assert await ids(queue) == {kept}
    async with database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(jobs)) == 1
