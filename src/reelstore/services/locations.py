"""Which server keeps what. Locations are not stored: they follow from the rings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from reelstore.chunkstore.topology import Topology, TopologyCache
from reelstore.domain.video import Video
from reelstore.repositories.interface import UnitOfWork
from reelstore.services.lookup import found_server

PREFIX_BITS = 16
"""How much of a digest the metadata gives for locating a file's chunks."""


class Locations:
    """Compute locations from the present topology."""

    def __init__(self, topology: TopologyCache) -> None:
        self._topology = topology

    def partitions(self, policy: str, prefixes: Iterable[int]) -> list[int]:
        """Return the partitions that chunks with these digest prefixes may lie in, in order."""
        bits = self._topology.present.ring(policy).partition_bits
        if bits <= PREFIX_BITS:
            return sorted({prefix >> (PREFIX_BITS - bits) for prefix in prefixes})
        span = 1 << (bits - PREFIX_BITS)
        return [prefix * span + index for prefix in sorted(set(prefixes)) for index in range(span)]

    async def number_of(self, view: UnitOfWork, server: str) -> int:
        """Return a server's number; raise `ServerNotFound` when there is none of that name."""
        found = await view.servers.get(server)
        return found_server(found, server).number

    async def on_server(self, view: UnitOfWork, number: int, videos: Sequence[Video]) -> frozenset[str]:
        """Return the ids of those videos of which the server keeps, or is to keep, at least one shard."""
        topology = self._topology.present
        held = {policy: holds(topology, policy, number) for policy in topology.policies}
        prefixes = await view.files.digest_prefixes([video.file_id for video in videos])
        return frozenset(
            video.id
            for video in videos
            if any(
                held[video.policy][index]
                for index in self.partitions(video.policy, prefixes.get(video.file_id, frozenset()))
            )
        )


def holds(topology: Topology, policy: str, number: int) -> NDArray[np.bool_]:
    """Return for each partition whether the server is in its newest or its synced row; shape (partitions,)."""
    ring = topology.ring(policy)
    held: NDArray[np.bool_] = np.any(ring.slots == number, axis=1)
    for epoch in np.unique(topology.synced[policy]).tolist():
        if epoch in topology.older:
            older = topology.older[epoch].rings[policy]
            held |= (topology.synced[policy] == epoch) & np.any(older.slots == number, axis=1)
    return held
