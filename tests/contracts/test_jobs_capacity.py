"""What jobs take of a worker's capacity, default parameters, and schedules that are given once, on each kind of database."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import insert

from lading.database import Database
from lading.events.log import Actor
from lading.jobs import store
from lading.jobs.claims import Claims
from lading.jobs.configs import ActionConfigs
from lading.jobs.context import JobContext
from lading.jobs.cron import ScheduleUnknownError
from lading.jobs.jobs import Job, JobInvalidError, JobRequest, Status
from lading.jobs.queue import Queue
from lading.jobs.schedules import Schedules
from lading.jobs.tables import jobs
from lading.jobs.worker import Timing, Worker
from support.clocks import START, ManualClock

HOUR = timedelta(hours=1)
ADMIN = Actor.account("admin")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def queue(database: Database, clock: ManualClock) -> Queue:
    return Queue(database, clock)


async def test_a_job_waits_until_its_worker_has_room_for_all_that_it_takes(
    database: Database, queue: Queue, clock: ManualClock
) -> None:
    release = asyncio.Event()

    async def hold(_job: Job, _context: JobContext) -> None:
        await release.wait()

    names = ("scan", "copy")
    worker = Worker(
        database, clock, dict.fromkeys(names, hold), "here", {"scan": 5, "disk": 3}, Timing(stop=timedelta(seconds=1))
    )
    wanted: tuple[tuple[str, dict[str, int]], ...] = (
        ("scan", {"disk": 4}),  # never has room
        ("scan", {"disk": 2}),
        ("scan", {"disk": 2}),  # not beside the one before
        ("copy", {"disk": 1}),
        ("copy", {}),  # one of an action, where nothing is said
        ("scan", {"scan": 4}),  # four beside one
        ("scan", {}),  # a sixth
    )
    made = []
    for action, capacity in wanted:
        made.append(await queue.submit(JobRequest(action, capacity=capacity)))
        clock.move(timedelta(seconds=1))  # who came first is claimed first
    while await worker.run_one():
        clock.move(timedelta(microseconds=1))
    stand = [(await queue.get(job.id)).status for job in made]
    running, waiting = Status.RUNNING, Status.WAITING
    assert stand == [waiting, running, waiting, running, waiting, running, waiting]
    taken: dict[str, int] = {}
    for job, status in zip(made, stand, strict=True):
        for name, number in job.takes.items() if status is running else ():
            taken[name] = taken.get(name, 0) + number
    assert taken == {"scan": 5, "disk": 3, "copy": 1}
    release.set()
    await worker.wait()
    while await worker.run_one():
        await worker.wait()
    assert [(await queue.get(job.id)).status for job in made] == [waiting, *[Status.DONE] * 6]


async def test_what_a_job_takes_is_kept_and_what_is_no_capacity_is_refused(queue: Queue) -> None:
    job = await queue.submit(JobRequest("scan", capacity={"disk": 0, "scan": 2}))
    assert (job.capacity, job.takes) == ({"disk": 0, "scan": 2}, {"disk": 0, "scan": 2})
    for wrong in ({"disk": -1}, {"disk": 1001}, {"a b": 1}, {str(number): 1 for number in range(101)}):
        with pytest.raises(JobInvalidError):
            JobRequest("scan", capacity=wrong)


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)  # PostgreSQL decides by what is in the tables
async def test_looking_for_capacities_walks_only_the_jobs_that_ask_for_any(database: Database) -> None:
    row = {
        "action": "work",
        "parameters": "{}",
        "status": "waiting",
        "rank": 0,
        "created_at": START,
        "updated_at": START,
    }
    async with database.write() as unit:
        await unit.execute(insert(jobs), [{**row, "id": str(number), "scheduled_at": START} for number in range(2000)])
        await unit.exec_driver_sql("ANALYZE")
    async with database.read() as connection:
        assert await store.list_capacities(connection) == []
        plan = await connection.exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT DISTINCT capacity FROM jobs WHERE status = 'waiting' AND capacity != '{}' LIMIT 9"
        )
        assert "ix_jobs_needy" in "; ".join(row.detail for row in plan)


async def test_a_scheduled_run_gets_the_actions_default_parameters_as_they_are_then(
    database: Database, queue: Queue, clock: ManualClock
) -> None:
    schedules, configs = Schedules(database, clock), ActionConfigs(database, clock)
    await schedules.put("work", "@hourly", parameters={"a": "schedule"}, capacity={"disk": 2})
    await configs.put("work", {"a": "config", "b": "config"}, by=ADMIN)
    clock.move(HOUR)
    assert await schedules.submit_due() == 1
    (job,) = await queue.list()
    assert (job.parameters, job.capacity) == ({"a": "schedule", "b": "config"}, {"disk": 2})
    claim = await Claims(database, clock, "worker").claim(["work"])
    assert claim is not None
    assert claim.job.parameters == job.parameters


async def test_a_usual_schedule_is_given_once_and_stays_as_somebody_left_it(
    database: Database, clock: ManualClock
) -> None:
    schedules = Schedules(database, clock)
    await schedules.put_first("work", "@daily")
    assert (await schedules.get("work")).schedule == "@daily"
    await schedules.put("work", "@weekly", by=ADMIN)
    await schedules.put_first("work", "@daily")
    assert (await schedules.get("work")).schedule == "@weekly"
    await schedules.delete("work", by=ADMIN)
    await schedules.put_first("work", "@daily")
    with pytest.raises(ScheduleUnknownError):
        await schedules.get("work")
    clock.move(1000 * HOUR)
    assert (await schedules.list(), await schedules.submit_due()) == ([], 0)
    await schedules.put("work", "@hourly")
    assert [item.schedule for item in await schedules.list()] == ["@hourly"]
