"""How far the scrub is, which reads and hashes every shard within a time that is set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from reelstore.chunkstore.topology import TopologyCache
from reelstore.domain.counter import Counter
from reelstore.repositories.interface import Metadata, ScrubTimes


@dataclass(frozen=True, slots=True)
class ScrubProgress:
    """When everything was last verified, and how much is due.

    Args:
        partitions_total: of all policies.
        partitions_never: how many of them were never scrubbed whole; none, when all is well for long enough.
        partitions_due: how many were not within the time that is set, and are next.
        oldest_scrub_at: since then all the others were scrubbed, by the database's clock; None while none was.
        shards_verified, shards_verified_bytes: read and hashed since the cluster was founded, for whatever reason.
    """

    partitions_total: int
    partitions_never: int
    partitions_due: int
    oldest_scrub_at: datetime | None
    shards_verified: int
    shards_verified_bytes: int


def summed(times: Sequence[ScrubTimes], counts: Mapping[Counter, int]) -> ScrubProgress:
    """Sum up the policies."""
    return ScrubProgress(
        partitions_total=sum(each.partitions for each in times),
        partitions_never=sum(each.never for each in times),
        partitions_due=sum(each.due for each in times),
        oldest_scrub_at=min((each.oldest for each in times if each.oldest is not None), default=None),
        shards_verified=counts.get(Counter.SHARDS_VERIFIED, 0),
        shards_verified_bytes=counts.get(Counter.SHARDS_VERIFIED_BYTES, 0),
    )


class ScrubWatch:
    """Tell how far the scrub is.

    Args:
        metadata: remembers it.
        topology: knows the policies.
        scrub_seconds: within which every shard is to be read again.
    """

    def __init__(self, metadata: Metadata, topology: TopologyCache, *, scrub_seconds: float) -> None:
        self._metadata = metadata
        self._topology = topology
        self._within = timedelta(seconds=scrub_seconds)

    async def progress(self) -> ScrubProgress:
        """Return how far it is now.

        Raises:
            MetadataUnavailable: a retry can help.
        """
        async with self._metadata.snapshot() as view:
            before = await view.now() - self._within
            policies = self._topology.present.policies
            times = [await view.partitions.scrub_times(policy, before=before) for policy in policies]
            return summed(times, await view.counters.get())
