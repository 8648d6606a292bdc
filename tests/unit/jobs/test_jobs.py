from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.jobs.jobs import JobInvalidError, JobRequest, backoff, clean_lines


@pytest.mark.parametrize(
    "wrong",
    [
        {"action": ""},
        {"action": "a b"},
        {"action": "a" * 65},
        {"action": "gc\n"},
        {"priority": 1001},
        {"priority": -1001},
        {"retries": -1},
        {"retries": 101},
        {"deadline": timedelta(0)},
        {"deadline": timedelta(days=400)},
        {"stop_timeout": timedelta(seconds=-1)},
        {"unique_key": ""},
        {"unique_key": "k" * 129},
        {"parameters": {"name": "x" * 70_000}},
    ],
)
def test_a_request_that_no_database_could_keep_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(JobInvalidError):
        JobRequest(**{"action": "gc", **wrong})


def test_the_waits_between_tries_double_up_to_an_hour() -> None:
    assert [backoff(attempt).total_seconds() for attempt in (1, 2, 3, 4, 9, 10, 500)] == [
        10, 20, 40, 80, 2560, 3600, 3600,
    ]  # fmt: skip


@given(st.integers(1, 1000), st.floats(0, 1))
def test_chance_takes_at_most_half_of_a_wait(attempt: int, chance: float) -> None:
    assert backoff(attempt) / 2 <= backoff(attempt, chance) <= backoff(attempt)


@given(st.lists(st.text()), st.integers(1, 50))
def test_log_lines_are_short_single_lines_that_databases_keep(texts: list[str], limit: int) -> None:
    for line in clean_lines(*texts, limit=limit):
        assert 0 < len(line) <= limit
        assert "\0" not in line
        assert len(line.splitlines()) == 1
        line.encode()


def test_text_of_several_lines_becomes_several_lines() -> None:
    assert clean_lines("one\ntwo", "", "three\n", limit=9) == ["one", "two", "three"]
