"""When things run by themselves: cron with a seconds field, or `@daily` and its kin, in UTC.

Source: DTR reference 6.7 (six fields, seconds first). The expressions are cronsim's; nothing else knows it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cronsim import CronSim, CronSimError

from lading.core.errors import InvalidError, UnknownError
from lading.jobs.jobs import JobRequest

_WORDS = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}
_FIELDS = 6
_LENGTH_LIMIT = 128
_WANTED = (
    "want `second minute hour day month weekday`, such as `0 30 2 * * *` for 2:30 UTC each night, "
    "or @hourly, @daily, @weekly, @monthly, @yearly"
)


class ScheduleInvalidError(InvalidError):
    """Not a schedule."""

    code = "INVALID_SCHEDULE"

    def __init__(self, text: str) -> None:
        super().__init__(f"{text[:_LENGTH_LIMIT]!r} is not a schedule: {_WANTED}")


class ScheduleUnknownError(UnknownError):
    """The action has no schedule."""

    code = "NO_SUCH_CRON"

    def __init__(self, action: str) -> None:
        super().__init__(f"{action[:64]!r} has no schedule")


def next_run(schedule: str, after: datetime) -> datetime:
    """The first moment after `after` that the schedule names.

    Shape: `second minute hour day month weekday`, or one of `@hourly @daily @weekly @monthly @yearly`; in UTC.
    Errors: ScheduleInvalidError, also when it names no moment of the next 50 years.
    """
    expression = _WORDS.get(schedule.strip().lower(), schedule.strip())
    if len(schedule) > _LENGTH_LIMIT or len(expression.split()) != _FIELDS:
        raise ScheduleInvalidError(schedule)
    try:
        return next(CronSim(expression, after))
    except (CronSimError, StopIteration) as error:
        raise ScheduleInvalidError(schedule) from error


@dataclass(frozen=True, slots=True)
class Schedule:
    """One action, run again and again; an action has at most one."""

    id: str
    action: str
    schedule: str
    next_run_at: datetime
    parameters: Mapping[str, str] = field(default_factory=dict)
    deadline: timedelta | None = None
    stop_timeout: timedelta | None = None
    retries: int = 0
    capacity: Mapping[str, int] = field(default_factory=dict)

    def request(self) -> JobRequest:
        """What one run of it asks for. While a run waits, the next one is the same."""
        return JobRequest(
            self.action,
            parameters=self.parameters,
            deadline=self.deadline,
            stop_timeout=self.stop_timeout,
            retries=self.retries,
            unique_key=f"schedule:{self.action}",
            capacity=self.capacity,
        )
