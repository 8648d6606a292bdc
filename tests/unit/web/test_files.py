"""Byte ranges as RFC 9110 has them, and as nginx refuses them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.web.files import parse_range


@pytest.mark.parametrize(
    ("header", "span"),
    [
        (None, (0, 100)),
        ("bytes=0-", (0, 100)),
        ("bytes=10-19", (10, 20)),
        ("bytes=90-500", (90, 100)),
        ("bytes=-10", (90, 100)),
        ("bytes=-500", (0, 100)),
        ("bytes=0-1,5-6", (0, 100)),
        ("lines=1-2", (0, 100)),
        ("bytes=", (0, 100)),
        ("bytes=100-", None),
        ("bytes=50-10", None),
        ("bytes=-0", None),
    ],
)
def test_a_range_of_a_hundred_bytes(header: str | None, span: tuple[int, int] | None) -> None:
    assert parse_range(header, 100) == span


@given(st.text(max_size=30), st.integers(min_value=0, max_value=10**12))
def test_any_header_gives_a_span_inside_the_file_or_none(header: str, size: int) -> None:
    span = parse_range(header, size)
    assert span is None or 0 <= span[0] <= span[1] <= size
