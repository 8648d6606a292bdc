"""The queue, from the side of those who want work done, on each kind of database."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from lading.database import Database
from lading.jobs import store
from lading.jobs.claims import Claims
from lading.jobs.jobs import Claim, Job, JobRequest, JobUnknownError, Status
from lading.jobs.queue import Queue, submit
from support.clocks import START, ManualClock

HOUR = timedelta(hours=1)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def queue(database: Database, clock: ManualClock) -> Queue:
    return Queue(database, clock)


@pytest.fixture
def claims(database: Database, clock: ManualClock) -> Claims:
    return Claims(database, clock, "worker")


async def claim(claims: Claims, *actions: str) -> Claim:
    found = await claims.claim(actions or ("work",))
    assert found is not None
    return found


async def lines(queue: Queue, job: Job) -> list[str]:
    return [line.data for line in await queue.log(job.id)]


async def test_a_submitted_job_waits_as_it_was_asked_for(queue: Queue) -> None:
    wanted = JobRequest(
        "work",
        parameters={"name": "ada/app", "text": "ü\n"},
        priority=-7,
        scheduled_at=START + HOUR,
        deadline=timedelta(milliseconds=1500),
        stop_timeout=timedelta(seconds=3),
        retries=4,
    )
    job = await queue.get((await queue.submit(wanted)).id)
    assert (job.status, job.worker_id, job.started_at) == (Status.WAITING, "", None)
    assert (job.action, job.parameters, job.priority) == (wanted.action, wanted.parameters, wanted.priority)
    assert (job.scheduled_at, job.deadline, job.stop_timeout) == (
        wanted.scheduled_at,
        wanted.deadline,
        wanted.stop_timeout,
    )
    assert (job.retries_left, job.retries_total, job.created_at) == (4, 4, START)


async def test_a_job_submitted_in_a_unit_of_work_that_fails_was_never_there(database: Database, queue: Queue) -> None:
    with pytest.raises(ZeroDivisionError):
        await _submit_and_fail(database)
    assert await queue.list() == []


async def _submit_and_fail(database: Database) -> None:
    async with database.write() as unit:
        await submit(unit, JobRequest("work"), START)
        _ = 1 // 0


# --- one waiting job a key ---


async def test_many_requests_of_one_key_at_once_are_one_waiting_job(queue: Queue) -> None:
    wanted = JobRequest("work", unique_key="all")
    found = await asyncio.gather(*(queue.submit(wanted) for _ in range(12)))
    assert len({job.id for job in found}) == 1
    assert len(await queue.list()) == 1


async def test_jobs_without_a_key_or_of_other_keys_all_wait(queue: Queue) -> None:
    for key in (None, None, "one", "two"):
        await queue.submit(JobRequest("work", unique_key=key))
    assert len(await queue.list()) == 4


async def test_once_a_job_runs_another_of_its_key_may_wait(queue: Queue, claims: Claims) -> None:
    first = await queue.submit(JobRequest("work", unique_key="one"))
    await claim(claims)
    second = await queue.submit(JobRequest("work", unique_key="one"))
    assert second.id != first.id
    assert (await queue.submit(JobRequest("work", unique_key="one"))).id == second.id


# --- looking ---


async def test_jobs_are_listed_newest_scheduled_first_and_by_page(queue: Queue, clock: ManualClock) -> None:
    made = []
    for _ in range(5):
        clock.move(HOUR)
        made.append((await queue.submit(JobRequest("work"))).id)
    newest = list(reversed(made))
    assert [job.id for job in await queue.list(limit=2)] == newest[:2]
    assert [job.id for job in await queue.list(start=2, limit=10)] == newest[2:]
    assert [job.id for job in await queue.list(start=-5, limit=-1)] == []


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"action": "work"}, {"waiting", "running"}),
        ({"action": "play"}, {"play"}),
        ({"worker": "worker"}, {"running"}),
        ({"worker": "nobody"}, set()),
        ({"running": True}, {"running"}),
        ({"running": False}, {"waiting", "play"}),
        ({"action": "play", "running": True}, set()),
    ],
)
async def test_jobs_are_listed_by_action_worker_and_state(
    queue: Queue, claims: Claims, asked: dict[str, Any], found: set[str]
) -> None:
    names = {(await queue.submit(JobRequest("work"))).id: "running"}
    await claim(claims)
    names[(await queue.submit(JobRequest("work"))).id] = "waiting"
    names[(await queue.submit(JobRequest("play"))).id] = "play"
    assert {names[job.id] for job in await queue.list(**asked)} == found


async def test_a_job_that_is_not_there_is_said_to_be_unknown(queue: Queue) -> None:
    for ask in (queue.get, queue.log, queue.cancel):
        with pytest.raises(JobUnknownError):
            await ask("no such job")


# --- cancelling and deleting ---


async def test_a_canceled_waiting_job_never_runs(queue: Queue, claims: Claims) -> None:
    job = await queue.submit(JobRequest("work"))
    await queue.cancel(job.id)
    assert (await queue.get(job.id)).status is Status.CANCELED
    assert await claims.claim(["work"]) is None


async def test_cancelling_a_running_job_asks_its_worker(queue: Queue, claims: Claims) -> None:
    job = await queue.submit(JobRequest("work"))
    held = await claim(claims)
    assert await claims.list_held([held]) == {held.lease: False}
    await queue.cancel(job.id)
    assert await claims.list_held([held]) == {held.lease: True}
    assert (await queue.get(job.id)).status is Status.RUNNING
    assert await claims.cancel(held, "as was asked")
    assert (await queue.get(job.id)).status is Status.CANCELED


@pytest.mark.parametrize("ending", ["finish", "cancel", "fail"])
async def test_cancelling_a_finished_job_leaves_it_as_it_is(queue: Queue, claims: Claims, ending: str) -> None:
    job = await queue.submit(JobRequest("work"))
    held = await claim(claims)
    await (claims.finish(held) if ending == "finish" else getattr(claims, ending)(held, "why"))
    before = await queue.get(job.id)
    await queue.cancel(job.id)
    assert await queue.get(job.id) == before


async def test_a_deleted_job_and_its_log_are_gone_and_its_worker_has_lost_it(queue: Queue, claims: Claims) -> None:
    job = await queue.submit(JobRequest("work"))
    held = await claim(claims)
    await claims.log(held, "begun")
    await queue.delete(job.id)
    with pytest.raises(JobUnknownError):
        await queue.log(job.id)
    assert await claims.list_held([held]) == {}
    await claims.log(held, "still there")
    assert not await claims.finish(held)
    assert await queue.list() == []


# --- logs ---


async def test_a_log_is_readable_while_its_job_runs_from_any_line_on(queue: Queue, claims: Claims) -> None:
    job = await queue.submit(JobRequest("work"))
    held = await claim(claims)
    await claims.log(held, "one", "two\nthree")
    assert await lines(queue, job) == ["one", "two", "three"]
    await claims.log(held, "four")
    found = await queue.log(job.id, start=2, limit=1)
    assert [(line.line, line.data, line.at) for line in found] == [(2, "three", START)]
    assert (await queue.get(job.id)).status is Status.RUNNING


async def test_lines_logged_at_once_all_stand_in_the_log(queue: Queue, claims: Claims) -> None:
    job = await queue.submit(JobRequest("work"))
    held = await claim(claims)
    await asyncio.gather(*(claims.log(held, f"line {number}") for number in range(20)))
    assert sorted(await lines(queue, job)) == sorted(f"line {number}" for number in range(20))


async def test_a_log_that_is_full_says_so_once_and_still_tells_how_the_job_ended(queue: Queue, claims: Claims) -> None:
    job = await queue.submit(JobRequest("work"))
    held = await claim(claims)
    for _ in range(6):
        await claims.log(held, *["x" * 10_000] * 1000)
    await claims.fail(held, "why it failed")
    found = await lines(queue, job)
    assert found[: store.LOG_LIMIT] == ["x" * store.LINE_LIMIT] * store.LOG_LIMIT
    assert len(found) == store.LOG_LIMIT + 2
    assert "full" in found[-2]
    assert found[-1] == "why it failed"


async def test_progress_is_seen_while_the_job_runs_and_begins_anew_with_it(queue: Queue, claims: Claims) -> None:
    job = await queue.submit(JobRequest("work"))
    held = await claim(claims)
    await claims.progress(held, 3, 9)
    assert ((await queue.get(job.id)).progress_done, (await queue.get(job.id)).progress_total) == (3, 9)
    await claims.give_back(held)
    again = await claim(claims)
    assert (again.job.progress_done, again.job.progress_total) == (0, 0)


async def test_a_new_job_wakes_the_worker_of_this_process(database: Database, clock: ManualClock) -> None:
    woken: list[str] = []
    await Queue(database, clock, wake=lambda: woken.append("woken")).submit(JobRequest("work"))
    assert woken == ["woken"]
