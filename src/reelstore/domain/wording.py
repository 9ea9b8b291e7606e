"""Numbers in sentences that people read."""

from __future__ import annotations


def count(number: int, noun: str) -> str:
    """Return a number with its noun: `1 video`, `2 videos`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
