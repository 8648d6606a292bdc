"""The worker: claims jobs, runs their handlers, keeps their heartbeats, and takes over what dead workers left.

A claim has a lease of its own. Whoever lost it (stopped for too long, thought dead) can no longer write a result.
"""

import asyncio
import contextlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

import structlog

from lading.core.clock import Clock
from lading.core.errors import LadingError
from lading.database import Database
from lading.jobs import store
from lading.jobs.jobs import Job, Status, backoff
from lading.jobs.schedules import Schedules

log = structlog.get_logger()

_LINE_LIMIT = 4096  # characters of a log line
_LINES_LIMIT = 10_000  # lines of a log


@dataclass(frozen=True, slots=True)
class Timing:
    """How often the worker does what."""

    poll: timedelta = timedelta(seconds=1)
    heartbeat: timedelta = timedelta(seconds=5)
    dead_after: timedelta = timedelta(seconds=30)
    stop: timedelta = timedelta(seconds=10)


class JobContext:
    """What a handler may do besides its work."""

    def __init__(self, database: Database, clock: Clock, job_id: str, lease: str) -> None:
        self._database = database
        self._clock = clock
        self._job_id = job_id
        self._lease = lease

    async def log(self, *lines: str) -> None:
        """The lines are in the job's log, readable at once."""
        cut = [line[:_LINE_LIMIT] for line in lines]
        async with self._database.write(durable=False) as unit:
            await store.add_log(unit, self._job_id, cut, self._clock.now(), limit=_LINES_LIMIT)

    async def progress(self, done: int, total: int) -> None:
        """How far the job is."""
        async with self._database.write(durable=False) as unit:
            await store.settle(unit, self._job_id, self._lease, progress_done=done, progress_total=total)


class Handler(Protocol):
    """Does the work of one action. It may be run again after it was killed at any step, and must not mind."""

    async def __call__(self, job: Job, context: JobContext, /) -> None: ...


@dataclass
class Worker:
    """Runs jobs until `stop`. `capacity` says how many of an action may run at once; 1 where it says nothing."""

    database: Database
    clock: Clock
    handlers: Mapping[str, Handler]
    worker_id: str
    capacity: Mapping[str, int] = field(default_factory=dict)
    timing: Timing = field(default_factory=Timing)
    _running: dict[str, tuple[str, asyncio.Task[None]]] = field(default_factory=dict, init=False)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def run(self) -> None:
        """Works until `stop` is called; then what runs is given back to the queue."""
        schedules = Schedules(self.database, self.clock)
        beating = asyncio.create_task(self._beat())
        try:
            while not self._stopping.is_set():
                try:
                    await schedules.submit_due()
                    while await self.run_one():
                        pass
                except LadingError as error:
                    log.warning("the job worker waits", error=error.message)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), self.timing.poll.total_seconds())
        finally:
            beating.cancel()
            await self._give_back()

    def stop(self) -> None:
        """`run` returns soon."""
        self._stopping.set()

    async def run_one(self) -> bool:
        """True when a job was claimed and started."""
        counts = dict.fromkeys(self.handlers, 0)
        for action, _ in self._running.values():
            counts[action] += 1
        free = [action for action, count in counts.items() if count < self.capacity.get(action, 1)]
        if not free:
            return False
        lease = secrets.token_hex(16)
        async with self.database.read() as connection:  # a look first: an idle worker should not take the write lock
            waiting = await store.list_jobs(connection, action=None, worker=None, running=False, start=0, limit=1)
        if not waiting:
            return False
        async with self.database.write() as unit:
            job = await store.claim(unit, free, worker=self.worker_id, lease=lease, now=self.clock.now())
        if job is None:
            return False
        task = asyncio.create_task(self._work(job, lease))
        self._running[job.id] = (job.action, task)
        task.add_done_callback(lambda _: self._running.pop(job.id, None))
        return True

    async def wait(self) -> None:
        """Returns when all that runs has ended."""
        await asyncio.gather(*(task for _, task in self._running.values()), return_exceptions=True)

    async def _work(self, job: Job, lease: str) -> None:
        context = JobContext(self.database, self.clock, job.id, lease)
        handler = asyncio.ensure_future(self.handlers[job.action](job, context))
        pulse = asyncio.create_task(self._pulse(job.id, lease, handler))
        try:
            async with asyncio.timeout(job.deadline.total_seconds() if job.deadline is not None else None):
                await handler
        except TimeoutError:
            await self._fail(job, lease, context, f"the deadline of {job.deadline} has passed")
        except asyncio.CancelledError:
            if self._stopping.is_set():
                raise
            await self._cancelled(job, lease, context)
        except LadingError as error:
            await self._fail(job, lease, context, error.message)
        except Exception:
            log.exception("a job failed", job=job.id, action=job.action)
            await self._fail(job, lease, context, "unexpected failure; see the server's log")
        else:
            await self._settle(job, lease, Status.DONE)
        finally:
            pulse.cancel()

    async def _pulse(self, job_id: str, lease: str, handler: "asyncio.Future[None]") -> None:
        """Keeps the claim, and ends the handler when the claim is lost or cancelling was asked for."""
        while True:
            await asyncio.sleep(self.timing.heartbeat.total_seconds())
            try:
                async with self.database.write(durable=False) as unit:
                    cancel = await store.beat(unit, job_id, lease, self.clock.now())
            except LadingError:
                continue  # the database is away for a moment; others take over if it is for long
            if cancel or cancel is None:
                handler.cancel()
                return

    async def _settle(self, job: Job, lease: str, status: Status) -> None:
        async with self.database.write() as unit:
            await store.settle(unit, job.id, lease, status=status.value, lease=None, updated_at=self.clock.now())

    async def _cancelled(self, job: Job, lease: str, context: JobContext) -> None:
        with contextlib.suppress(LadingError):
            await context.log("canceled")
            await self._settle(job, lease, Status.CANCELED)

    async def _fail(self, job: Job, lease: str, context: JobContext, why: str) -> None:
        now = self.clock.now()
        with contextlib.suppress(LadingError):
            await context.log(why)
        values: dict[str, object] = {"status": Status.ERRORED.value}
        if job.retries_left:
            again = now + backoff(job.retries_total - job.retries_left + 1)
            values = {"status": Status.WAITING.value, "retries_left": job.retries_left - 1, "scheduled_at": again}
        async with self.database.write() as unit:
            await store.settle(unit, job.id, lease, lease=None, updated_at=now, **values)

    async def _give_back(self) -> None:
        """What still runs after the stop time waits again, at no cost of a retry."""
        if self._running:
            await asyncio.wait([task for _, task in self._running.values()], timeout=self.timing.stop.total_seconds())
        left = list(self._running.items())
        for _, (_, task) in left:
            task.cancel()
        await asyncio.gather(*(task for _, (_, task) in left), return_exceptions=True)
        for job_id, _ in left:
            async with self.database.write() as unit:
                await store.give_back(unit, job_id, self.worker_id, self.clock.now())

    async def _beat(self) -> None:
        """Tells that this worker lives, and takes from dead ones what they were running."""
        while True:
            with contextlib.suppress(LadingError):
                now = self.clock.now()
                async with self.database.write(durable=False) as unit:
                    capacity = json.dumps(dict(self.capacity))
                    await store.put_worker(unit, self.worker_id, status="running", capacity=capacity, now=now)
                await self.take_over()
            await asyncio.sleep(self.timing.heartbeat.total_seconds())

    async def take_over(self) -> int:
        """How many jobs of silent workers wait again."""
        now = self.clock.now()
        async with self.database.read() as connection:
            silent = await store.expired(connection, now - self.timing.dead_after)
        taken = 0
        for job, lease in silent:
            async with self.database.write() as unit:
                values = {"status": Status.WAITING.value, "lease": None, "scheduled_at": now, "updated_at": now}
                taken += await store.settle(unit, job.id, lease, **values)
        return taken
