from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.jobs.cron import ScheduleInvalidError, next_run

WEDNESDAY = datetime(2026, 3, 4, 5, 6, 7, 890, tzinfo=UTC)
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 — aware by `timezones`


@pytest.mark.parametrize(
    ("schedule", "due"),
    [
        ("* * * * * *", "2026-03-04 05:06:08"),
        ("*/10 * * * * *", "2026-03-04 05:06:10"),
        ("57 54 3 * * *", "2026-03-05 03:54:57"),  # DTR reference 6.7
        ("0 0 1 * * 6", "2026-03-07 01:00:00"),
        ("0 0 1 * * SAT,SUN", "2026-03-07 01:00:00"),
        ("0 0 0 29 2 *", "2028-02-29 00:00:00"),
        ("@hourly", "2026-03-04 06:00:00"),
        ("@daily", "2026-03-05 00:00:00"),
        ("@midnight", "2026-03-05 00:00:00"),
        ("@weekly", "2026-03-08 00:00:00"),
        ("@monthly", "2026-04-01 00:00:00"),
        ("@yearly", "2027-01-01 00:00:00"),
        (" @Annually ", "2027-01-01 00:00:00"),
    ],
)
def test_a_schedule_names_its_next_moment(schedule: str, due: str) -> None:
    assert next_run(schedule, WEDNESDAY) == datetime.fromisoformat(due).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@reboot",
        "0 0 * * *",  # five fields: whose first one is it?
        "* * * * * * *",
        "60 * * * * *",
        "0 0 24 * * *",
        "0 0 0 0 * *",
        "0 0 0 30 2 *",  # never
        "0 0 0 31 4,6 *",
        "x * * * * *",
        "0 0 0 * * * " + " " * 200,
        "0,0," * 40 + "0 * * * * *",
    ],
)
def test_what_is_no_schedule_is_refused_with_the_form_that_is_wanted(text: str) -> None:
    with pytest.raises(ScheduleInvalidError, match="second minute hour day month weekday"):
        next_run(text, WEDNESDAY)


@given(st.text(st.sampled_from("0123456789*/,-L#W @"), max_size=40) | st.text(max_size=40), MOMENTS)
def test_any_text_is_a_schedule_or_refused(text: str, after: datetime) -> None:
    try:
        due = next_run(text, after)
    except ScheduleInvalidError:
        return
    assert due > after


_FIELDS = [st.integers(0, 59), st.integers(0, 59), st.integers(0, 23), st.integers(1, 28), st.integers(1, 12)]


@given(st.tuples(*(field.map(str) | st.just("*") for field in _FIELDS)), MOMENTS)
def test_the_next_moment_is_the_first_that_fits(fields: tuple[str, ...], after: datetime) -> None:
    def fits(moment: datetime) -> bool:
        parts = (moment.second, moment.minute, moment.hour, moment.day, moment.month)
        return all(field in {"*", str(part)} for field, part in zip(fields, parts, strict=True))

    due = next_run(" ".join([*fields, "*"]), after)
    assert fits(due)
    second = after.replace(microsecond=0) + timedelta(seconds=1)
    for _ in range(200):  # none before it, as far as a test can look
        if second >= due:
            break
        assert not fits(second)
        second += timedelta(seconds=1)
