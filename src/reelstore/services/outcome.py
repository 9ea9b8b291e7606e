"""What one reconcile did and found."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from reelstore.domain.chunk import Chunk, ShardName
from reelstore.domain.counter import Counter
from reelstore.domain.event import Event, EventKind
from reelstore.domain.wording import count

EXAMPLES_MAX = 10
"""Things that one event names: there is one event for all of a kind, however many they are."""

MOVED = (Counter.SHARDS_MOVED_BYTES, Counter.SHARDS_REPAIRED_BYTES, Counter.SHARDS_ADOPTED_BYTES)
"""What counts as moved: bytes that are proved to be durable where they were lacking."""


@dataclass(slots=True)
class Outcome:
    """What one reconcile did.

    Args:
        counts: what was put, adopted, freed, read and found.
        defects: partitions in which a shard was missing or bad although they were called clean.
        blocked: partitions that could not be proved, each with the reason.
        bad: partitions of which shards are there and still bad.
        lost: chunks that are nowhere although every server answered.
        newly_lost, found_again: those that were not lost before, and those that are so no longer.
        corrupt: by server number, shards that were found to be bad and were not known to be.
        unverified: partitions and server numbers of which not every shard that was to be read was good.
        proved: shards that were read, put or adopted, and are good.
        freed: server numbers and names of shards that were deleted.
    """

    counts: Tally[Counter] = field(default_factory=Tally)
    defects: set[int] = field(default_factory=set)
    blocked: dict[int, str] = field(default_factory=dict)
    bad: set[int] = field(default_factory=set)
    lost: dict[str, Chunk] = field(default_factory=dict)
    newly_lost: list[Chunk] = field(default_factory=list)
    found_again: list[Chunk] = field(default_factory=list)
    corrupt: dict[int, list[ShardName]] = field(default_factory=dict)
    unverified: set[tuple[int, int]] = field(default_factory=set)
    proved: set[ShardName] = field(default_factory=set)
    freed: set[tuple[int, ShardName]] = field(default_factory=set)

    @property
    def put_bytes(self) -> int:
        """Return the bytes of shards that were missing or bad, and were put."""
        return self.counts[Counter.SHARDS_MOVED_BYTES] + self.counts[Counter.SHARDS_REPAIRED_BYTES]

    @property
    def moved_bytes(self) -> int:
        """Return the bytes that were put or adopted."""
        return sum(self.counts[each] for each in MOVED)

    @property
    def freed_bytes(self) -> int:
        """Return the bytes of shards that were deleted."""
        return self.counts[Counter.GARBAGE_FREED_BYTES] + self.counts[Counter.MISPLACED_FREED_BYTES]

    @property
    def verified(self) -> int:
        """Return how many shards were read and hashed where they lie."""
        return self.counts[Counter.SHARDS_VERIFIED]

    def events(self, at: datetime, servers: Mapping[int, str]) -> Iterator[Event]:
        """Yield what is worth telling, one event for each server and for each kind.

        Args:
            at: the database's time.
            servers: names of servers by number.
        """
        for number, shards in self.corrupt.items():
            server = servers.get(number, f"number {number}")
            data = {"server": server, "count": len(shards), "shards": [str(name) for name in shards[:EXAMPLES_MAX]]}
            told = f"server {server} had {count(len(shards), 'corrupt shard')}"
            yield Event(EventKind.SHARD_CORRUPT, server, told, at, data)
        for kind, chunks, what in (
            (EventKind.CHUNK_LOST, self.newly_lost, "on no server, although all of them answered"),
            (EventKind.CHUNK_FOUND, self.found_again, "found again, after having been on no server"),
        ):
            if chunks:
                data = {"count": len(chunks), "chunks": [chunk.digest.hex() for chunk in chunks[:EXAMPLES_MAX]]}
                yield Event(kind, chunks[0].digest.hex(), f"{count(len(chunks), 'chunk')} {what}", at, data)
