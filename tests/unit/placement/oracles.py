"""Other ways to the same answers, to hold placement against: none of them shares code or method with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import coo_matrix

from reelstore.placement.ring import VACANT, Member, Ring


def tightest_cap(members: Sequence[Member], width: int) -> int:
    """Fill one row, each shard into the zone that has fewest of it so far, and look how many the fullest got."""
    free: defaultdict[str, int] = defaultdict(int)
    for member in members:
        free[member.zone] += member.weight > 0
    placed = dict.fromkeys(free, 0)
    for _ in range(width):
        open_zones = [zone for zone in free if placed[zone] < free[zone]]
        if not open_zones:
            break
        placed[min(open_zones, key=lambda zone: placed[zone])] += 1
    return max([1, *placed.values()])


def fair_quota(members: Sequence[Member], partitions: int, width: int) -> dict[int, Fraction]:
    """Raise one water level over all servers, through every level at which something becomes full.

    The shards that a level asks for grow linearly between those levels, so the one that asks for all is found
    exactly. (The code under test peels off what is full instead.)
    """
    live = [member for member in members if member.weight > 0]
    zones = {member.zone: [m for m in live if m.zone == member.zone] for member in live}
    room = tightest_cap(members, width) * partitions
    total = partitions * min(width, len(live))

    def in_zone(zone: str, level: Fraction) -> Fraction:
        return sum((min(Fraction(partitions), level * m.weight) for m in zones[zone]), Fraction(0))

    def asked(level: Fraction) -> Fraction:
        return sum((min(Fraction(room), in_zone(zone, level)) for zone in zones), Fraction(0))

    kinks = sorted({Fraction(0), *(Fraction(partitions, m.weight) for m in live)})
    full_at = {zone: _level_where(partial(in_zone, zone), kinks, room) for zone in zones}
    kinks = sorted({*kinks, *full_at.values()})
    level = _level_where(asked, kinks, total)
    quota = {member.number: Fraction(0) for member in members}
    for member in live:
        quota[member.number] = min(Fraction(partitions), min(level, full_at[member.zone]) * member.weight)
    return quota


def _level_where(asked: Callable[[Fraction], Fraction], kinks: list[Fraction], total: int) -> Fraction:
    """Return the lowest level at which `asked`, linear between the kinks, reaches a total; the last if none does."""
    for low, high in pairwise(kinks):
        if asked(high) >= total:
            slope = (asked(high) - asked(low)) / (high - low)
            return low + (total - asked(low)) / slope if slope else low
    return kinks[-1]


def fewest_moves(old: Ring, new: Ring) -> int:
    """Return the fewest shards that must move from the old table to any table with the new one's loads and cap.

    An exact linear program: each row names each server at most once, rows, loads and zones as given, keep the most.
    Its matrix is that of a network (rows and zones within rows on one side, servers on the other), so the optimum is
    whole.
    """
    live = [member for member in new.members if member.weight > 0]
    zones = sorted({member.zone for member in live})
    partitions, servers = new.partitions, len(live)
    keeps = np.stack([(old.slots == member.number).any(axis=1) for member in live], axis=1).astype(float)
    loads = [int(np.count_nonzero(new.slots == member.number)) for member in live]
    filled = min(new.width, servers)
    variables = np.arange(partitions * servers)
    row_of, server_of = np.divmod(variables, servers)
    equal = _indicator(np.r_[row_of, partitions + server_of], np.r_[variables, variables], partitions + servers)
    zone_of = np.array([zones.index(member.zone) for member in live])
    capped = _indicator(row_of * len(zones) + zone_of[server_of], variables, partitions * len(zones))
    solved = linprog(
        -keeps.ravel(),
        A_ub=capped,
        b_ub=np.full(partitions * len(zones), tightest_cap(new.members, new.width)),
        A_eq=equal,
        b_eq=np.r_[np.full(partitions, filled), loads],
        bounds=(0, 1),
        method="highs",
    )
    assert solved.status == 0, solved.message
    return partitions * filled - round(-float(solved.fun))


def _indicator(rows: NDArray[np.int64], columns: NDArray[np.int64], count: int) -> object:
    return coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(count, int(columns.max()) + 1)).tocsr()


def held(ring: Ring) -> dict[int, int]:
    """Count each member's shards, one slot at a time."""
    counts = dict.fromkeys((member.number for member in ring.members), 0)
    for number in ring.slots.ravel().tolist():
        if number != VACANT:
            counts[number] += 1
    return counts
