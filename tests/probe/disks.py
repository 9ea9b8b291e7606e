"""What lies on the disks of the servers, found by looking at their folders and not by asking the gateway."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.probe.gateway import Gateway


@dataclass(frozen=True)
class Disks:
    """The sizes in bytes of the shards of each server, by the digest of their chunk."""

    shards: Mapping[int, Mapping[str, int]]

    @classmethod
    def of(cls, gateway: Gateway, numbers: Iterable[int]) -> Disks:
        found: dict[int, dict[str, int]] = {}
        for number in numbers:
            sizes = found[number] = {}
            for shard in gateway.shards(number):
                try:
                    sizes[shard.name.split(".")[0]] = shard.stat().st_size
                except FileNotFoundError:  # deleted since it was listed
                    continue
        return cls(found)

    def size_bytes(self, number: int) -> int:
        return sum(self.shards.get(number, {}).values())

    def copies(self) -> Counter[int]:
        """Count the chunks by the number of their copies."""
        return Counter(Counter(digest for shards in self.shards.values() for digest in shards).values())

    def bytes_new_since(self, before: Disks) -> int:
        """Count what servers hold that they did not hold before."""
        return sum(
            size_bytes
            for number, shards in self.shards.items()
            for digest, size_bytes in shards.items()
            if digest not in before.shards.get(number, {})
        )

    def bytes_minimum_since(self, before: Disks) -> int:
        """Count what at the very least had to move, given what each server held before and holds now."""
        return sum(max(0, self.size_bytes(number) - before.size_bytes(number)) for number in self.shards)
