"""What lies between two tables, as values: who sends how many shards to whom, at which price, and what to warn of.

Counted in shards of partitions, and priced in bytes where the partitions' are known. The old table is where shards
*are*: the effective one while a change is still being carried out, otherwise the newest ring.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from reelstore.domain.errors import InvalidRing
from reelstore.placement.members import Member, in_order, live_members, spread_cap
from reelstore.placement.quota import fair_shares, shards_held
from reelstore.placement.ring import VACANT, Ring


@dataclass(frozen=True, slots=True)
class Price:
    """Say what lies between two tables in bytes. Servers are named by number; those with nothing are left out.

    Args:
        moves: bytes by source and target. The source is the server that had the same slot, because with erasure
            coding it alone has the same fragment; `VACANT` where none had it: the shard is made from the others.
        incoming: bytes that each server receives.
        outgoing: bytes that each server need not keep any more.
        bytes_minimum: below which no change can reach the new table's loads, zones left aside: each server must
            receive at least what it will hold beyond what it holds.
    """

    moves: Mapping[tuple[int, int], int]
    incoming: Mapping[int, int]
    outgoing: Mapping[int, int]
    bytes_minimum: int


class WarningKind(StrEnum):
    """What a topology cannot give."""

    TOO_FEW_SERVERS = "too-few-servers"
    ZONE_LOSS_LOSES_DATA = "zone-loss-loses-data"
    UNUSABLE_CAPACITY = "unusable-capacity"


@dataclass(frozen=True, slots=True)
class PlacementWarning:
    """Say what a topology cannot give, for people to read before they apply it.

    Args:
        kind: for programs.
        message: for people.
        servers: the numbers of the servers it is about; none when it is about all of them.
    """

    kind: WarningKind
    message: str
    servers: tuple[int, ...] = ()


def moved_shards(old: Ring, new: Ring) -> int:
    """Return how many shards move: those of which the server held no shard of the partition in the old table.

    Raises:
        InvalidRing: the tables are of different widths, or the new one has fewer partitions; a retry does not help.
    """
    return int(np.count_nonzero(_compared(old, new)[1]))


def lower_bound(old: Ring, new: Ring) -> int:
    """Return a number of shards below which no change can reach the new table's loads, zones left aside.

    Each server must receive at least what it will hold beyond what it holds.

    Raises:
        InvalidRing: as `moved_shards`.
    """
    held_before, held_after = shards_held(_compared(old, new)[0]), shards_held(new.slots)
    return sum(max(0, shards - held_before.get(number, 0)) for number, shards in held_after.items())


def price(old: Ring, new: Ring, shard_bytes: NDArray[np.int64]) -> Price:
    """Return what the way from one table to another costs.

    A shard counts as in `moved_shards`; one that nobody needs any more is deleted at the end, and costs nothing.

    Args:
        old: where the shards are.
        new: where they are to be.
        shard_bytes: (partitions of `new`,): the size of one slot of each partition.

    Raises:
        InvalidRing: as `moved_shards`, or there is not one size for each partition.
    """
    if shard_bytes.shape != (new.partitions,):
        raise InvalidRing(f"{shard_bytes.shape} sizes for {new.partitions} partitions")
    before, entered = _compared(old, new)
    left = ~(before[:, :, None] == new.slots[:, None, :]).any(axis=2) & (before != VACANT)
    sizes = np.broadcast_to(shard_bytes[:, None], new.slots.shape)
    moved = _totals(np.stack([before[entered], new.slots[entered]], axis=1), sizes[entered])
    incoming: Counter[int] = Counter()
    for (_, target), size_bytes in moved.items():
        incoming[target] += size_bytes
    outgoing = {number: size_bytes for (number,), size_bytes in _totals(before[left][:, None], sizes[left]).items()}
    minimum = sum(max(0, size_bytes - outgoing.get(number, 0)) for number, size_bytes in incoming.items())
    return Price({(source, target): size for (source, target), size in moved.items()}, incoming, outgoing, minimum)


def _totals(keys: NDArray[np.int32], sizes: NDArray[np.int64]) -> dict[tuple[int, ...], int]:
    """Add up the sizes of equal rows of keys; what adds up to nothing is left out."""
    found, which = np.unique(keys, axis=0, return_inverse=True)
    totals = np.zeros(len(found), np.int64)
    np.add.at(totals, which.reshape(-1), sizes)  # whole numbers: a float would lose bytes beyond 8 PiB
    return {tuple(key): total for key, total in zip(found.tolist(), totals.tolist(), strict=True) if total}


def warnings(members: Iterable[Member], *, width: int, losses_tolerated: int) -> tuple[PlacementWarning, ...]:
    """Return what a set of servers cannot give to a policy.

    Args:
        members: the servers of the new ring.
        width: shards of a chunk.
        losses_tolerated: how many of them may be lost: n − 1 for `replicated(n)`, m for `erasure(k, m)`.
    """
    ordered = in_order(members)
    live = live_members(ordered)
    found: list[PlacementWarning] = []
    if len(live) < width:
        found.append(
            PlacementWarning(
                WarningKind.TOO_FEW_SERVERS,
                f"{len(live)} of {width} shards can be placed: there are too few servers",
            )
        )
    cap = spread_cap(ordered, width)
    if live and cap > losses_tolerated:
        found.append(
            PlacementWarning(
                WarningKind.ZONE_LOSS_LOSES_DATA,
                f"a zone holds up to {cap} of {width} shards; losing it loses data, as only {losses_tolerated} may go",
            )
        )
    unusable = _kept_from_their_share(ordered, width)
    if unusable:
        found.append(
            PlacementWarning(
                WarningKind.UNUSABLE_CAPACITY,
                "zones or the number of servers keep some servers from being filled as far as the others",
                unusable,
            )
        )
    return tuple(found)


def _kept_from_their_share(members: tuple[Member, ...], width: int) -> tuple[int, ...]:
    """Return the servers whose fair share, for their weight, is below that of others."""
    shares = fair_shares(members, partitions=1, width=width)
    filled = {member.number: shares[member.number] / member.weight for member in live_members(members)}
    fullest = max(filled.values(), default=0)
    return tuple(number for number, level in filled.items() if level < fullest)


def _compared(old: Ring, new: Ring) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Return the old table in the new one's shape, and which new slots hold a server that the old row lacks."""
    if old.width != new.width or old.partition_bits > new.partition_bits:
        raise InvalidRing(f"{old.slots.shape} does not become {new.slots.shape}")
    before = np.repeat(old.slots, new.partitions // old.partitions, axis=0)
    entered = ~(new.slots[:, :, None] == before[:, None, :]).any(axis=2) & (new.slots != VACANT)
    return before, entered
