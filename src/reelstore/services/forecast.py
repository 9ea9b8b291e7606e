"""How fast it fills, and when it is full: the arithmetic over samples of fill. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import numpy as np

SAMPLES_KEEP = timedelta(days=90)
ALL_KEEP = timedelta(days=2)
"""For so long every sample is kept; then one of each hour, and then one of each day."""
HOURLY_KEEP = timedelta(days=14)
TREND_WINDOW = timedelta(days=14)
TREND_SAMPLES_MIN = 6
TREND_SPAN_MIN = timedelta(hours=1)
DAYS_MAX = 36_500.0
"""What is full only in a hundred years is as good as never full."""

_SECONDS_PER_DAY = 86_400

Sample = TypeVar("Sample")


def superfluous(moments: Collection[datetime], now: datetime) -> list[datetime]:
    """Return, in order, the moments whose samples are dropped so that older ones become sparser.

    Of each hour, or day, the first moment stays: it stays the first of its day, so that a day never goes missing.
    """
    dropped: list[datetime] = []
    seen: set[datetime] = set()
    for moment in sorted(moments):
        age = now - moment
        if age <= ALL_KEEP:
            break
        slot = moment.replace(minute=0, second=0, microsecond=0)
        if age > HOURLY_KEEP:
            slot = slot.replace(hour=0)
        if slot in seen:
            dropped.append(moment)
        seen.add(slot)
    return dropped


def trend_bytes_per_day(times: Sequence[datetime], used_bytes: Sequence[int]) -> float | None:
    """Return the slope of the straight line that fits best; None where there is too little to tell.

    Least squares, each sample weighted by the time that it stands for, since there are more of the newest.

    Args:
        times: ascending, each once.
        used_bytes: at these times.
    """
    if len(times) < TREND_SAMPLES_MIN or times[-1] - times[0] < TREND_SPAN_MIN:
        return None
    days = np.array([(time - times[0]).total_seconds() / _SECONDS_PER_DAY for time in times])
    used = np.array(used_bytes, dtype=np.float64)
    weights = np.gradient(days)
    days -= np.average(days, weights=weights)
    used -= np.average(used, weights=weights)
    return float(np.sum(weights * days * used) / np.sum(weights * days * days))


def days_until_full(free_bytes: float, bytes_per_day: float | None) -> float | None:
    """Return in how many days the room is taken at that rate; None where it is not growing, or not within a century."""
    if bytes_per_day is None or bytes_per_day <= 0:
        return None
    days = max(free_bytes, 0.0) / bytes_per_day
    return days if days <= DAYS_MAX else None


def evenly(samples: Sequence[Sample], count_max: int) -> list[Sample]:
    """Return at most so many of the samples, evenly picked, the first and the last among them."""
    if len(samples) <= count_max:
        return list(samples)
    picks = np.linspace(0, len(samples) - 1, count_max).round().astype(int)
    return [samples[pick] for pick in picks.tolist()]
