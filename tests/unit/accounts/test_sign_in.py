"""What a refusal tells by its time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.accounts.sign_in import seconds_to_next_step

QUICK = st.floats(0, 0.249)


@given(QUICK, QUICK)
def test_refusals_that_took_less_than_a_step_end_at_the_same_time(one: float, other: float) -> None:
    assert one + seconds_to_next_step(one) == pytest.approx(other + seconds_to_next_step(other))


@given(st.floats(0, 60))
def test_no_refusal_waits_longer_than_a_step(elapsed: float) -> None:
    assert 0 < seconds_to_next_step(elapsed) <= 0.25
