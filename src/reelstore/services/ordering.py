"""In which order partitions are reconciled, and how many at a time. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

import numpy as np

from reelstore.chunkstore.topology import Topology
from reelstore.placement.ring import VACANT
from reelstore.services.attention import Partition
from reelstore.services.leases import block_of
from reelstore.services.survey import Slice


def by_urgency(topology: Topology, unproved: Iterable[Partition], up: Collection[int]) -> tuple[list[Partition], ...]:
    """Part what is not proved into what may have lost redundancy, and what only lies by an older ring.

    Args:
        topology: the rings.
        unproved: in order of policy and index.
        up: numbers of the servers that answer.

    Returns:
        those with a server in their synced row that does not answer or is gone, or that were unsettled at the newest
        ring, by a defect, a return or a stand-in; then the others; each in the order given.
    """
    urgent: list[Partition] = []
    others: list[Partition] = []
    endangered: dict[tuple[str, int], set[int]] = {}
    for policy, index in unproved:
        epoch = int(topology.synced[policy][index])
        if epoch == topology.epoch or epoch not in topology.older:
            urgent.append((policy, index))
            continue
        if (policy, epoch) not in endangered:
            slots = topology.older[epoch].rings[policy].slots
            lost = np.any((slots != VACANT) & ~np.isin(slots, np.array([*up], dtype=np.int32)), axis=1)
            endangered[policy, epoch] = set(np.flatnonzero(lost).tolist())
        (urgent if index in endangered[policy, epoch] else others).append((policy, index))
    return urgent, others


def slices(
    partitions: Iterable[Partition],
    partitions_max: int,
    *,
    size_of: Callable[[Partition], int] = lambda _: 0,
    bytes_max: int = 0,
) -> Iterator[Slice]:
    """Join neighbours into slices, none of which reaches over a block's edge.

    Args:
        partitions: sorted, at least in runs.
        partitions_max: for one slice.
        size_of: bytes that are to be moved for a partition.
        bytes_max: that are to be moved for one slice; a partition for which it is more is a slice of its own.
    """
    run: Slice | None = None
    run_bytes = 0
    for partition in partitions:
        policy, index = partition
        size_bytes = size_of(partition)
        here = Slice(policy, index, index + 1)
        if (
            run is not None
            and (run.policy, run.stop) == partition
            and index - run.start < partitions_max
            and block_of(run) == block_of(here)
            and run_bytes + size_bytes <= bytes_max
        ):
            run, run_bytes = Slice(policy, run.start, index + 1), run_bytes + size_bytes
            continue
        if run is not None:
            yield run
        run, run_bytes = here, size_bytes
    if run is not None:
        yield run
