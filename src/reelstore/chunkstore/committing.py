"""What a writer commits: the open file, references before bytes, confirmations, and the end (rules 1, 3 and 4)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from reelstore.chunkstore.placing import Placement
from reelstore.domain.chunk import Chunk, ChunkRef
from reelstore.domain.errors import InsufficientServers, OffsetConflict, StoredFileNotFound
from reelstore.domain.file import FileState, StoredFile
from reelstore.domain.ids import Entropy, random_id
from reelstore.domain.policy import Policy
from reelstore.placement.ring import Ring
from reelstore.repositories.interface import NewChunk, UnitOfWork

Completion = Callable[[UnitOfWork, StoredFile, datetime], Awaitable[None]]
"""Called inside the transaction that completes the file, with the completed file and the database's time."""


MAP_PAGE_CHUNKS = 1000


async def referenced_partitions(uow: UnitOfWork, file_id: str, ring: Ring) -> frozenset[int]:
    """Return the partitions of all chunks that a file refers to, confirmed or not; a page at a time, however many."""
    partitions: set[int] = set()
    position = 0
    while True:
        references = await uow.files.references(file_id, position, position + MAP_PAGE_CHUNKS)
        partitions.update(ring.partition_of(reference.chunk.digest) for reference in references)
        if len(references) < MAP_PAGE_CHUNKS:
            return frozenset(partitions)
        position += MAP_PAGE_CHUNKS


@dataclass(slots=True, eq=False)
class Piece:
    """One chunk on its way from the body to its confirmation."""

    position: int
    offset_bytes: int
    buffer: bytearray
    size_bytes: int
    digest: bytes | None = None
    chunk: Chunk | None = None
    placement: Placement | None = None
    reusable: bool = True

    @property
    def data(self) -> memoryview:
        """Return the chunk's bytes where they are."""
        return memoryview(self.buffer)[: self.size_bytes]


@dataclass(slots=True)
class OpenFile:
    """A file whose bytes are arriving, as its writer believes it to be.

    All methods work inside the caller's unit of work and change nothing here: what is committed is noted afterwards.

    Args:
        id: the file's.
        policy: the file's.
        entropy: draws chunk ids.
        length_bytes: the announced length, None while it is unknown.
        created: whether the file's row is committed.
        confirmed_bytes: how far it is confirmed; the value that the compare-and-swap goes by.
    """

    id: str
    policy: Policy
    entropy: Entropy
    length_bytes: int | None = None
    created: bool = False
    confirmed_bytes: int = 0

    async def begin(self, uow: UnitOfWork, expires_at: datetime) -> None:
        """Make the file at the first transaction; later, prove that it is still open and nobody else's."""
        if not self.created:
            await uow.files.add(
                StoredFile(
                    id=self.id,
                    policy=self.policy.name,
                    state=FileState.OPEN,
                    offset_bytes=0,
                    chunk_count=0,
                    length_bytes=self.length_bytes,
                    expires_at=expires_at,
                )
            )
            return
        file = await uow.files.get(self.id, lock=True)
        if file is None or file.state is not FileState.OPEN:
            raise StoredFileNotFound("the upload has expired; begin it again", key=self.id)
        if file.offset_bytes != self.confirmed_bytes:
            raise OffsetConflict("the upload has moved on without this request", offset_bytes=file.offset_bytes)

    async def confirm(self, uow: UnitOfWork, ring: Ring, placed: Sequence[Piece], expires_at: datetime) -> None:
        """Advance the file over chunks that enough servers acknowledged (rules 3 and 4)."""
        for piece in placed:
            acknowledged = len(piece.placement.acknowledged) if piece.placement else 0
            if acknowledged < self.policy.copies_min:
                raise InsufficientServers(
                    "a chunk lacks acknowledgements", needed=self.policy.copies_min, acknowledged=acknowledged
                )
        first, last = placed[0], placed[-1]
        references = await uow.files.references(self.id, first.position, last.position + 1)
        if [ref.chunk.id for ref in references] != [piece.chunk.id for piece in placed if piece.chunk]:
            raise OffsetConflict("another request writes to this upload", offset_bytes=self.confirmed_bytes)
        advanced = await uow.files.advance(
            self.id,
            from_offset_bytes=self.confirmed_bytes,
            to_offset_bytes=last.offset_bytes + last.size_bytes,
            chunk_count=last.position + 1,
            expires_at=expires_at,
        )
        if not advanced:
            raise OffsetConflict("the upload has moved on without this request")
        await uow.chunks.make_live([ref.chunk.id for ref in references])
        unsettled = [piece for piece in placed if piece.placement is None or not piece.placement.settled]
        if unsettled:
            partitions = [ring.partition_of(piece.digest) for piece in unsettled if piece.digest]
            await uow.partitions.raise_versions(self.policy.name, partitions)

    async def refer(self, uow: UnitOfWork, hashed: Sequence[Piece]) -> list[Chunk]:
        """Commit, together with the caller, the rows of chunks and the file's references to them (rule 1)."""
        new = [NewChunk(random_id(self.entropy), piece.digest, piece.size_bytes) for piece in hashed if piece.digest]
        chunks = list(await uow.chunks.obtain(self.policy.name, new))
        references = [
            ChunkRef(piece.position, piece.offset_bytes, chunk) for piece, chunk in zip(hashed, chunks, strict=True)
        ]
        await uow.files.set_references(self.id, references)
        return chunks

    async def end(self, uow: UnitOfWork, size_bytes: int, completion: Completion, now: datetime) -> StoredFile:
        """Complete the file, and do in the same transaction what `completion` does with it."""
        if not await uow.files.complete(self.id, length_bytes=size_bytes):
            raise OffsetConflict("the upload has moved on without this request")
        file = await uow.files.get(self.id)
        if file is None:
            raise StoredFileNotFound("the upload has expired; begin it again", key=self.id)
        await completion(uow, file, now)
        return file
