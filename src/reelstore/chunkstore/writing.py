"""Append to a file: cut, hash, refer, place and confirm, each of them while the others go on.

The order that safety needs (DESIGN, rules 1 to 4) is kept for each chunk: its row and the file's reference to it are
committed before a byte of it goes to a server, and it is confirmed only under the newest ring, when `copies_min`
servers have acknowledged it during this very upload. One transaction serves many chunks: it confirms those that are
placed and takes the references of those that are hashed, while further ones are being placed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from reelstore.chunkstore.activity import Activity
from reelstore.chunkstore.body import Body
from reelstore.chunkstore.buffers import BufferPool
from reelstore.chunkstore.committing import Completion, OpenFile, Piece, referenced_partitions
from reelstore.chunkstore.placing import Placer
from reelstore.chunkstore.redundancy import digest_of, encoded, redundancy_of
from reelstore.chunkstore.topology import TopologyCache
from reelstore.domain.chunk import Chunk
from reelstore.domain.errors import (
    InsufficientServers,
    MetadataUnavailable,
    StaleRing,
    StoredFileNotFound,
)
from reelstore.domain.file import FileState, StoredFile
from reelstore.domain.ids import Entropy, random_id
from reelstore.domain.policy import Policy
from reelstore.repositories.interface import Metadata, UnitOfWork
from reelstore.storage.interface import ByteString

BATCH_CHUNKS_MAX = 8
"""So many hashed chunks are referred to at once, without waiting for those being placed: the disks stay busy."""
CHUNKS_IN_FLIGHT_MAX = 24
"""One batch is being hashed while one is being placed and one confirmed."""
RING_CHANGES_MAX = 20

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WritingTools:
    """What every writer of a process shares."""

    metadata: Metadata
    topology: TopologyCache
    placer: Placer
    buffers: BufferPool
    entropy: Entropy
    activity: Activity
    open_file_seconds: float


class FileWriter:
    """Write one new file, or go on with an open one. Use it as `write` … `finish`, and `abandon` on any failure.

    Memory is bounded by `CHUNKS_IN_FLIGHT_MAX` chunks. A crash leaves an open file that expires, and nothing visible.

    Args:
        tools: shared.
        policy: the file's.
        length_bytes: the announced length, None while it is unknown.
        file: go on with this one, from its offset on.
        keep_seconds: how long the open file outlives its gateway, if not as long as others.
    """

    def __init__(
        self,
        tools: WritingTools,
        policy: Policy,
        *,
        length_bytes: int | None = None,
        file: StoredFile | None = None,
        keep_seconds: float | None = None,
    ) -> None:
        self._tools = tools
        self.policy = policy
        self._redundancy = redundancy_of(policy)
        shard_bytes = self._redundancy.shard_size_bytes(policy.chunk_size_bytes)
        self._shards_bytes = 0 if self._redundancy.alike else policy.width * shard_bytes
        self._file = OpenFile(random_id(tools.entropy), policy, tools.entropy, length_bytes)
        self._keep_seconds = tools.open_file_seconds if keep_seconds is None else keep_seconds
        self.size_bytes = 0
        self._buffer: bytearray | None = None
        self._filled_bytes = 0
        self._next_position = 0
        if file is not None:
            self._file.id, self._file.created, self._file.confirmed_bytes = file.id, True, file.offset_bytes
            self.size_bytes, self._next_position = file.offset_bytes, file.chunk_count
        self._pieces: deque[Piece] = deque()
        self._completion: Completion | None = None
        self._ring_changes = 0
        self._failure: BaseException | None = None
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._complete: asyncio.Future[StoredFile] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[None]] = set()
        self._start(self._commit_as_needed())
        self._start(self._renew())

    # ------------------------------------------------------------------ the caller's side

    async def write(self, data: ByteString) -> None:
        """Append bytes; waits while too many chunks are under way.

        Raises:
            InsufficientServers, InsufficientStorage, Overloaded, MetadataUnavailable, OffsetConflict,
            StoredFileNotFound: of an earlier piece of this body; the file cannot be continued by this writer.
        """
        view = memoryview(data)
        while view.nbytes:
            memory = await self._free_memory()
            count = min(view.nbytes, memory.nbytes)
            memory[:count] = view[:count]
            self._fill(count)
            view = view[count:]
        self._raise_failure()

    async def read(self, body: Body) -> bool:
        """Append what a body gives next, without a copy; return False at its end.

        Raises:
            as `write`, and what the body raises.
        """
        memory = await self._free_memory()
        count = await body.read_into(memory)
        self._fill(count)
        self._raise_failure()
        return count > 0

    async def finish(self, completion: Completion) -> StoredFile:
        """Confirm everything and complete the file, in one transaction with what `completion` does.

        Returns:
            the complete file: durable.

        Raises:
            as `write`, and whatever `completion` raises; nothing is visible then.
        """
        if self._buffer is not None and self._filled_bytes:
            self._cut()
        self._completion = completion
        self._wake.set()
        await asyncio.wait([self._complete])
        self._raise_failure()
        await self._stop()
        return self._complete.result()

    async def abandon(self) -> frozenset[int]:
        """Stop, give all memory back and drop the open file; bytes that reached servers become garbage.

        Returns:
            the partitions in which it leaves chunks that nothing may refer to any more: none if the file had not been
            begun, or is complete and therefore left alone.
        """
        await self._stop()
        if not self._file.created:
            return frozenset()
        async with self._tools.metadata.unit_of_work(frees=True) as uow:
            file = await uow.files.get(self._file.id, lock=True)
            if file is None or file.state is not FileState.OPEN:
                return frozenset()
            ring = self._tools.topology.present.ring(file.policy)
            partitions = await referenced_partitions(uow, self._file.id, ring)
            await uow.files.delete(self._file.id)
            await uow.commit()
        return partitions

    async def leave(self) -> None:
        """Stop, give all memory back and leave the open file to whoever goes on with it before it expires."""
        await self._stop()

    async def _stop(self) -> None:
        running = list(self._tasks)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self._complete.cancel()
        while self._pieces:
            piece = self._pieces.popleft()
            self._give_back(piece.buffer, reusable=piece.reusable and not running)
        if self._buffer is not None:
            self._give_back(self._buffer, reusable=True)
            self._buffer = None

    # ------------------------------------------------------------------ the pipeline

    async def _free_memory(self) -> memoryview:
        """Return what is free of the present chunk, waiting for one while too many are under way."""
        if self._buffer is None:
            await self._wait_for_room()
            size_bytes = self.policy.chunk_size_bytes
            self._buffer = await self._tools.buffers.take(size_bytes, beside_bytes=self._shards_bytes)
            self._filled_bytes = 0
        return memoryview(self._buffer)[self._filled_bytes :]

    def _give_back(self, buffer: bytearray, *, reusable: bool) -> None:
        self._tools.buffers.give_back(buffer, reusable=reusable, beside_bytes=self._shards_bytes)

    def _fill(self, count: int) -> None:
        """Take in bytes that were put into the free memory."""
        self._filled_bytes += count
        self.size_bytes += count
        if self._buffer is not None and self._filled_bytes == len(self._buffer):
            self._cut()

    async def _wait_for_room(self) -> None:
        while len(self._pieces) >= CHUNKS_IN_FLIGHT_MAX and self._failure is None:
            self._room.clear()
            self._wake.set()
            await self._room.wait()
        self._raise_failure()

    def _cut(self) -> None:
        buffer, self._buffer = self._buffer, None
        if buffer is None:
            return
        piece = Piece(self._next_position, self.size_bytes - self._filled_bytes, buffer, self._filled_bytes)
        self._next_position += 1
        self._pieces.append(piece)
        self._start(self._hash(piece))

    async def _hash(self, piece: Piece) -> None:
        piece.digest = await asyncio.to_thread(digest_of, piece.data)
        self._wake.set()

    async def _place(self, piece: Piece) -> None:
        if piece.chunk is None:
            raise RuntimeError("a chunk is placed before its reference is committed")
        self._tools.activity.touch()
        topology = self._tools.topology.present
        piece.placement = await self._tools.placer.place(
            topology.ring(self.policy.name),
            piece.chunk,
            await encoded(self._redundancy, piece.data, digest=piece.chunk.digest),
            alike=self._redundancy.alike,
            acknowledged_min=self.policy.copies_min,
        )
        piece.reusable = piece.reusable and piece.placement.released
        self._wake.set()

    async def _commit_as_needed(self) -> None:
        while not self._complete.done():
            await self._wake.wait()
            self._wake.clear()
            while self._is_due():
                try:
                    await self._transact()
                except StaleRing:
                    await self._place_again()

    def _is_due(self) -> bool:
        """Say whether a transaction is worth its fsync now."""
        if self._complete.done() or self._failure is not None:
            return False
        placed, hashed = self._placed(), self._hashed()
        idle = not any(piece.chunk is not None and piece.placement is None for piece in self._pieces)
        if self._completion is not None and (hashed or len(placed) == len(self._pieces)):
            return True  # nothing more comes that would be worth waiting for
        if max(len(hashed), len(placed)) >= BATCH_CHUNKS_MAX:
            return True
        return idle and bool(placed or hashed)

    def _placed(self) -> list[Piece]:
        """Return the leading pieces that can be confirmed."""
        placed = []
        for piece in self._pieces:
            if piece.placement is None:
                break
            placed.append(piece)
        return placed

    def _hashed(self) -> list[Piece]:
        """Return the next pieces that can be referred to, at most a batch, without a gap before them."""
        hashed: list[Piece] = []
        for piece in self._pieces:
            if piece.chunk is not None:
                continue
            if piece.digest is None or len(hashed) == BATCH_CHUNKS_MAX:
                break
            hashed.append(piece)
        return hashed

    # ------------------------------------------------------------------ transactions

    async def _transact(self) -> None:
        placed, hashed = self._placed(), self._hashed()
        ending = self._completion if len(placed) == len(self._pieces) else None

        async def work(uow: UnitOfWork) -> tuple[Sequence[Chunk], StoredFile | None]:
            epoch = await uow.rings.head(lock=True)
            if any(piece.placement is not None and piece.placement.epoch != epoch for piece in placed):
                raise StaleRing("a newer ring was applied while chunks were being placed")
            now = await uow.now()
            expires_at = now + timedelta(seconds=self._keep_seconds)
            await self._file.begin(uow, expires_at)
            if placed:
                ring = self._tools.topology.present.ring(self.policy.name)
                await self._file.confirm(uow, ring, placed, expires_at)
            chunks = await self._file.refer(uow, hashed) if hashed else []
            completed = await self._file.end(uow, self.size_bytes, ending, now) if ending is not None else None
            return chunks, completed

        chunks, completed = await self._tools.metadata.transact(work)
        self._file.created = True
        self._forget(placed)
        for piece, chunk in zip(hashed, chunks, strict=True):
            piece.chunk = chunk
            self._start(self._place(piece))
        if completed is not None:
            self._complete.set_result(completed)

    def _forget(self, placed: list[Piece]) -> None:
        for piece in placed:
            self._pieces.popleft()
            self._file.confirmed_bytes = piece.offset_bytes + piece.size_bytes
            self._give_back(piece.buffer, reusable=piece.reusable)
        self._room.set()

    async def _place_again(self) -> None:
        """Place what is not confirmed under the newest ring: the bytes are still held (rule 3)."""
        self._ring_changes += 1
        if self._ring_changes > RING_CHANGES_MAX:
            raise InsufficientServers(
                f"the ring changed more than {RING_CHANGES_MAX} times during this upload", needed=1, acknowledged=0
            )
        topology = await self._tools.topology.refresh()
        stale = [piece for piece in self._placed() if piece.placement and piece.placement.epoch != topology.epoch]
        async with self._tools.metadata.snapshot() as view:
            now_known = await view.chunks.get_many([piece.chunk.id for piece in stale if piece.chunk])
        for piece in stale:
            if piece.chunk is not None:
                piece.chunk = now_known.get(piece.chunk.id, piece.chunk)
            piece.placement = None
            self._start(self._place(piece))

    async def _renew(self) -> None:
        """Put off the file's end while its gateway lives (rule 1)."""
        seconds = self._keep_seconds
        while not self._complete.done():
            await asyncio.sleep(seconds / 3)
            if not self._file.created:
                continue
            try:
                async with self._tools.metadata.unit_of_work() as uow:
                    expires_at = await uow.now() + timedelta(seconds=seconds)
                    renewed = await uow.files.renew(self._file.id, expires_at=expires_at)
                    await uow.commit()
            except MetadataUnavailable as error:
                log.warning("an upload was not renewed, and is tried again before it ends: %s", error)
                continue
            if not renewed and self._completion is None:  # the last transaction sees for itself, and may be over
                raise StoredFileNotFound("the upload has expired; begin it again", key=self._file.id)

    # ------------------------------------------------------------------ tasks and failures

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and self._failure is None:
            self._failure = error
            self._room.set()
            if not self._complete.done():
                self._complete.cancel()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
