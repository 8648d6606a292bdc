"""The time, as a parameter: aware UTC, and its form on the wire and in the database."""

from datetime import UTC, datetime, timedelta
from typing import Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
NEVER = "0001-01-01T00:00:00Z"
"""What DTR's API shows for a moment that has not come (Go's zero time)."""


class Clock(Protocol):
    """Tells the time. Ask it once per operation and pass the answer on."""

    def now(self) -> datetime:
        """This moment, aware, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def to_microseconds(moment: datetime) -> int:
    """`moment` as the database keeps it. Units: microseconds since 1970, UTC."""
    return (moment - EPOCH) // _MICROSECOND


def from_microseconds(value: int) -> datetime:
    """The moment that the database kept as `value`."""
    return EPOCH + timedelta(microseconds=value)


def rfc3339(moment: datetime | None) -> str:
    """`moment` as the APIs write it: RFC 3339 in UTC with fractions; NEVER for None."""
    if moment is None:
        return NEVER
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
