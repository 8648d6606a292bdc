"""Lengths of time as the APIs write them: Go's durations, such as `1h30m0s`, which DTR's clients send and read."""

import re
from datetime import timedelta

from lading.core.errors import InvalidError

LONGEST = timedelta(days=36500)
_TEXT_LIMIT = 64
_UNITS = {
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
    "us": timedelta(microseconds=1),
    "µs": timedelta(microseconds=1),
    "ns": timedelta(microseconds=0.001),
}
_PART = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)(ms|us|µs|ns|[wdhms])", re.ASCII)


class DurationInvalidError(InvalidError):
    """Not a length of time."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text[:_TEXT_LIMIT]!r} is no length of time: want numbers with units, such as 90s, 1h30m or 30d "
            "(w, d, h, m, s, ms), of at most 100 years"
        )


def parse_duration(text: str) -> timedelta:
    """The length that `text` spells; nothing at all for the empty text and for `0`.

    Shape: numbers with units, the largest unit first or not: `1h30m`, `1.5h`, `500ms`; besides Go's units `d` and `w`.
    Errors: DurationInvalidError.
    """
    if text in {"", "0"}:
        return timedelta(0)
    parts = _PART.findall(text) if len(text) <= _TEXT_LIMIT else []
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise DurationInvalidError(text)
    try:
        length = sum((float(number) * _UNITS[unit] for number, unit in parts), timedelta(0))
    except OverflowError as error:
        raise DurationInvalidError(text) from error
    if length > LONGEST:
        raise DurationInvalidError(text)
    return length


def format_duration(length: timedelta | None) -> str:
    """The length as Go writes it, to the millisecond: `1h30m0s`, `500ms`; empty for None and for nothing at all."""
    if length is None or length < timedelta(milliseconds=1):
        return ""
    if length < timedelta(seconds=1):
        return f"{length // timedelta(milliseconds=1)}ms"
    seconds, rest = divmod(length, timedelta(seconds=1))
    milliseconds = rest // timedelta(milliseconds=1)
    hours, minutes, seconds = seconds // 3600, seconds // 60 % 60, seconds % 60
    fraction = f".{milliseconds:03}".rstrip("0") if milliseconds else ""
    if hours:
        return f"{hours}h{minutes}m{seconds}{fraction}s"
    return f"{minutes}m{seconds}{fraction}s" if minutes else f"{seconds}{fraction}s"
