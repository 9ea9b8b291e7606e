"""Identifiers, from randomness and time that the caller hands in."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime

Entropy = Callable[[int], bytes]
"""Give that many random bytes: `os.urandom`, or a seeded stand-in in a simulation."""


def random_id(entropy: Entropy) -> str:
    """Draw an id of 128 random bits, in 32 hexadecimal digits."""
    return entropy(16).hex()


def random_tenure(entropy: Entropy) -> int:
    """Draw a tenure: a random 64-bit number that is never 0, which stands for a vacant slot."""
    return int.from_bytes(entropy(8), "big") or 1


def uuid7(now: datetime, entropy: Entropy) -> str:
    """Make a UUID of version 7 (RFC 9562, section 5.7): 48 bits of milliseconds, then random bits.

    Ids made later sort later, to the millisecond.
    """
    milliseconds = int(now.timestamp() * 1000) & (2**48 - 1)
    random_bits = int.from_bytes(entropy(10), "big")
    high = milliseconds << 16 | 0x7000 | (random_bits >> 62) & 0x0FFF
    low = 0b10 << 62 | random_bits & (2**62 - 1)
    return str(uuid.UUID(int=high << 64 | low))
