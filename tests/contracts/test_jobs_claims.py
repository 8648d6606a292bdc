"""The queue, from the side of workers, on each kind of database: claims, retries, heartbeats, take-over."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from lading.database import Database
from lading.jobs.claims import LOSSES_LIMIT, Claims
from lading.jobs.jobs import Claim, Job, JobRequest, Status
from lading.jobs.queue import Queue
from lading.jobs.tables import jobs
from support.clocks import START, ManualClock

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def queue(database: Database, clock: ManualClock) -> Queue:
    return Queue(database, clock)


@pytest.fixture
def first(database: Database, clock: ManualClock) -> Claims:
    return Claims(database, clock, "first", chance=lambda: 1.0)


@pytest.fixture
async def second(upgraded_url: str, database: Database, clock: ManualClock) -> AsyncIterator[Claims]:
    """Another worker, with connections of its own."""
    opened = await Database.open(upgraded_url)
    yield Claims(opened, clock, "second", chance=lambda: 1.0)
    await opened.close()


async def claim(claims: Claims) -> Claim:
    found = await claims.claim(["work"])
    assert found is not None
    return found


async def log_of(queue: Queue, job: Job) -> list[str]:
    return [line.data for line in await queue.log(job.id)]


# --- which job is next ---

_SUBMIT = st.tuples(st.just("submit"), st.integers(-2, 2), st.integers(-3, 3))  # priority, seconds from now
_MOVE = st.tuples(st.just("move"), st.integers(0, 2), st.just(0))
_CLAIM = st.tuples(st.just("claim"), st.just(0), st.just(0))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_SUBMIT | _SUBMIT | _CLAIM | _MOVE, max_size=15))
async def test_the_next_job_is_the_one_due_of_highest_priority_and_then_the_oldest(
    database: Database, steps: list[tuple[str, int, int]]
) -> None:
    clock = ManualClock()
    queue, claims = Queue(database, clock), Claims(database, clock, "worker")
    async with database.write() as unit:
        await unit.execute(delete(jobs))
    waiting: dict[str, tuple[int, datetime]] = {}
    for step, number, seconds in steps:
        if step == "submit":
            due = clock.now() + seconds * SECOND
            waiting[(await queue.submit(JobRequest("work", priority=number, scheduled_at=due))).id] = (-number, due)
        elif step == "move":
            clock.move(number * SECOND)
        else:
            found = await claims.claim(["work"])
            ready = [order for order in waiting.values() if order[1] <= clock.now()]
            # Of jobs alike in both, any may be next.
            assert (waiting.pop(found.job.id) if found else None) == min(ready, default=None)


async def test_only_jobs_of_the_actions_asked_for_are_claimed(queue: Queue, first: Claims) -> None:
    await queue.submit(JobRequest("play", priority=9))
    job = await queue.submit(JobRequest("work"))
    assert await first.claim([]) is None
    assert await first.claim(["sleep"]) is None
    assert (await claim(first)).job.id == job.id


async def test_many_workers_at_once_never_claim_one_job_twice(queue: Queue, first: Claims, second: Claims) -> None:
    made = {(await queue.submit(JobRequest("work"))).id for _ in range(40)}
    claimed: list[str] = []

    async def work(claims: Claims) -> None:
        while found := await claims.claim(["work"]):
            claimed.append(found.job.id)

    await asyncio.gather(*(work(claims) for claims in (first, second) for _ in range(4)))
    while found := await first.claim(["work"]):  # what a worker passed over while another was claiming it
        claimed.append(found.job.id)
    assert sorted(claimed) == sorted(made)


async def test_a_claimed_job_is_its_workers(queue: Queue, first: Claims, clock: ManualClock) -> None:
    job = await queue.submit(JobRequest("work"))
    clock.move(MINUTE)
    await claim(first)
    found = await queue.get(job.id)
    assert (found.status, found.worker_id, found.started_at) == (Status.RUNNING, "first", START + MINUTE)


# --- how it ended ---


async def test_a_failing_job_is_tried_again_with_growing_pauses_until_its_retries_are_used_up(
    queue: Queue, first: Claims, clock: ManualClock
) -> None:
    job = await queue.submit(JobRequest("work", retries=3))
    for seconds in (10, 20, 40):
        assert await first.fail(await claim(first), "the disk is full")
        assert (await queue.get(job.id)).status is Status.WAITING
        clock.move((seconds - 1) * SECOND)
        assert await first.claim(["work"]) is None
        clock.move(SECOND)
    assert await first.fail(await claim(first), "the disk is full")
    found = await queue.get(job.id)
    assert (found.status, found.retries_left) == (Status.ERRORED, 0)
    assert [line.startswith("the disk is full") for line in await log_of(queue, job)] == [True] * 4
    clock.move(timedelta(days=1))
    assert await first.claim(["work"]) is None


async def test_chance_shortens_a_pause_so_that_jobs_do_not_come_back_together(
    database: Database, queue: Queue, clock: ManualClock
) -> None:
    job = await queue.submit(JobRequest("work", retries=1))
    hasty = Claims(database, clock, "hasty", chance=lambda: 0.0)
    await hasty.fail(await claim(hasty), "no luck")
    assert (await queue.get(job.id)).scheduled_at == START + 5 * SECOND


async def test_a_job_without_retries_that_fails_is_errored_and_its_log_says_why(queue: Queue, first: Claims) -> None:
    job = await queue.submit(JobRequest("work"))
    await first.fail(await claim(first), "one line\nof two\0")
    assert (await queue.get(job.id)).status is Status.ERRORED
    assert await log_of(queue, job) == ["one line of two\N{REPLACEMENT CHARACTER}"]


async def test_a_job_given_back_waits_in_its_old_place_at_no_cost(
    queue: Queue, first: Claims, clock: ManualClock
) -> None:
    job = await queue.submit(JobRequest("work", retries=1))
    held = await claim(first)
    clock.move(MINUTE)
    await queue.submit(JobRequest("work"))
    assert await first.give_back(held)
    again = await claim(first)
    assert (again.job.id, again.job.retries_left, again.job.losses) == (job.id, 1, 0)


@pytest.mark.parametrize("how", ["fail", "give back", "take over"])
async def test_a_job_asked_to_cancel_does_not_wait_again(
    queue: Queue, first: Claims, clock: ManualClock, how: str
) -> None:
    job = await queue.submit(JobRequest("work", retries=9))
    held = await claim(first)
    await queue.cancel(job.id)
    await let_go(first, held, clock, how)
    assert (await queue.get(job.id)).status is Status.CANCELED


@pytest.mark.parametrize("how", ["fail", "give back", "take over"])
async def test_a_job_whose_key_another_waits_under_is_canceled_instead_of_waiting_again(
    queue: Queue, first: Claims, clock: ManualClock, how: str
) -> None:
    wanted = JobRequest("work", retries=9, unique_key="one")
    job = await queue.submit(wanted)
    held = await claim(first)
    newer = await queue.submit(wanted)
    await let_go(first, held, clock, how)
    assert (await queue.get(job.id)).status is Status.CANCELED
    assert "newer job" in (await log_of(queue, job))[-1]
    assert (await claim(first)).job.id == newer.id


async def let_go(claims: Claims, held: Claim, clock: ManualClock, how: str) -> None:
    if how == "fail":
        assert await claims.fail(held, "no luck")
    elif how == "give back":
        assert await claims.give_back(held)
    else:
        clock.move(2 * MINUTE)
        assert await claims.take_over(MINUTE) == 1


# --- the dead, and those thought dead ---


async def test_a_silent_workers_job_is_taken_over_and_one_that_beats_keeps_its_own(
    queue: Queue, first: Claims, second: Claims, clock: ManualClock
) -> None:
    await queue.submit(JobRequest("work", priority=1))
    await queue.submit(JobRequest("work"))
    silent, beating = await claim(first), await claim(first)
    clock.move(MINUTE)
    await first.beat([beating])
    assert await second.take_over(MINUTE) == 0  # not a moment too early
    clock.move(SECOND)
    assert await second.take_over(MINUTE) == 1
    assert set(await first.list_held([silent, beating])) == {beating.lease}
    again = await claim(second)
    assert (again.job.id, again.job.worker_id, again.job.losses) == (silent.job.id, "second", 1)


@pytest.mark.parametrize("ending", ["finish", "cancel", "fail", "give_back"])
@pytest.mark.parametrize("state", ["waiting", "running", "done"])
async def test_a_worker_thought_dead_that_comes_back_can_write_nothing_any_more(
    queue: Queue, first: Claims, second: Claims, clock: ManualClock, ending: str, state: str
) -> None:
    job = await queue.submit(JobRequest("work", retries=5))
    lost = await claim(first)
    clock.move(2 * MINUTE)
    await second.take_over(MINUTE)
    if state != "waiting":
        held = await claim(second)
        if state == "done":
            assert await second.finish(held)
    before, log = await queue.get(job.id), await log_of(queue, job)
    await first.beat([lost])
    await first.log(lost, "I was only asleep")
    await first.progress(lost, 5, 9)
    words = ["I was only asleep"] if ending in {"cancel", "fail"} else []
    assert not await getattr(first, ending)(lost, *words)
    assert await queue.get(job.id) == before
    assert await log_of(queue, job) == log


async def test_a_worker_heard_of_again_in_the_moment_of_the_take_over_keeps_its_job(
    queue: Queue, first: Claims, second: Claims, clock: ManualClock
) -> None:
    await queue.submit(JobRequest("work"))
    held = await claim(first)
    clock.move(2 * MINUTE)
    await first.beat([held])  # after the second had found it silent
    assert not await second._take(held, clock.now(), clock.now() - MINUTE)
    assert await first.finish(held)


async def test_several_workers_take_a_dead_ones_job_over_once(
    queue: Queue, first: Claims, second: Claims, clock: ManualClock
) -> None:
    job = await queue.submit(JobRequest("work"))
    await claim(first)
    clock.move(2 * MINUTE)
    taken = await asyncio.gather(*(claims.take_over(MINUTE) for claims in (first, second) for _ in range(3)))
    assert sum(taken) == 1
    assert (await queue.get(job.id)).losses == 1


async def test_a_job_that_takes_its_workers_down_is_errored_in_the_end(
    queue: Queue, first: Claims, clock: ManualClock
) -> None:
    job = await queue.submit(JobRequest("work", retries=9))
    for _ in range(LOSSES_LIMIT):
        await claim(first)
        clock.move(2 * MINUTE)
        await first.take_over(MINUTE)
    assert (await queue.get(job.id)).status is Status.ERRORED
    assert "not run again" in (await log_of(queue, job))[-1]


async def test_a_worker_that_starts_again_takes_back_what_it_died_over_and_nothing_of_others(
    queue: Queue, first: Claims, second: Claims
) -> None:
    mine = await queue.submit(JobRequest("work", priority=1))
    await queue.submit(JobRequest("work"))
    lost, other = await claim(first), await claim(second)
    assert await first.take_back() == 1
    assert (await queue.get(mine.id)).losses == 1
    assert set(await first.list_held([lost, other])) == {other.lease}
    assert (await claim(first)).job.id == mine.id
