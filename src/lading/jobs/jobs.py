"""Jobs as values. Words and forms follow DTR's jobs API. Source: DTR reference 1.3, 6.7."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from lading.core.errors import ConflictError, InvalidError, UnknownError

PRIORITY_LIMIT = 1000
RETRIES_LIMIT = 100
PARAMETERS_LIMIT = 64 * 1024  # characters of JSON
CAPACITY_LIMIT = 1000
CAPACITIES_LIMIT = 100
KEY_LIMIT = 128

_ACTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_FIRST_WAIT_SECONDS = 10
_LONGEST_WAIT_SECONDS = 3600


class Status(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    CANCELED = "canceled"
    ERRORED = "errored"


FINISHED = (Status.DONE, Status.CANCELED, Status.ERRORED)


class JobInvalidError(InvalidError):
    """A job, or a schedule, that can't be asked for."""

    code = "INVALID_JOB"


class JobUnknownError(UnknownError):
    """No such job."""

    code = "NO_SUCH_JOB"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id[:64]!r}")


class JobStoppedError(ConflictError):
    """The handler shall end: its job was cancelled, is past its deadline, or belongs to another worker by now."""

    code = "JOB_STOPPED"


@dataclass(frozen=True, slots=True)
class JobRequest:
    """Work to be done. A second request with the same `unique_key` is the first one's job while that waits.

    Errors: JobInvalidError when a part is not what the comments say.
    """

    action: str  # up to 64 letters, digits, '_' and '-'
    parameters: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0  # higher first, from -1000 to 1000
    scheduled_at: datetime | None = None  # None: now
    deadline: timedelta | None = None  # from each start
    stop_timeout: timedelta | None = None  # what it gets to end in when cancelled; None: the worker's
    retries: int = 0  # up to 100
    unique_key: str | None = None
    capacity: Mapping[str, int] = field(default_factory=dict)  # what it takes of a worker's, besides one of its action

    def __post_init__(self) -> None:
        if _ACTION.fullmatch(self.action) is None:
            raise JobInvalidError(f"{self.action[:64]!r} is no action: want up to 64 letters, digits, '_' and '-'")
        check_capacity(self.capacity)
        if not -PRIORITY_LIMIT <= self.priority <= PRIORITY_LIMIT:
            raise JobInvalidError(f"the priority is from -{PRIORITY_LIMIT} to {PRIORITY_LIMIT}, not {self.priority}")
        if not 0 <= self.retries <= RETRIES_LIMIT:
            raise JobInvalidError(f"retries are from 0 to {RETRIES_LIMIT}, not {self.retries}")
        for name, length in (("deadline", self.deadline), ("stop timeout", self.stop_timeout)):
            if length is not None and not timedelta(0) < length <= timedelta(days=365):
                raise JobInvalidError(f"the {name} must be more than nothing and at most a year")
        if self.unique_key is not None and not 0 < len(self.unique_key) <= KEY_LIMIT:
            raise JobInvalidError(f"the unique key has 1 to {KEY_LIMIT} characters")
        if len(self.document) > PARAMETERS_LIMIT:
            raise JobInvalidError(f"the parameters are longer than {PARAMETERS_LIMIT} characters")

    @property
    def document(self) -> str:
        """The parameters as a JSON object."""
        return json.dumps(dict(self.parameters))


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
    stop_timeout: timedelta | None
    retries_left: int
    retries_total: int
    losses: int  # how often a worker died, or fell silent, while running it
    worker_id: str
    cancel_requested: bool
    progress_done: int
    progress_total: int
    capacity: Mapping[str, int] = field(default_factory=dict)

    @property
    def takes(self) -> Mapping[str, int]:
        """What it takes of its worker's capacity while it runs."""
        return {self.action: 1, **self.capacity}


@dataclass(frozen=True, slots=True)
class Claim:
    """One worker's hold on a job. Whoever has another lease than the row's has lost it."""

    job: Job
    lease: str


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a job's log, counted from 0."""

    line: int
    at: datetime
    data: str


def check_capacity(capacity: Mapping[str, int]) -> None:
    """Returns when it is a map of names to numbers from 0 to 1,000, of at most 100. Errors: JobInvalidError."""
    if len(capacity) > CAPACITIES_LIMIT or not all(0 <= number <= CAPACITY_LIMIT for number in capacity.values()):
        raise JobInvalidError(f"capacities are from 0 to {CAPACITY_LIMIT}, of at most {CAPACITIES_LIMIT} names")
    for name in capacity:
        if _ACTION.fullmatch(name) is None:
            raise JobInvalidError(f"{name[:64]!r} names no capacity: want up to 64 letters, digits, '_' and '-'")


def backoff(attempt: int, chance: float = 1.0) -> timedelta:
    """How long a job waits before its next try: 10 s, 20 s, 40 s … at most an hour, of which `chance` takes up to half.

    Units: `attempt` counts from 1; `chance` is from 0 to 1, and keeps jobs that failed together from trying together.
    """
    whole = min(_FIRST_WAIT_SECONDS * 2 ** max(min(attempt - 1, 20), 0), _LONGEST_WAIT_SECONDS)
    return timedelta(seconds=whole * (0.5 + 0.5 * chance))


def clean_lines(*texts: str, limit: int) -> list[str]:
    """The texts as log lines of at most `limit` characters each, all of which a database can keep."""
    whole = "\n".join(texts).replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
    return [line[:limit] for line in whole.splitlines() if line.strip()]
