"""What a handler of jobs is, and what it may do besides its work."""

import time
from enum import Enum
from typing import Protocol

from lading.jobs.claims import Claims
from lading.jobs.jobs import Claim, Job, JobStoppedError

_PROGRESS_SECONDS = 0.5  # writes between the first and the last are no closer


class Stop(Enum):
    """Why a handler shall end before its work is done."""

    CANCELED = "the job was canceled"
    DEADLINE = "the job took longer than its deadline"
    LOST = "the job belongs to another worker, or was deleted"
    SHUTDOWN = "the worker stops"


class JobContext:
    """One run of a job, as its handler sees it."""

    def __init__(self, claims: Claims, claim: Claim) -> None:
        self._claims = claims
        self._claim = claim
        self._told_at = float("-inf")
        self.stop: Stop | None = None

    async def log(self, *lines: str) -> None:
        """The lines are in the job's log, readable at once."""
        await self._claims.log(self._claim, *lines)

    async def progress(self, done: int, total: int) -> None:
        """How far the job is; call it as often as you like. Units: any, the same for both; total 0 when unknown."""
        now = time.monotonic()
        if done >= total > 0 or now - self._told_at >= _PROGRESS_SECONDS:
            self._told_at = now
            await self._claims.progress(self._claim, done, total)

    def check(self) -> None:
        """Returns while the work is wanted; may be called from a thread. Errors: JobStoppedError."""
        if self.stop is not None:
            raise JobStoppedError(self.stop.value)


class Handler(Protocol):
    """Does the work of one action. It may be run again after it was killed at any step, and must not mind.

    When its job is cancelled, is past its deadline, or was lost, its task is cancelled; work in threads asks `check`.
    Errors: any make the job errored (or tried again): a LadingError tells its sentence, others only the server's log.
    """

    async def __call__(self, job: Job, context: JobContext, /) -> None: ...
