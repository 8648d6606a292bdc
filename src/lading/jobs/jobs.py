"""Jobs as values. Words and forms follow DTR's jobs API. Source: DTR reference 1.3, 6.7."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from lading.core.errors import UnknownError


class Status(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    CANCELED = "canceled"
    ERRORED = "errored"


FINISHED = (Status.DONE, Status.CANCELED, Status.ERRORED)


@dataclass(frozen=True, slots=True)
class JobRequest:
    """Work to be done. A second request with the same `unique_key` is the first one's job while that waits."""

    action: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0  # higher first
    scheduled_at: datetime | None = None  # None: now
    deadline: timedelta | None = None  # from its start
    retries: int = 0
    unique_key: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the database has it."""

    id: str
    action: str
    parameters: Mapping[str, str]
    status: Status
    priority: int
    scheduled_at: datetime
    created_at: datetime
    started_at: datetime | None
    updated_at: datetime
    deadline: timedelta | None
    retries_left: int
    retries_total: int
    worker_id: str
    cancel_requested: bool
    progress_done: int
    progress_total: int


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a job's log."""

    line: int
    at: datetime
    data: str


class JobUnknownError(UnknownError):
    """No such job."""

    code = "NO_SUCH_JOB"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id[:64]!r}")


def backoff(attempt: int) -> timedelta:
    """How long a job waits before its next try: 10 s, 20 s, 40 s … at most an hour. `attempt` counts from 1."""
    return timedelta(seconds=min(10 * 2 ** max(min(attempt - 1, 20), 0), 3600))
