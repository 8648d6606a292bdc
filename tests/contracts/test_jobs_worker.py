"""The worker on each kind of database: alone, and as several processes of which some are stopped or killed."""

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lading.core.clock import Clock, SystemClock
from lading.core.errors import UnavailableError
from lading.database import Database
from lading.jobs.context import Handler, JobContext
from lading.jobs.jobs import Job, JobRequest, JobStoppedError, Status
from lading.jobs.queue import Queue
from lading.jobs.worker import Timing, Worker
from lading.jobs.workers import Workers, WorkerUnknownError
from support.clocks import ManualClock
from support.waiting import until

PROCESS = Path(__file__).parents[1] / "support" / "job_worker.py"
HOUR = timedelta(hours=1)
FAST = Timing(timedelta(milliseconds=20), timedelta(milliseconds=20), HOUR, HOUR)


@pytest.fixture
def queue(database: Database) -> Queue:
    return Queue(database, SystemClock())


@dataclass
class Held:
    """A handler that runs until it is released, and tells what happened to it."""

    started: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    most: int = 0

    async def __call__(self, job: Job, _context: JobContext) -> None:
        self.started.append(job.id)
        self.most = max(self.most, len(self.started) - len(self.cancelled))
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.append(job.id)
            raise


async def deaf(_job: Job, context: JobContext) -> None:
    """Does not listen to being cancelled, until it is a while later."""
    for _ in range(2):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
    context.check()


@contextlib.asynccontextmanager
async def working(
    database: Database, handlers: dict[str, Handler], *, timing: Timing = FAST, clock: Clock | None = None
) -> AsyncIterator[Worker]:
    """A worker that runs; at the end it is told to hurry."""
    worker = Worker(database, clock or SystemClock(), handlers, "here", timing=timing)
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        worker.stop()
        await running


def stands(queue: Queue, job: Job, *wanted: Status) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return (await queue.get(job.id)).status in wanted

    return look


def holds(condition: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return condition()

    return look


async def log_of(queue: Queue, job: Job) -> list[str]:
    return [line.data for line in await queue.log(job.id)]


# --- what a handler does ---


async def test_a_handler_gets_its_parameters_logs_while_it_runs_and_ends_its_job(
    database: Database, queue: Queue
) -> None:
    release = asyncio.Event()

    async def work(job: Job, context: JobContext) -> None:
        await context.log(f"hello {job.parameters['name']}")
        await context.progress(1, 2)
        await release.wait()
        await context.progress(2, 2)

    job = await queue.submit(JobRequest("work", parameters={"name": "ada"}))
    async with working(database, {"work": work}):

        async def logged() -> bool:
            return await log_of(queue, job) == ["hello ada"]

        await until(logged)
        assert (await queue.get(job.id)).status is Status.RUNNING
        release.set()
        await until(stands(queue, job, Status.DONE))
    found = await queue.get(job.id)
    assert (found.progress_done, found.progress_total, found.worker_id) == (2, 2, "here")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UnavailableError("the storage is away"), "the storage is away"),
        (ValueError("a secret"), "unexpected failure; see the server's log"),
    ],
)
async def test_what_a_failing_handler_says_is_told_only_when_it_is_meant_for_people(
    database: Database, queue: Queue, error: Exception, said: str
) -> None:
    async def work(_job: Job, _context: JobContext) -> None:
        raise error

    job = await queue.submit(JobRequest("work"))
    async with working(database, {"work": work}):
        await until(stands(queue, job, Status.ERRORED))
    assert await log_of(queue, job) == [said]


async def test_a_failed_job_is_run_again_after_its_pause(database: Database) -> None:
    clock, tries = ManualClock(), list[str]()
    queue = Queue(database, clock)

    async def work(job: Job, _context: JobContext) -> None:
        tries.append(job.id)
        if len(tries) < 3:
            raise UnavailableError("not yet")

    job = await queue.submit(JobRequest("work", retries=2))
    async with working(database, {"work": work}, clock=clock):
        for number in (1, 2):
            await until(holds(lambda wanted=number: len(tries) == wanted))  # type: ignore[misc]  # mypy on defaults
            await until(stands(queue, job, Status.WAITING))
            clock.move(HOUR)
        await until(stands(queue, job, Status.DONE))
    assert len(tries) == 3


async def test_other_jobs_go_on_beside_one_that_fails(database: Database, queue: Queue) -> None:
    async def bad(_job: Job, _context: JobContext) -> None:
        raise RuntimeError

    async def good(_job: Job, _context: JobContext) -> None: ...

    failing, job = await queue.submit(JobRequest("bad", priority=1)), await queue.submit(JobRequest("good"))
    async with working(database, {"bad": bad, "good": good}):
        await until(stands(queue, job, Status.DONE))
        await until(stands(queue, failing, Status.ERRORED))


# --- ending a handler ---


async def test_a_canceled_running_job_is_ended(database: Database, queue: Queue) -> None:
    work = Held()
    job = await queue.submit(JobRequest("work", retries=5))
    async with working(database, {"work": work}):
        await until(holds(lambda: work.started == [job.id]))
        await queue.cancel(job.id)
        await until(stands(queue, job, Status.CANCELED))
        assert work.cancelled == [job.id]
    assert await log_of(queue, job) == ["the job was canceled"]


async def test_a_job_past_its_deadline_is_ended_and_errored(database: Database, queue: Queue) -> None:
    work = Held()
    job = await queue.submit(JobRequest("work", deadline=timedelta(milliseconds=100)))
    async with working(database, {"work": work}):
        await until(stands(queue, job, Status.ERRORED))
        assert work.cancelled == [job.id]
    assert "deadline" in (await log_of(queue, job))[0]


async def test_a_deadline_counts_from_each_start(database: Database) -> None:
    clock = ManualClock()
    queue = Queue(database, clock)
    work = Held()
    job = await queue.submit(JobRequest("work", deadline=timedelta(milliseconds=100), retries=1))
    async with working(database, {"work": work}, clock=clock):
        await until(holds(lambda: len(work.cancelled) == 1))
        await until(stands(queue, job, Status.WAITING))
        clock.move(HOUR)
        await until(stands(queue, job, Status.ERRORED))
        assert work.cancelled == [job.id, job.id]


async def test_a_handler_that_does_not_listen_keeps_its_place_until_it_ends(database: Database, queue: Queue) -> None:
    job = await queue.submit(JobRequest("work", stop_timeout=timedelta(milliseconds=50)))
    next_job = await queue.submit(JobRequest("work"))
    async with working(database, {"work": deaf}) as worker:
        await until(stands(queue, job, Status.RUNNING))
        await queue.cancel(job.id)
        await until(stands(queue, job, Status.CANCELED))
        assert not await worker.run_one()
        assert (await queue.get(next_job.id)).status is Status.WAITING


async def test_a_handler_whose_job_was_taken_over_is_ended_and_writes_nothing(database: Database, queue: Queue) -> None:
    work = Held()
    job = await queue.submit(JobRequest("work"))
    async with working(database, {"work": work}):
        await until(holds(lambda: work.started == [job.id]))
        await queue.delete(job.id)
        await until(holds(lambda: work.cancelled == [job.id]))
    assert await queue.list() == []


async def test_work_in_a_thread_hears_that_its_job_was_canceled(database: Database, queue: Queue) -> None:
    heard: list[str] = []

    async def work(_job: Job, context: JobContext) -> None:
        def loop() -> None:
            try:
                while True:
                    context.check()
            except JobStoppedError as error:
                heard.append(error.message)

        thread = asyncio.create_task(asyncio.to_thread(loop))
        try:
            await asyncio.shield(thread)
        finally:
            await thread

    job = await queue.submit(JobRequest("work"))
    async with working(database, {"work": work}):
        await until(stands(queue, job, Status.RUNNING))
        await queue.cancel(job.id)
        await until(stands(queue, job, Status.CANCELED, Status.DONE))
    assert heard == ["the job was canceled"]


# --- how many at once ---


async def test_one_job_of_an_action_runs_at_a_time_unless_more_are_allowed(database: Database, queue: Queue) -> None:
    work, play = Held(), Held()
    for _ in range(3):
        await queue.submit(JobRequest("work"))
        await queue.submit(JobRequest("play"))
    worker = Worker(database, SystemClock(), {"work": work, "play": play}, "here", {"play": 2}, FAST)
    while await worker.run_one():
        pass
    await until(holds(lambda: (len(work.started), len(play.started)) == (1, 2)))
    work.release.set()
    play.release.set()
    await worker.wait()


async def test_an_administrators_capacity_holds_from_the_next_heartbeat_on(database: Database, queue: Queue) -> None:
    work, workers = Held(), Workers(database, SystemClock())
    for _ in range(3):
        await queue.submit(JobRequest("work"))
    async with working(database, {"work": work}):
        await until(holds(lambda: len(work.started) == 1))
        await workers.set_capacity("here", {"work": 3})
        await until(holds(lambda: len(work.started) == 3))
        work.release.set()
    assert [(state.id, state.status, state.capacity) for state in await workers.list()] == [
        ("here", "stopped", {"work": 3})
    ]


async def test_a_worker_nobody_heard_of_has_no_capacity_to_set(database: Database) -> None:
    with pytest.raises(WorkerUnknownError):
        await Workers(database, SystemClock()).set_capacity("nobody", {})


# --- the end of a worker ---


async def test_a_stopping_worker_lets_its_job_end_and_claims_no_other(database: Database, queue: Queue) -> None:
    work = Held()
    job = await queue.submit(JobRequest("work"))
    worker = Worker(database, SystemClock(), {"work": work}, "here", timing=FAST)
    running = asyncio.create_task(worker.run())
    await until(holds(lambda: work.started == [job.id]))
    later = await queue.submit(JobRequest("work"))
    worker.stop()
    work.release.set()
    await running
    assert (await queue.get(job.id)).status is Status.DONE
    assert (await queue.get(later.id)).status is Status.WAITING


async def test_a_worker_that_must_stop_gives_its_job_back(database: Database, queue: Queue) -> None:
    work = Held()
    job = await queue.submit(JobRequest("work", stop_timeout=timedelta(milliseconds=50)))
    async with working(database, {"work": work}) as worker:
        await until(holds(lambda: work.started == [job.id]))
        worker.stop()
        await until(stands(queue, job, Status.WAITING))
    assert work.cancelled == [job.id]
    assert (await queue.get(job.id)).losses == 0


async def test_a_worker_told_twice_to_stop_does_not_wait_for_its_job(database: Database, queue: Queue) -> None:
    work = Held()
    job = await queue.submit(JobRequest("work"))  # it would get an hour
    async with working(database, {"work": work}):
        await until(holds(lambda: work.started == [job.id]))
    assert (await queue.get(job.id)).status is Status.WAITING


async def test_a_worker_that_starts_again_under_its_name_runs_at_once_what_it_died_over(
    database: Database, queue: Queue
) -> None:
    first, again = Held(), Held()
    job = await queue.submit(JobRequest("work"))
    dying = asyncio.create_task(Worker(database, SystemClock(), {"work": first}, "here", timing=FAST).run())
    await until(holds(lambda: first.started == [job.id]))
    dying.cancel()  # nothing is given back
    await asyncio.wait([dying])
    assert (await queue.get(job.id)).status is Status.RUNNING
    again.release.set()
    async with working(database, {"work": again}):
        await until(stands(queue, job, Status.DONE))
    assert again.started == [job.id]


# --- several processes ---


@dataclass
class Processes:
    """Job workers, each a process of its own."""

    url: str
    folder: Path
    started: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def start(self, name: str) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen([sys.executable, PROCESS, self.url, name, str(self.folder)], stdout=subprocess.PIPE)
        self.started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    def notes(self) -> list[str]:
        """The ids of all jobs that were run, once for each time."""
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "notes").read_text().split()
        return []

    def release(self) -> None:
        (self.folder / "release").touch()


@pytest.fixture
def processes(upgraded_url: str, database: Database, tmp_path: Path) -> Iterator[Processes]:
    found = Processes(upgraded_url, tmp_path)
    yield found
    for process in found.started:
        process.kill()
        process.communicate()


async def test_workers_of_several_processes_run_each_job_once(
    database: Database, queue: Queue, processes: Processes
) -> None:
    made = {(await queue.submit(JobRequest("note"))).id for _ in range(40)}
    for name in ("a", "b", "c"):
        processes.start(name)
    made |= {(await queue.submit(JobRequest("note"))).id for _ in range(40)}

    async def all_done() -> bool:
        return {job.status for job in await queue.list(limit=100)} == {Status.DONE}

    await until(all_done)
    assert sorted(processes.notes()) == sorted(made)


async def test_a_process_that_gets_sigterm_ends_gently_and_gives_its_job_back(
    queue: Queue, processes: Processes
) -> None:
    job = await queue.submit(JobRequest("hold"))
    process = processes.start("a")
    await until(holds(lambda: processes.notes() == [job.id]))
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, 60) == 0
    found = await queue.get(job.id)
    assert (found.status, found.losses) == (Status.WAITING, 0)
    processes.release()
    processes.start("b")
    await until(stands(queue, job, Status.DONE))


async def test_the_job_of_a_killed_process_is_done_by_another_that_finds_it_silent(
    database: Database, queue: Queue, processes: Processes
) -> None:
    work = Held()
    job = await queue.submit(JobRequest("hold"))
    process = processes.start("a")
    await until(holds(lambda: processes.notes() == [job.id]))
    process.kill()
    await asyncio.to_thread(process.wait)
    work.release.set()
    later = ManualClock(datetime.now(UTC) + 2 * HOUR)
    async with working(database, {"hold": work}, clock=later):
        await until(stands(queue, job, Status.DONE))
    assert work.started == [job.id]
    assert (await queue.get(job.id)).losses == 1


async def test_a_process_that_was_stopped_for_long_gives_up_the_job_it_lost(
    database: Database, queue: Queue, processes: Processes
) -> None:
    work = Held()
    job = await queue.submit(JobRequest("hold"))
    process = processes.start("a")
    await until(holds(lambda: processes.notes() == [job.id]))
    process.send_signal(signal.SIGSTOP)
    later = ManualClock(datetime.now(UTC) + 2 * HOUR)
    async with working(database, {"hold": work}, clock=later):
        await until(holds(lambda: work.started == [job.id]))
        process.send_signal(signal.SIGCONT)
        processes.release()  # its handler may end now, and nobody shall hear of it
        another = await queue.submit(JobRequest("note"))
        await until(stands(queue, another, Status.DONE))  # it lives
        found = await queue.get(job.id)
        assert (found.status, found.worker_id) == (Status.RUNNING, "here")
        work.release.set()
        await until(stands(queue, job, Status.DONE))
    assert (await queue.get(job.id)).worker_id == "here"
