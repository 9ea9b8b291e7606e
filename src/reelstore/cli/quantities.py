"""Sizes, durations, times and counts, as people write and read them."""

from __future__ import annotations

import re
from datetime import datetime

from reelstore.domain.wording import count

__all__ = ["count", "duration", "local_time", "parse_size", "percent", "size"]

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgtpe])(i?)b?|b)?", re.IGNORECASE | re.ASCII)


def size(size_bytes: float) -> str:
    """Return a size in binary units, with three significant digits: `1.50 GiB`."""
    amount, exponent = float(size_bytes), 0
    # 999.5 would be rounded to four digits.
    while abs(amount) >= 999.5 and exponent < len(_UNITS) - 1:
        amount, exponent = amount / 1024, exponent + 1
    unit = _UNITS[exponent]
    if unit == "B":
        return f"{amount:.0f} B"
    decimals = 2 if abs(amount) < 9.995 else 1 if abs(amount) < 99.95 else 0
    return f"{amount:.{decimals}f} {unit}"


def parse_size(text: str) -> int:
    """Return the bytes of `500GB`, `2 TiB`, `1.5T` or `1024`; a unit with an `i`, or without a `B`, is binary.

    Raises:
        ValueError: it is no size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size; write something like 500GB or 2TiB")
    amount, prefix, binary = match[1], match[2], match[3]
    power = " kmgtpe".index(prefix.lower()) if prefix else 0
    decimal = prefix is not None and not binary and text.strip().lower().endswith("b")
    base = 1000 if decimal else 1024
    return round(float(amount) * float(base**power))


def duration(seconds: float) -> str:
    """Return a duration: `850 ms`, `12.3 s`, `4:05 min`, `1:02:03 h`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, whole_seconds = divmod(round(seconds), 60)
    hours, whole_minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{whole_minutes:02}:{whole_seconds:02} h"
    return f"{whole_minutes}:{whole_seconds:02} min"


def percent(part: float) -> str:
    """Return a part of one as a percentage: `33.3 %`."""
    return f"{part * 100:.1f} %"


def local_time(moment: datetime | None) -> str:
    """Return a time in this machine's zone, to the second; `-` when there is none."""
    return "-" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"
