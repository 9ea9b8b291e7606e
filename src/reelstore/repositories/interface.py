"""The ports of the metadata. `VideoRepository` is the one that the mission names; the others are its sisters.

`tests/contract/test_repositories_*.py` is the definition: the dictionary and SQL pass the same suite.

All work happens inside a unit of work, which is rolled back unless committed:

    async with metadata.unit_of_work() as uow:
        ...
        await uow.commit()

Units of work that may write are serialisable with each other in what the storage protocol needs: locks taken here
are held until the end. Every method may raise `MetadataUnavailable` (a retry of the whole unit can help). A write
that a constraint refuses raises `IntegrityViolation`, a defect of the caller. After either, the unit can only be
rolled back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from reelstore.domain.chunk import Chunk, ChunkRef
from reelstore.domain.file import StoredFile
from reelstore.domain.policy import Policy
from reelstore.domain.server import Server
from reelstore.domain.video import Video, VideoState
from reelstore.placement.ring import RingSet


@dataclass(frozen=True, slots=True)
class Cluster:
    """The one row that says which cluster this is.

    Args:
        id: random; written into every server's marker.
        generation: the identity of this metadata database over the servers' lifetime.
        delete_rounds: how many rounds of deletes were begun.
        default_policy: for videos stored without naming one.
        created_at: in UTC.
    """

    id: str
    generation: str
    delete_rounds: int
    default_policy: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PartitionState:
    """How far one partition is proved to lie where it should.

    Args:
        policy: the policy's name.
        index: the partition, 0 to 2^partition_bits − 1.
        version: raised by anything unsettling.
        synced_epoch: the ring to which the partition was last proved.
        synced_version: the version at which it was; the partition is clean when it equals `version` and the epoch is
            the newest.
        scrubbed_at: when every expected shard was last read and verified; None if never.
    """

    policy: str
    index: int
    version: int
    synced_epoch: int
    synced_version: int
    scrubbed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewChunk:
    """A chunk to be referred to: a fresh random id in case there is no row of this policy and digest yet."""

    id: str
    digest: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True)
class VideoQuery:
    """Which videos to list, and in which order.

    Args:
        words: each must occur in name, title, description or tags; compared case-folded.
        tags: each must be among the video's tags, exactly.
        state: only this state; None lists all but `trashed`.
        sort: one of `created_at`, `updated_at`, `name`, `title`, `size_bytes`; ties go by id.
        descending: largest first (ties too).
        limit: at most that many, 1 or more.
        after: the sort value and the id of the last video of the page before.
    """

    words: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    state: VideoState | None = None
    sort: str = "created_at"
    descending: bool = True
    limit: int = 50
    after: tuple[str | int | datetime, str] | None = None


SORTS = ("created_at", "updated_at", "name", "title", "size_bytes")
"""What `VideoQuery.sort` may be. Text sorts by code point."""


@dataclass(frozen=True, slots=True)
class Totals:
    """How much there is: videos (trashed ones apart), their bytes, and the bytes of the chunks behind them."""

    videos: int
    video_bytes: int
    trashed: int
    trashed_bytes: int
    chunks: int
    chunk_bytes: int
    open_files: int


class VideoRepository(Protocol):
    """Keep videos."""

    async def add(self, video: Video) -> None:
        """Keep a new video; its id must be new, and its file must be there."""
        ...

    async def get(self, video_id: str) -> Video | None:
        """Return the video, trashed or not, or None."""
        ...

    async def update(self, video: Video, *, expected_version: int) -> bool:
        """Replace the video if its version is still the expected one; return whether it was."""
        ...

    async def delete(self, video_id: str) -> bool:
        """Remove the video's row (not its file); return whether it was there."""
        ...

    async def list(self, query: VideoQuery) -> Sequence[Video]:
        """Return the videos that match, in the query's order."""
        ...

    async def totals(self) -> Totals:
        """Count what there is."""
        ...


class FileRepository(Protocol):
    """Keep files and their chunk maps. A place in a chunk map is the reference that keeps a chunk (rule 5)."""

    async def add(self, file: StoredFile) -> None:
        """Keep a new file without chunks."""
        ...

    async def get(self, file_id: str, *, lock: bool = False) -> StoredFile | None:
        """Return the file or None; with `lock`, nobody else changes it until this unit of work ends."""
        ...

    async def set_references(self, file_id: str, references: Sequence[ChunkRef]) -> None:
        """Make the chunk map from the first given position on be exactly these consecutive references.

        References beyond the confirmed ones, left by a writer that died or lost, are dropped by it.
        With no references given, nothing changes.

        Raises:
            IntegrityViolation: no such file or chunk, a place that is confirmed, or one that does not begin where the
                one before it ends.
        """
        ...

    async def references(self, file_id: str, start_position: int, stop_position: int) -> Sequence[ChunkRef]:
        """Return the places `[start_position, stop_position)`, confirmed or not, in order, chunks as they are now."""
        ...

    async def chunk_map(self, file_id: str, start: int, stop: int, *, limit: int) -> Sequence[ChunkRef]:
        """Return, in order, up to `limit` confirmed places that hold bytes of `[start, stop)`."""
        ...

    async def advance(
        self, file_id: str, *, from_offset_bytes: int, to_offset_bytes: int, chunk_count: int, expires_at: datetime
    ) -> bool:
        """Confirm bytes by compare-and-swap: only while the file is open and its offset is `from_offset_bytes`.

        Args:
            file_id: the file.
            from_offset_bytes: how many bytes are confirmed so far.
            to_offset_bytes: how many are from now on.
            chunk_count: how many places of the chunk map are from now on, from the first.
            expires_at: when the file ends unless somebody renews it.

        Returns:
            whether it was; nothing changes otherwise.
        """
        ...

    async def complete(self, file_id: str, *, length_bytes: int) -> bool:
        """Complete an open file whose offset is `length_bytes`; return whether it was. References beyond go."""
        ...

    async def renew(self, file_id: str, *, expires_at: datetime) -> bool:
        """Put off the end of an open file; return whether it is (still) open."""
        ...

    async def delete(self, file_id: str) -> bool:
        """Remove a file with its chunk map; return whether it was there. The chunks' rows stay.

        Raises:
            IntegrityViolation: a video has it; delete that first.
        """
        ...

    async def expired(self, now: datetime, *, limit: int) -> Sequence[str]:
        """Return ids of open files whose time has ended, the longest first."""
        ...

    async def digest_prefixes(self, file_ids: Sequence[str]) -> Mapping[str, frozenset[int]]:
        """Return, for each file, the distinct first 16 bits of its confirmed chunks' digests; none if it is unknown."""
        ...

    async def unshared_bytes(self, file_id: str) -> int:
        """Return the bytes (of one copy) of the file's chunks that no other file refers to, each chunk counted once."""
        ...


class ChunkRepository(Protocol):
    """Keep the chunks' rows: unique by policy and digest, by id for ever."""

    async def obtain(self, policy: str, chunks: Sequence[NewChunk]) -> Sequence[Chunk]:
        """Return the row of each digest, in the order given, made in state `writing` where there was none.

        The same digest may be given twice: both get the same row. Rows are locked in order of digest.
        """
        ...

    async def get_many(self, chunk_ids: Sequence[str]) -> Mapping[str, Chunk]:
        """Return the rows that exist, by id."""
        ...

    async def make_live(self, chunk_ids: Sequence[str]) -> None:
        """Set rows to `live`, in order of id; those that are it already stay."""
        ...

    async def in_range(self, policy: str, start: bytes, stop: bytes | None) -> Sequence[Chunk]:
        """Return the policy's rows with a digest in `[start, stop)` (None: to the end), in order of digest."""
        ...

    async def delete_unreferenced(self, policy: str, start: bytes, stop: bytes | None) -> Sequence[Chunk]:
        """Delete the rows of the range that no chunk map refers to, in one statement; return them."""
        ...

    async def delete(self, chunk_id: str) -> bool:
        """Delete one row if there is one and nothing refers to it; return whether it went."""
        ...


class ServerRepository(Protocol):
    """Keep the registered servers."""

    async def add(self, server: Server) -> None:
        """Keep a new server; its name and its number must be new."""
        ...

    async def get(self, name: str) -> Server | None:
        """Return the server, removed or not, or None."""
        ...

    async def list(self) -> Sequence[Server]:
        """Return all servers, removed ones too, in order of number."""
        ...

    async def update(self, server: Server) -> None:
        """Replace the server of this name and number.

        Raises:
            ServerNotFound: there is none.
        """
        ...

    async def next_number(self) -> int:
        """Return a number that no server ever had; 0 for the first."""
        ...


class PolicyRepository(Protocol):
    """Keep the policies: created, never edited."""

    async def add(self, policy: Policy) -> None:
        """Keep a new policy."""
        ...

    async def list(self) -> Sequence[Policy]:
        """Return all, in order of name."""
        ...


class RingRepository(Protocol):
    """Keep the ring sets by epoch, and the ring head: which is the newest."""

    async def head(self, *, lock: bool = False) -> int:
        """Return the newest epoch, 0 before the first; with `lock` no other epoch begins until this unit ends."""
        ...

    async def add(self, rings: RingSet, *, reason: str, at: datetime) -> None:
        """Keep a ring set and make it the head; its epoch must be the head's plus one.

        Raises:
            Conflict: it is not; plan again from the newest.
        """
        ...

    async def get(self, epoch: int) -> RingSet | None:
        """Return the ring set of an epoch, validated, or None."""
        ...


class PartitionRepository(Protocol):
    """Keep each partition's version and how far it is synced (rules 3 and 7)."""

    async def add(self, policy: str, count: int, *, epoch: int) -> None:
        """Make the partitions 0 to count − 1 of a new policy, version 0, clean at the epoch: they are empty."""
        ...

    async def get(self, policy: str, index: int) -> PartitionState | None:
        """Return one, or None."""
        ...

    async def list(self, policy: str, start: int = 0, stop: int | None = None) -> Sequence[PartitionState]:
        """Return the partitions `[start, stop)` of a policy (None: to the end), in order of index."""
        ...

    async def unsettled(self, policy: str, *, epoch: int) -> Sequence[int]:
        """Return, in order, the partitions that are not synced to that epoch at their present version."""
        ...

    async def raise_versions(self, policy: str, indexes: Sequence[int]) -> None:
        """Add one to the version of these; an index given twice counts once."""
        ...

    async def swap_synced(self, policy: str, index: int, *, epoch: int, version: int) -> bool:
        """Record that the partition is synced to the epoch at the version, if its version is still that one.

        The caller holds the ring head's lock and has compared the epoch with it.

        Returns:
            whether the version was still the same; nothing changes otherwise.
        """
        ...

    async def set_scrubbed(self, policy: str, indexes: Sequence[int], *, at: datetime) -> None:
        """Record when these partitions were scrubbed."""
        ...


class ClusterRepository(Protocol):
    """Keep the cluster's own row."""

    async def get(self) -> Cluster | None:
        """Return it, or None in a database that was never used."""
        ...

    async def add(self, cluster: Cluster) -> None:
        """Make it; there is exactly one."""
        ...

    async def raise_delete_rounds(self) -> int:
        """Add one to the count of delete rounds and return it."""
        ...


class IdempotencyRepository(Protocol):
    """Remember which video an `Idempotency-Key` made."""

    async def get(self, key: str) -> tuple[str, str] | None:
        """Return the fingerprint of the request and the video's id, or None."""
        ...

    async def add(self, key: str, *, fingerprint: str, video_id: str, at: datetime) -> bool:
        """Remember a key; return False, and change nothing, when it is known already."""
        ...

    async def drop_before(self, at: datetime) -> int:
        """Forget keys older than that; return how many."""
        ...


class UnitOfWork(Protocol):
    """One transaction over all repositories: rolled back unless committed."""

    @property
    def videos(self) -> VideoRepository:
        """Videos."""
        ...

    @property
    def files(self) -> FileRepository:
        """Files and their chunk maps."""
        ...

    @property
    def chunks(self) -> ChunkRepository:
        """The chunks' rows."""
        ...

    @property
    def servers(self) -> ServerRepository:
        """Registered servers."""
        ...

    @property
    def policies(self) -> PolicyRepository:
        """Policies."""
        ...

    @property
    def rings(self) -> RingRepository:
        """Ring sets and the ring head."""
        ...

    @property
    def partitions(self) -> PartitionRepository:
        """Partitions."""
        ...

    @property
    def cluster(self) -> ClusterRepository:
        """The cluster's own row."""
        ...

    @property
    def idempotency(self) -> IdempotencyRepository:
        """Known `Idempotency-Key`s."""
        ...

    async def now(self) -> datetime:
        """Return the database's time in UTC: the only clock that decides anything (rule 13)."""
        ...

    async def commit(self) -> None:
        """Make everything durable, at once or not at all. Afterwards the unit must not be used."""
        ...

    async def __aenter__(self) -> Self:
        """Begin."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Roll back unless committed."""
        ...


class Metadata(Protocol):
    """Hand out units of work."""

    def unit_of_work(self, *, frees: bool = False) -> UnitOfWork:
        """Return a unit that may write. Keep it short: writers wait for each other.

        Args:
            frees: it deletes more than it adds, and may use the room that is kept for that on a full volume.
        """
        ...

    def snapshot(self) -> UnitOfWork:
        """Return a unit that only reads, a consistent view, without waiting for writers; it is never committed."""
        ...

    async def close(self) -> None:
        """Close all connections; calling it again is fine."""
        ...
