"""The topology: rings, policies and how far partitions are synced, as one immutable value that is swapped whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reelstore.chunkstore.redundancy import Redundancy, redundancy_of
from reelstore.domain.chunk import DIGEST_BYTES, Chunk, ShardName
from reelstore.domain.errors import PolicyNotFound
from reelstore.domain.policy import Policy
from reelstore.placement.builder import widened
from reelstore.placement.ring import Ring, RingSet, Seat
from reelstore.repositories.interface import Metadata


@dataclass(frozen=True, slots=True)
class Topology:
    """What a gateway knows of the cluster's shape at one epoch.

    Args:
        epoch: of the newest ring set.
        newest: the newest ring of each policy.
        older: rings by epoch to which some partition is still synced; those from before a split are shown with as
            many partitions as the newest ones, so that a partition has one number in all of them.
        synced: for each policy the epoch to which each partition is synced, int64 of shape (partitions,). It may lag:
            it only tells readers where to look before they look everywhere.
        policies: by name.
        default_policy: for videos that name none.
    """

    epoch: int
    newest: Mapping[str, Ring]
    older: Mapping[int, RingSet]
    synced: Mapping[str, NDArray[np.int64]]
    policies: Mapping[str, Policy]
    default_policy: str

    def policy(self, name: str | None) -> Policy:
        """Return a policy by name, or the default one.

        Raises:
            PolicyNotFound: there is none of that name.
        """
        try:
            return self.policies[name or self.default_policy]
        except KeyError:
            known = ", ".join(sorted(self.policies))
            raise PolicyNotFound(f"there is no policy {name!r}; there are: {known}", key=name or "") from None

    @property
    def copies_min(self) -> int:
        """Return how many servers must acknowledge a write of which nobody names the policy."""
        return self.policies[self.default_policy].copies_min

    def redundancy(self, policy: str) -> Redundancy:
        """Return how a policy's chunks are made redundant."""
        return redundancy_of(self.policy(policy))

    def ring(self, policy: str) -> Ring:
        """Return the newest ring of a policy."""
        return self.newest[policy]

    def synced_row(self, policy: str, partition: int) -> tuple[Seat, ...]:
        """Return the row of the epoch to which the partition is synced; the newest row where that is the same."""
        epoch = int(self.synced[policy][partition])
        if epoch == self.epoch or epoch not in self.older:
            return self.newest[policy].row(partition)
        return self.older[epoch].rings[policy].row(partition)


def shard_name(chunk: Chunk, seat: Seat) -> ShardName:
    """Return the name under which a server of the row keeps its shard of the chunk (rule 2)."""
    return ShardName(chunk.policy, chunk.digest, chunk.id, seat.slot, seat.tenure)


def digest_range(partition_bits: int, start: int, stop: int) -> tuple[bytes, bytes | None]:
    """Return the digests of partitions `[start, stop)` as a half-open range; None stands for the end."""
    shift = DIGEST_BYTES * 8 - partition_bits
    lower = (start << shift).to_bytes(DIGEST_BYTES, "big")
    upper = None if stop >> partition_bits else (stop << shift).to_bytes(DIGEST_BYTES, "big")
    return lower, upper


def _as_wide(older: RingSet, newest: RingSet) -> RingSet:
    """Return an older ring set with the partitions of the newest one; the same one where no split lies between."""
    bits = {policy: ring.partition_bits for policy, ring in newest.rings.items()}
    if all(ring.partition_bits == bits.get(policy, ring.partition_bits) for policy, ring in older.rings.items()):
        return older
    rings = {policy: widened(ring, bits[policy]) for policy, ring in older.rings.items()}
    return RingSet(older.epoch, rings, older.parent)


class TopologyCache:
    """Hold the present topology, and load it anew when told to.

    Safety does not depend on its freshness: a confirm under an old ring is refused (rule 3).

    Args:
        metadata: where the newest one is.
        on_split: told, before anybody sees the new rings, of a policy whose partitions have become more, and how often
            they were doubled: whoever remembers partitions by number must follow.
    """

    def __init__(self, metadata: Metadata, *, on_split: Callable[[str, int], None] | None = None) -> None:
        self._metadata = metadata
        self._on_split = on_split
        self._present: Topology | None = None

    @property
    def present(self) -> Topology:
        """Return the topology as last loaded."""
        if self._present is None:
            raise RuntimeError("the topology is used before it was loaded")
        return self._present

    async def refresh(self) -> Topology:
        """Load the newest topology; rings that are held already are not read again.

        Returns:
            what is present then: what another call loaded meanwhile, if that is newer.

        Raises:
            MetadataUnavailable: what was present stays; a retry can help.
        """
        async with self._metadata.snapshot() as view:
            epoch = await view.rings.head()
            cluster = await view.cluster.get()
            policies = {policy.name: policy for policy in await view.policies.list()}
            known = dict(self._present.older) if self._present else {}
            synced: dict[str, NDArray[Any]] = {}
            for name in policies:
                states = await view.partitions.list(name)
                synced[name] = np.array([state.synced_epoch for state in states], dtype=np.int64)
            wanted = {epoch}.union(*(map(int, np.unique(epochs)) for epochs in synced.values()))
            for missing in wanted - known.keys():
                rings = await view.rings.get(missing)
                if rings is not None:
                    known[missing] = rings
        if cluster is None or epoch not in known:
            raise RuntimeError("the metadata has no ring")
        if self._present is not None and self._present.epoch > epoch:
            return self._present
        self._note_split(known[epoch])
        self._present = Topology(
            epoch=epoch,
            newest=known[epoch].rings,
            older={number: _as_wide(rings, known[epoch]) for number, rings in known.items() if number in wanted},
            synced=synced,
            policies=policies,
            default_policy=cluster.default_policy,
        )
        return self._present

    async def follow_synced(self) -> None:
        """Load anew how far partitions are synced, while not all were: other processes sync them too.

        Raises:
            MetadataUnavailable: what was present stays; a retry can help.
        """
        present = self.present
        if any(np.any(epochs != present.epoch) for epochs in present.synced.values()):
            await self.refresh()

    def _note_split(self, newest: RingSet) -> None:
        if self._on_split is None or self._present is None:
            return
        for policy, ring in self._present.newest.items():
            if newest.rings[policy].partition_bits > ring.partition_bits:
                self._on_split(policy, newest.rings[policy].partition_bits - ring.partition_bits)

    def note_synced(self, policy: str, partitions: list[int], epoch: int) -> None:
        """Remember that partitions were just synced, without reading all of them again."""
        if self._present is not None and epoch == self._present.epoch:
            self._present.synced[policy][partitions] = epoch
