"""How many partitions have fewer shards than they should at this moment, by the rings and by which servers answer."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelstore.chunkstore.topology import Topology
from reelstore.placement.ring import VACANT


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Count partitions by the shards of theirs that servers which answer have; each number counts in those before it.

    A stand-in may have more of a chunk than its row shows, and a bad disk less: nothing is read for it.

    Args:
        partitions_total: of the policies that were counted.
        partitions_short: with fewer shards than their policy asks for.
        partitions_without_spare: of these, the ones that may lose no further shard.
        partitions_unreadable: with fewer shards than a read needs.
    """

    partitions_total: int = 0
    partitions_short: int = 0
    partitions_without_spare: int = 0
    partitions_unreadable: int = 0


def shortfall(topology: Topology, up: Collection[int], *, policies: Iterable[str]) -> Shortfall:
    """Count what is short while only the servers of these numbers answer.

    Args:
        topology: the rings, and to which of them each partition is synced.
        up: numbers of the servers that answer.
        policies: those that keep anything: an empty one lacks nothing.
    """
    total = short = without_spare = unreadable = 0
    for policy in policies:
        ring, answering = topology.newest[policy], _answering(topology, policy, up)
        needed = ring.width - topology.policies[policy].losses_tolerated
        is_short = answering < ring.width
        total += ring.partitions
        short += int(np.count_nonzero(is_short))
        without_spare += int(np.count_nonzero(is_short & (answering <= needed)))
        unreadable += int(np.count_nonzero(answering < needed))
    return Shortfall(total, short, without_spare, unreadable)


def _answering(topology: Topology, policy: str, up: Collection[int]) -> NDArray[np.int64]:
    """Return for each partition how many servers of the row to which it is synced answer."""
    newest, synced = topology.newest[policy], topology.synced[policy]
    numbers = np.array([*up], dtype=np.int32)
    found: NDArray[np.int64] = np.isin(newest.slots, numbers).sum(axis=1)
    for epoch in np.unique(synced[synced != topology.epoch]).tolist():
        older = topology.older.get(epoch)
        if older is not None and policy in older.rings:
            slots = older.rings[policy].slots
            was = (synced == epoch) & (slots != VACANT).any(axis=1)  # what nobody had is where it was put since
            found[was] = np.isin(slots[was], numbers).sum(axis=1)
    return found
