"""What the background should look at next: partitions with a known or likely need, each once."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Container, Iterable, Mapping

from reelstore.chunkstore.fetching import Defect
from reelstore.domain.chunk import ShardName
from reelstore.repositories.interface import Need, Partition

__all__ = ["Attention", "Need", "Partition"]


class Attention:
    """Collect needs from everywhere in the process. Losing them in a crash costs time only: all is seen again.

    `known_bad` holds the shards that were found bad and are not good yet; the reconciler tries them again by itself.
    `lost` holds the chunks that it found on no server. Both are the reconciler's, and only read here.
    """

    def __init__(self) -> None:
        self.known_bad: Container[ShardName] = frozenset()
        self.lost: Collection[str] = ()
        self._needs: dict[Partition, Need] = {}
        self.wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._needs)

    def add(self, policy: str, partitions: Iterable[int], need: Need) -> None:
        """Note a need of partitions."""
        for partition in partitions:
            key = (policy, partition)
            self._needs[key] = self._needs.get(key, Need()) | need
        self.wake.set()

    def widen(self, policy: str, doublings: int) -> None:
        """Follow a split: what is noted of a partition is noted of all that it has become."""
        mine = {index: need for (name, index), need in self._needs.items() if name == policy}
        for index in mine:
            del self._needs[policy, index]
        for index, need in mine.items():
            self.add(policy, range(index << doublings, (index + 1) << doublings), need)

    def is_known_bad(self, shard: ShardName) -> bool:
        """Return whether a shard was found bad, and is not good yet."""
        return shard in self.known_bad

    def put_back(self, needs: Mapping[Partition, Need]) -> None:
        """Note again what was taken and could not be done; it is not urgent enough to wake anybody."""
        for key, need in needs.items():
            self._needs[key] = self._needs.get(key, Need()) | need

    def on_defect(self, defect: Defect) -> None:
        """Note what a read met; a shard that is known to be bad is no news, and would keep the background busy."""
        if not self.is_known_bad(defect.name):
            self.add(defect.policy, [defect.partition], Need(verify=True, unsettled=True))

    def take(self) -> dict[Partition, Need]:
        """Hand over all that is noted, in order of partition."""
        taken = dict(sorted(self._needs.items()))
        self._needs.clear()
        self.wake.clear()
        return taken
