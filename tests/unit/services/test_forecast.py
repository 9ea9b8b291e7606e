"""The arithmetic over samples of fill: thinning never loses a day, a line is found as it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from reelstore.services.forecast import (
    ALL_KEEP,
    DAYS_MAX,
    HOURLY_KEEP,
    SAMPLES_KEEP,
    TREND_SAMPLES_MIN,
    TREND_SPAN_MIN,
    days_until_full,
    evenly,
    superfluous,
    trend_bytes_per_day,
)

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
DAY = timedelta(days=1)
ages = st.timedeltas(timedelta(0), SAMPLES_KEEP)


def hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


@given(st.sets(ages, max_size=60))
def test_every_day_and_every_newer_hour_keeps_a_sample_and_only_one(old: set[timedelta]) -> None:
    moments = {NOW - age for age in old}
    kept = moments - set(superfluous(moments, NOW))
    assert kept >= {moment for moment in moments if NOW - moment <= ALL_KEEP}
    assert {moment.date() for moment in kept} == {moment.date() for moment in moments}
    hourly = [moment for moment in moments if ALL_KEEP < NOW - moment <= HOURLY_KEEP]
    assert {hour(moment) for moment in kept} >= {hour(moment) for moment in hourly}
    daily = [moment.date() for moment in kept if NOW - moment > HOURLY_KEEP]
    assert len(daily) == len(set(daily))


@given(st.sets(ages, max_size=60), st.lists(st.timedeltas(timedelta(0), 20 * DAY), max_size=5))
def test_thinning_as_time_goes_on_never_loses_a_day(old: set[timedelta], pauses: list[timedelta]) -> None:
    moments = {NOW - age for age in old}
    kept, now = set(moments), NOW
    for pause in pauses:
        now += pause
        kept -= set(superfluous(kept, now))
        assert superfluous(kept, now) == []
    assert {moment.date() for moment in kept} == {moment.date() for moment in moments}


@given(
    st.lists(st.integers(1, 100_000), min_size=TREND_SAMPLES_MIN, max_size=80),
    st.integers(-(10**13), 10**13),
    st.integers(0, 10**16),
)
def test_a_straight_line_is_found_wherever_its_samples_lie(
    gaps_seconds: list[int], bytes_per_day: int, first_bytes: int
) -> None:
    seconds = [sum(gaps_seconds[:index]) for index in range(len(gaps_seconds) + 1)]
    assume(seconds[-1] >= TREND_SPAN_MIN.total_seconds())
    times = [NOW + timedelta(seconds=each) for each in seconds]
    used = [first_bytes + bytes_per_day * each // 86_400 for each in seconds]
    trend = trend_bytes_per_day(times, used)
    assert trend is not None
    # A byte of rounding, and what doubles lose of 10^16, over the whole span.
    lost = (1 + first_bytes * 1e-15) * 86_400 / seconds[-1] * 20
    assert trend == pytest.approx(bytes_per_day, rel=1e-6, abs=lost)


def test_dense_samples_count_no_more_than_the_time_that_they_stand_for() -> None:
    times = [NOW + day * DAY for day in range(12)]
    used = [day * 1000 for day in range(12)]
    last_day = [NOW + 11 * DAY + timedelta(minutes=minute) for minute in range(1, 600)]
    trend = trend_bytes_per_day([*times, *last_day], [*used, *([11_000] * len(last_day))])  # a quiet day
    assert trend is not None
    assert 850 < trend < 1000


@pytest.mark.parametrize(
    ("count", "span"), [(0, DAY), (TREND_SAMPLES_MIN - 1, DAY), (50, TREND_SPAN_MIN - timedelta(seconds=1))]
)
def test_too_little_tells_no_trend(count: int, span: timedelta) -> None:
    times = [NOW + span * index / max(count - 1, 1) for index in range(count)]
    assert trend_bytes_per_day(times, [1] * count) is None


@pytest.mark.parametrize(
    ("free_bytes", "bytes_per_day", "days"),
    [
        (100.0, 10.0, 10.0),
        (0.0, 10.0, 0.0),
        (-5.0, 10.0, 0.0),
        (100.0, 0.0, None),
        (100.0, -1.0, None),
        (100.0, None, None),
        (DAYS_MAX, 1.0, DAYS_MAX),
        (DAYS_MAX + 1, 1.0, None),
    ],
)
def test_days_are_told_only_where_it_grows(free_bytes: float, bytes_per_day: float | None, days: float | None) -> None:
    assert days_until_full(free_bytes, bytes_per_day) == days


@given(st.integers(0, 500), st.integers(2, 50))
def test_a_chart_gets_at_most_so_many_samples_the_first_and_the_last_among_them(count: int, count_max: int) -> None:
    picked = evenly(range(count), count_max)
    assert len(picked) == min(count, count_max)
    assert picked == sorted(set(picked))
    if count:
        assert (picked[0], picked[-1]) == (0, count - 1)
