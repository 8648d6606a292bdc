"""The worker: claims jobs within its capacity, runs their handlers, keeps the claims, and ends what shall end.

Rules: how a job ended is written under its claim's lease or not at all; a place stays taken until its handler has really
ended; no failure of a handler or of the database ends the worker.
"""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from lading.core.clock import Clock
from lading.core.errors import LadingError
from lading.database import Database
from lading.jobs.claims import Claims
from lading.jobs.context import Handler, JobContext, Stop
from lading.jobs.jobs import Claim
from lading.jobs.schedules import Schedules
from lading.jobs.workers import Workers

log = structlog.get_logger()

_UNEXPECTED = "unexpected failure; see the server's log"
_LAST_SECONDS = 1.0  # what a cancelled handler gets when the worker itself ends


@dataclass(frozen=True, slots=True)
class Timing:
    """How often the worker does what."""

    poll: timedelta = timedelta(seconds=1)  # half of it to all of it, by chance
    heartbeat: timedelta = timedelta(seconds=5)
    dead_after: timedelta = timedelta(seconds=30)  # other workers' jobs are taken over
    stop: timedelta = timedelta(seconds=10)  # what a job gets to end in, unless it says otherwise


@dataclass(eq=False, slots=True)
class _Run:
    """A claimed job, its handler running."""

    claim: Claim
    context: JobContext
    handler: asyncio.Task[None]
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    def stop(self, why: Stop) -> None:
        """The handler is cancelled, once; the first reason counts."""
        if self.context.stop is None:
            self.context.stop = why
            self.stopped.set()
            self.handler.cancel()


@dataclass(eq=False)
class Worker:
    """Runs jobs until `stop`. `capacity` says how many of an action may run at once; 1 where it says nothing."""

    database: Database
    clock: Clock
    handlers: Mapping[str, Handler]
    worker_id: str
    capacity: Mapping[str, int] = field(default_factory=dict)
    timing: Timing = field(default_factory=Timing)

    def __post_init__(self) -> None:
        self._claims = Claims(self.database, self.clock, self.worker_id)
        self._schedules = Schedules(self.database, self.clock)
        self._workers = Workers(self.database, self.clock)
        self._set_capacity: Mapping[str, int] = {}  # by an administrator; goes before `capacity`
        self._runs: dict[_Run, asyncio.Task[None]] = {}
        self._awake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._hurrying = asyncio.Event()

    async def run(self) -> None:
        """Works until `stop` is called; then what runs gets its stop timeout, and is given back to the queue."""
        await _calmly(self._claims.take_back)
        background = [
            asyncio.create_task(_again_and_again(self._beat, self.timing.heartbeat)),
            asyncio.create_task(_again_and_again(self._watch, self.timing.poll)),
        ]
        try:
            while not self._stopping.is_set():
                self._awake.clear()
                await _calmly(self._look_around)
                pause = self.timing.poll.total_seconds() * random.uniform(0.5, 1)  # noqa: S311 — no secret
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._awake.wait(), pause)
            await self._drain()
        finally:
            for task in (*background, *self._runs.values()):
                task.cancel()
            await asyncio.gather(*background, *self._runs.values(), return_exceptions=True)
        await _calmly(lambda: self._workers.beat(self.worker_id, status="stopped"))

    def stop(self) -> None:
        """`run` returns soon; asked twice, at once."""
        if self._stopping.is_set():
            self._hurrying.set()
        self._stopping.set()
        self._awake.set()

    def wake(self) -> None:
        """There may be something to do."""
        self._awake.set()

    async def run_one(self) -> bool:
        """True when a job was claimed and started."""
        taken: Counter[str] = Counter()
        for run in self._runs:
            taken.update(run.claim.job.takes)
        capacity = {**self.capacity, **self._set_capacity}

        def fits(asked: Mapping[str, int]) -> bool:
            return all(taken[name] + number <= capacity.get(name, 1) for name, number in asked.items())

        claim = await self._claims.claim([name for name in self.handlers if fits({name: 1})], fits)
        if claim is None:
            return False
        context = JobContext(self._claims, claim)
        handler = asyncio.create_task(self.handlers[claim.job.action](claim.job, context))
        handler.add_done_callback(_error)  # looked at, even if nobody waits for it any more
        run = _Run(claim, context, handler)
        self._runs[run] = asyncio.create_task(self._see_through(run))
        self._runs[run].add_done_callback(lambda _: self._forget(run))
        return True

    async def wait(self) -> None:
        """Returns when all that runs has ended."""
        await asyncio.gather(*self._runs.values(), return_exceptions=True)

    def _forget(self, run: _Run) -> None:
        del self._runs[run]
        self._awake.set()

    async def _look_around(self) -> None:
        await self._schedules.submit_due()
        while not self._stopping.is_set() and await self.run_one():
            pass

    # --- one run ---

    async def _see_through(self, run: _Run) -> None:
        """The handler has ended, and how is written; or it does not listen, and was left to itself until it does."""
        job = run.claim.job
        deadline = None if job.deadline is None else job.deadline.total_seconds()
        stopped = asyncio.create_task(run.stopped.wait())
        try:
            await asyncio.wait([run.handler, stopped], timeout=deadline, return_when=asyncio.FIRST_COMPLETED)
            if not run.handler.done():
                run.stop(Stop.DEADLINE)  # unless it was stopped for another reason
                seconds = self._stop_seconds(run) if run.context.stop is not Stop.SHUTDOWN else _LAST_SECONDS
                await asyncio.wait([run.handler], timeout=seconds)
            await self._write_end(run)
            if not run.handler.done():
                log.warning("a job's handler does not end when told to", job=job.id, action=job.action)
                await asyncio.wait([run.handler])
        finally:
            stopped.cancel()
            run.handler.cancel()

    def _stop_seconds(self, run: _Run) -> float:
        return (run.claim.job.stop_timeout or self.timing.stop).total_seconds()

    async def _write_end(self, run: _Run) -> None:
        """Tries as long as the database is away: a job that is done is not run again for that."""
        while not await _calmly(lambda: self._end(run)):
            if self._stopping.is_set():
                return
            await asyncio.sleep(self.timing.poll.total_seconds())

    async def _end(self, run: _Run) -> None:
        claim, why = run.claim, run.context.stop
        error = _error(run.handler)
        if error is None:
            held = await self._claims.finish(claim)
        elif why is Stop.CANCELED:
            held = await self._claims.cancel(claim, why.value)
        elif why is Stop.DEADLINE:
            held = await self._claims.fail(claim, f"{why.value} of {claim.job.deadline}")
        elif why is Stop.SHUTDOWN:
            held = await self._claims.give_back(claim)
        elif why is Stop.LOST:
            held = False
        elif isinstance(error, LadingError):
            held = await self._claims.fail(claim, error.message)
        else:
            log.error("a job failed", job=claim.job.id, action=claim.job.action, exc_info=error)
            held = await self._claims.fail(claim, _UNEXPECTED)
        if not held:
            log.warning("a job was lost before it ended", job=claim.job.id, action=claim.job.action)

    # --- all runs ---

    async def _beat(self) -> None:
        self._set_capacity = await self._workers.beat(self.worker_id)
        await self._claims.beat([run.claim for run in self._runs])
        if await self._claims.take_over(self.timing.dead_after):
            self.wake()

    async def _watch(self) -> None:
        """Ends handlers whose claim is lost, or whose job shall be canceled."""
        runs = list(self._runs)
        held = await self._claims.list_held([run.claim for run in runs])
        for run in runs:
            cancel = held.get(run.claim.lease)
            if cancel is None or cancel:
                run.stop(Stop.LOST if cancel is None else Stop.CANCELED)

    async def _drain(self) -> None:
        """What still runs after its stop timeout waits again, at no cost of a retry."""
        hurrying = asyncio.create_task(self._hurrying.wait())
        await asyncio.gather(*(self._let_end(run, task, hurrying) for run, task in list(self._runs.items())))
        hurrying.cancel()

    async def _let_end(self, run: _Run, task: asyncio.Task[None], hurrying: asyncio.Task[bool]) -> None:
        await asyncio.wait([task, hurrying], timeout=self._stop_seconds(run), return_when=asyncio.FIRST_COMPLETED)
        run.stop(Stop.SHUTDOWN)
        await asyncio.wait([task], timeout=2 * _LAST_SECONDS)


def _error(handler: asyncio.Task[None]) -> BaseException | None:
    """What the handler ended with; None when its work is done."""
    if not handler.done() or handler.cancelled():
        return asyncio.CancelledError()
    return handler.exception()


async def _calmly(call: Callable[[], Awaitable[object]]) -> bool:
    """Whether the call went well; if not, the log tells why."""
    try:
        await call()
    except LadingError as error:
        log.warning("the job worker tries again", error=error.message)
    except Exception:
        log.exception("the job worker tries again")
    else:
        return True
    return False


async def _again_and_again(call: Callable[[], Awaitable[object]], every: timedelta) -> None:
    while True:
        await _calmly(call)
        await asyncio.sleep(every.total_seconds())
