"""How many shards each server must hold: exact weighted fair shares, then integers that disturb nothing.

The fair share is max-min fair ("water-filling": Bertsekas, Gallager, "Data Networks", 6.5.2): every server gets the
same multiple of its weight, except that no server can hold more than one shard of a partition, and no zone more than
`spread_cap` of them; what the full ones cannot take is shared among the others by weight. Fractions throughout: two
machines must agree on the last unit.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from reelstore.placement.members import Member, live_members, spread_cap


def fair_shares(members: Sequence[Member], *, partitions: int, width: int) -> dict[int, Fraction]:
    """Return the exact fair number of shards of each server, by its number; 0 for those that drain.

    They add up to `partitions` × min(`width`, live servers).
    """
    shares = {member.number: Fraction(0) for member in members}
    zones = _by_zone(members)
    room = Fraction(spread_cap(members, width) * partitions)
    left = Fraction(partitions * min(width, sum(map(len, zones.values()))))
    while zones:
        wanted = _fill([member for zone in zones.values() for member in zone], left, partitions)
        over = [name for name, zone in zones.items() if sum(wanted[m.number] for m in zone) > room]
        if not over:
            shares.update(wanted)
            break
        # A full zone stays full: taking it out leaves more for each of the others, never less.
        for name in over:
            shares.update(_fill(zones.pop(name), room, partitions))
            left -= room
    return shares


def quotas(
    members: Sequence[Member],
    *,
    partitions: int,
    width: int,
    held: Mapping[int, int],
) -> dict[int, int]:
    """Round the fair shares to whole shards, each less than one away, no zone past its room.

    Zones are rounded first and then the servers within each, so that both fit. Where a unit may go to several, it
    goes to one that holds it already; so the same servers have the same quotas again, and rounding moves nothing.

    Args:
        members: sorted by number.
        partitions: rows of the table.
        width: slots of a row.
        held: shards that each server holds now.

    Returns:
        The quota of each server by its number; those that drain have 0.
    """
    shares = fair_shares(members, partitions=partitions, width=width)
    result = dict.fromkeys(shares, 0)
    zones = list(_by_zone(members).values())
    zone_totals = _round(
        [sum((shares[member.number] for member in zone), Fraction(0)) for zone in zones],
        [sum(held.get(member.number, 0) for member in zone) for zone in zones],
        int(sum(shares.values())),
    )
    for zone, total in zip(zones, zone_totals, strict=True):
        numbers = [member.number for member in zone]
        rounded = _round([shares[n] for n in numbers], [held.get(n, 0) for n in numbers], total)
        result.update(zip(numbers, rounded, strict=True))
    return result


def shards_held(slots: NDArray[np.int32]) -> dict[int, int]:
    """Count the shards of each server that appears in a table; vacant slots are left out."""
    numbers, counts = np.unique(slots[slots >= 0], return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))


def _by_zone(members: Sequence[Member]) -> dict[str, list[Member]]:
    zones: defaultdict[str, list[Member]] = defaultdict(list)
    for member in live_members(members):
        zones[member.zone].append(member)
    return dict(zones)


def _fill(members: Sequence[Member], total: Fraction, most: int) -> dict[int, Fraction]:
    """Share `total` by weight, none above `most`; `total` is at most `most` × the number of members."""
    shares: dict[int, Fraction] = {}
    open_members = list(members)
    while open_members:
        level = total / sum(member.weight for member in open_members)
        full = [member for member in open_members if level * member.weight >= most]
        if not full:
            shares.update((member.number, level * member.weight) for member in open_members)
            break
        shares.update((member.number, Fraction(most)) for member in full)
        total -= most * len(full)
        open_members = [member for member in open_members if member.number not in shares]
    return shares


def _round(shares: Sequence[Fraction], held: Sequence[int], total: int) -> list[int]:
    """Round each share down or up so that they add up to `total`: holders first, then the largest remainders."""
    floors = [math.floor(share) for share in shares]
    candidates = [index for index, share in enumerate(shares) if share > floors[index]]
    candidates.sort(key=lambda i: (held[i] <= floors[i], floors[i] - shares[i], i))
    rounded = list(floors)
    for index in candidates[: total - sum(floors)]:
        rounded[index] += 1
    return rounded
