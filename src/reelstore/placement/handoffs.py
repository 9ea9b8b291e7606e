"""Who stands in for a primary that is down: weighted rendezvous hashing over the servers outside the row.

Each server draws, for each partition, an exponential variate with its weight as the rate; the smallest comes first.
So a server leads in proportion to its weight, and one that joins or leaves changes nobody else's order. Source:
Thaler, Ravishankar: "A name-based mapping scheme for rendezvous" (1996); the weighted form: Schindelhauer, Schomaker:
"Weighted distributed hash tables" (SPAA 2005). The logarithm is taken in fixed point, because a float's last bit may
differ between machines, and two gateways must agree on the order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from reelstore.placement.members import Member
from reelstore.placement.mixing import mix

_SALT = 7
_FRACTION_BITS = 24
_RATIO_BITS = 80  # weights are bytes, up to 2^60 or so: the ratio keeps 20 bits below the point even then


def rank_handoffs(members: Sequence[Member], held_by: Iterable[int], partition_key: int) -> tuple[int, ...]:
    """Order the live servers outside a row, those in zones without a shard of the row first.

    Args:
        members: all servers; draining ones are left out.
        held_by: the numbers of the row's servers.
        partition_key: names the partition; equal keys give equal orders.
    """
    row = frozenset(held_by)
    zones = {member.zone for member in members if member.number in row}
    others = [member for member in members if member.weight > 0 and member.number not in row]
    if not others:
        return ()
    draws = negative_log2(mix(_SALT, partition_key, np.array([member.number for member in others], np.int64)))
    ranked = sorted(
        (member.zone in zones, (draw << _RATIO_BITS) // member.weight, member.number)
        for member, draw in zip(others, draws.tolist(), strict=True)
    )
    return tuple(number for _, _, number in ranked)


def negative_log2(hashed: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return −log2(hashed / 2^64) in units of 2^−24, rounded up, by integer arithmetic alone; at least 1.

    The fraction comes from repeated squaring, one bit at a time (Knuth, The Art of Computer Programming, 1.2.2,
    exercise 25 gives the idea).
    """
    mantissa = hashed | np.uint64(1)
    zeros = np.zeros(mantissa.shape, np.int64)
    for shift in (32, 16, 8, 4, 2, 1):
        small = mantissa < np.uint64(1 << (64 - shift))
        mantissa = np.where(small, mantissa << np.uint64(shift), mantissa)
        zeros += shift * small
    mantissa >>= np.uint64(32)
    fraction = np.zeros(mantissa.shape, np.int64)
    for _ in range(_FRACTION_BITS):
        mantissa = (mantissa * mantissa) >> np.uint64(31)
        carry = mantissa >> np.uint64(32)
        fraction = (fraction << 1) | carry.astype(np.int64)
        mantissa >>= carry
    return ((zeros + 1) << _FRACTION_BITS) - fraction
