"""Ports of what users store: videos, files with their chunk maps, chunks, known idempotency keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from reelstore.domain.chunk import Chunk, ChunkRef
from reelstore.domain.file import StoredFile
from reelstore.domain.video import Transfer, Video, VideoState


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

    async def of_chunks(self, chunk_ids: Sequence[str], *, limit: int) -> Sequence[Video]:
        """Return up to `limit` videos, trashed ones too, in order of id, whose file refers to one of these chunks."""
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

    async def take_over(self, file_id: str, other_id: str) -> bool:
        """Give a complete file the policy and the chunk map of another one of the same length, which goes.

        Whoever reads the file goes on: its id stays, and so do its bytes. The chunks' rows stay.

        Returns:
            whether it was; nothing changes when one of them is not there, is open, or of another length.

        Raises:
            IntegrityViolation: a video has the other file.
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

    async def is_empty(self, policy: str) -> bool:
        """Return whether the policy has no row."""
        ...

    async def bytes_by_partition(self, policy: str, partition_bits: int) -> Sequence[int]:
        """Return the bytes (of one copy) of the policy's live chunks in each of 2^partition_bits partitions.

        It looks at every row of the policy: seconds for ten million.
        """
        ...

    async def delete_unreferenced(self, policy: str, start: bytes, stop: bytes | None) -> Sequence[Chunk]:
        """Delete the rows of the range that no chunk map refers to, in one statement; return them."""
        ...

    async def delete(self, chunk_id: str) -> bool:
        """Delete one row if there is one and nothing refers to it; return whether it went."""
        ...


class TransferRepository(Protocol):
    """Keep which videos are to have another policy. A video's transfer goes with it."""

    async def put(self, transfer: Transfer) -> None:
        """Keep a video's transfer, in the place of one that it has; the video must be there."""
        ...

    async def get(self, video_id: str) -> Transfer | None:
        """Return a video's transfer or None."""
        ...

    async def list(self, *, limit: int, after: str = "") -> Sequence[Transfer]:
        """Return up to `limit` transfers, in order of the video's id, from the one after `after` on."""
        ...

    async def delete(self, video_id: str) -> bool:
        """Forget a video's transfer; return whether there was one."""
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
