"""All tables of the in-memory metadata, and what is kept beside them so that no question is answered by a full scan."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Final, TypeVar

from reelstore.domain.chunk import Chunk, ChunkRef
from reelstore.domain.counter import Counter
from reelstore.domain.errors import IntegrityViolation
from reelstore.domain.event import Event
from reelstore.domain.file import StoredFile
from reelstore.domain.policy import Policy
from reelstore.domain.server import Server
from reelstore.domain.video import Transfer, Video
from reelstore.placement.ring import RingSet
from reelstore.repositories.interface import (
    Cluster,
    KeptPlan,
    Lease,
    Need,
    Partition,
    PartitionState,
    RebalanceControl,
    RingRecord,
    UsageSample,
)
from reelstore.repositories.memory.table import Table

K = TypeVar("K")

THE_ROW: Final = 1
"""The key in tables of one row."""


@dataclass(frozen=True, slots=True)
class Place:
    """One place in a chunk map, as it is stored: bytes `[offset_bytes, stop_bytes)` of the file."""

    offset_bytes: int
    stop_bytes: int
    chunk_id: str


@dataclass(frozen=True, slots=True)
class RememberedKey:
    """What an `Idempotency-Key` made, and when."""

    fingerprint: str
    video_id: str
    at: datetime


@dataclass(slots=True)
class Tables:
    """Hold the tables. Those after the blank lines are indexes: they follow from the others.

    Args:
        violated: why this unit of work can no longer be committed; None while it can.
    """

    cluster: Table[int, Cluster] = field(default_factory=Table)
    servers: Table[str, Server] = field(default_factory=Table)
    policies: Table[str, Policy] = field(default_factory=Table)
    rings: Table[int, RingSet] = field(default_factory=Table)
    ring_records: Table[int, RingRecord] = field(default_factory=Table)
    partitions: Table[tuple[str, int], PartitionState] = field(default_factory=Table)
    chunks: Table[str, Chunk] = field(default_factory=Table)
    files: Table[str, StoredFile] = field(default_factory=Table)
    places: Table[tuple[str, int], Place] = field(default_factory=Table)
    videos: Table[str, Video] = field(default_factory=Table)
    transfers: Table[str, Transfer] = field(default_factory=Table)
    idempotency: Table[str, RememberedKey] = field(default_factory=Table)
    leases: Table[str, Lease] = field(default_factory=Table)
    needs: Table[Partition, Need] = field(default_factory=Table)
    control: Table[int, RebalanceControl] = field(default_factory=Table)
    events: Table[int, Event] = field(default_factory=Table)
    event_head: Table[int, int] = field(default_factory=Table)
    """The last id, which stays when its event is forgotten."""
    plans: Table[str, KeptPlan] = field(default_factory=Table)
    counters: Table[Counter, int] = field(default_factory=Table)
    usage_samples: Table[tuple[datetime, str], UsageSample] = field(default_factory=Table)
    """By time and server."""

    chunk_ids: Table[tuple[str, bytes], str] = field(default_factory=Table)
    """By policy and digest."""
    digests: Table[tuple[str, int], tuple[bytes, ...]] = field(default_factory=Table)
    """By policy and first 16 bits; each sorted."""
    open_files: Table[str, None] = field(default_factory=Table)
    place_counts: Table[str, int] = field(default_factory=Table)
    """How long each file's chunk map is."""
    references: Table[str, int] = field(default_factory=Table)
    """How many places hold a chunk, by its id."""
    file_references: Table[tuple[str, str], int] = field(default_factory=Table)
    """The same, by its id and the file's."""
    file_videos: Table[str, int] = field(default_factory=Table)
    """How many videos have a file."""
    search_texts: Table[str, str] = field(default_factory=Table)

    violated: str | None = None

    def violation(self, message: str) -> IntegrityViolation:
        """Return the error to raise, and keep this unit of work from being committed."""
        self.violated = message
        return IntegrityViolation(message)

    def commit(self) -> None:
        """Keep all changes."""
        for table in self._all():
            table.commit()

    def roll_back(self) -> None:
        """Undo all changes since the last commit."""
        for table in self._all():
            table.roll_back()
        self.violated = None

    def view(self) -> Tables:
        """Return the committed state, which later changes leave as it is; to be given to `release`."""
        view = Tables()
        for name in _NAMES:
            setattr(view, name, getattr(self, name).view())
        return view

    def release(self, view: Tables) -> None:
        """End a view."""
        for table, seen in zip(self._all(), view._all(), strict=True):
            table.release(seen)

    def _all(self) -> list[Table[object, object]]:
        return [getattr(self, name) for name in _NAMES]

    def put_place(self, file_id: str, reference: ChunkRef) -> None:
        """Put a chunk at the end of a file's chunk map."""
        chunk_id = reference.chunk.id
        place = Place(reference.offset_bytes, reference.stop_bytes, chunk_id)
        self.places.put((file_id, reference.position), place)
        self.place_counts.put(file_id, reference.position + 1)
        adjust(self.references, chunk_id, 1)
        adjust(self.file_references, (chunk_id, file_id), 1)

    def drop_places(self, file_id: str, start_position: int) -> None:
        """Shorten a file's chunk map to end at a position."""
        for position in range(start_position, self.place_counts.get(file_id) or 0):
            place = self.places[file_id, position]
            self.places.drop((file_id, position))
            adjust(self.references, place.chunk_id, -1)
            adjust(self.file_references, (place.chunk_id, file_id), -1)
        self.place_counts.put(file_id, min(start_position, self.place_counts.get(file_id) or 0))

    def drop_chunk(self, chunk: Chunk) -> None:
        """Remove a chunk's row that nothing refers to."""
        self.chunks.drop(chunk.id)
        self.chunk_ids.drop((chunk.policy, chunk.digest))
        key = (chunk.policy, prefix(chunk.digest))
        left = tuple(digest for digest in self.digests[key] if digest != chunk.digest)
        if left:
            self.digests.put(key, left)
        else:
            self.digests.drop(key)

    def put_chunk(self, chunk: Chunk) -> None:
        """Keep a new chunk's row."""
        self.chunks.put(chunk.id, chunk)
        self.chunk_ids.put((chunk.policy, chunk.digest), chunk.id)
        key = (chunk.policy, prefix(chunk.digest))
        self.digests.put(key, tuple(sorted((*(self.digests.get(key) or ()), chunk.digest))))


_NAMES = tuple(each.name for each in fields(Tables) if each.name != "violated")


def adjust(counts: Table[K, int], key: K, by: int) -> None:
    """Change a count, and keep none that is 0."""
    count = (counts.get(key) or 0) + by
    if count:
        counts.put(key, count)
    elif key in counts:
        counts.drop(key)


def prefix(digest: bytes) -> int:
    """Return a digest's first 16 bits."""
    return int.from_bytes(digest[:2], "big")
