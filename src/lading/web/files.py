"""Byte ranges, for when no nginx does them. One is served; several are answered with the whole file, as RFC 9110 allows."""

import re

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Start and end (exclusive) of what is asked; all of it for no range, or several; None when it can't be satisfied.

    Source: RFC 9110, 14.1.2; a last byte before the first is refused, as nginx does.
    """
    whole = (0, size)
    if header is None or "," in header or not header.startswith("bytes="):
        return whole
    match = _RANGE.fullmatch(header.replace(" ", ""))
    if match is None:
        return whole
    first, last = match.groups()
    if first:
        start, end = int(first), min(int(last) + 1, size) if last else size
        return (start, end) if start < end else None
    if not last:
        return whole
    return (max(size - int(last), 0), size) if int(last) and size else None
