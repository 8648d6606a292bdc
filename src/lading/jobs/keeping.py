"""How much of a history stays: as the site settings say, or as one job was asked to."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from lading.core.durations import parse_duration
from lading.core.errors import InvalidError
from lading.jobs.jobs import Job

_DIGITS = 9  # the settings take no more, either


@dataclass(frozen=True, slots=True)
class Keep:
    """The newest `count`, and none older than `age`; 0 sets no limit."""

    count: int
    age: timedelta

    @classmethod
    def by_settings(cls, *, is_on: bool, count: int, age: timedelta) -> Self:
        """What the settings say; everything while trimming is off."""
        return cls(count, age) if is_on else cls(0, timedelta(0))

    def asked_by(self, job: Job) -> "Keep":
        """What the job's parameters `toKeep` and `maxAge` say, else as it is. Errors: InvalidError."""
        count, age = job.parameters.get("toKeep", str(self.count)), job.parameters.get("maxAge")
        if not (count.isascii() and count.isdigit() and len(count) <= _DIGITS):
            raise InvalidError(f"toKeep is {count[:20]!r}, want a whole number")
        return Keep(int(count), self.age if age is None else parse_duration(age))
