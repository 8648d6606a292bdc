"""Lengths of time, as Go writes them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.core.durations import LONGEST, DurationInvalidError, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 0),
        ("0", 0),
        ("90s", 90),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("500ms", 0.5),
        ("30d", 2592000),
        ("1h0m0.25s", 3600.25),
    ],
)
def test_a_text_is_read_as_its_length(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["1", "h", "-1h", "1h x", "1 h", "1y", "99999999999999h", "1h" * 40, "٣s", "1e3s", ".5h", "36501d"]
)
def test_what_is_no_length_is_refused(text: str) -> None:
    with pytest.raises(DurationInvalidError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, ""), (0.25, "250ms"), (59, "59s"), (90, "1m30s"), (5400, "1h30m0s"), (3600.25, "1h0m0.25s")],
)
def test_a_length_is_written_as_go_does(seconds: float, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text


@given(st.integers(0, LONGEST // timedelta(milliseconds=1)))
def test_what_is_written_is_read_as_the_same(milliseconds: int) -> None:
    length = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(length)) == length
