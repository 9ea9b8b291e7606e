"""Read a range of a file: verified chunks in order, a little ahead of the reader, and never more than that."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Self

from reelstore.chunkstore.activity import Activity
from reelstore.chunkstore.budget import MemoryBudget
from reelstore.chunkstore.cache import ChunkCache
from reelstore.domain.chunk import Chunk, ChunkRef
from reelstore.domain.errors import ChunkLost, StoredFileNotFound
from reelstore.repositories.interface import Metadata
from reelstore.storage.interface import ByteString

READ_AHEAD_CHUNKS_MAX = 2
STALL_SECONDS = 5.0
"""A reader that takes nothing for so long, as a paused player does, loses what was read ahead for it."""
MAP_PAGE_CHUNKS = 256


@dataclass(frozen=True, slots=True)
class ReadingTools:
    """What every reader of a process shares; the budget bounds the chunks that all of them hold."""

    metadata: Metadata
    cache: ChunkCache
    budget: MemoryBudget
    activity: Activity


@dataclass(slots=True)
class _Ahead:
    reference: ChunkRef
    task: asyncio.Task[ByteString]


class RangeReader:
    """Iterate over bytes `[start, stop)` of a complete file, in pieces of at most one chunk.

    Make one with `open`, which has verified the first chunk when it returns. Close it when the reader leaves: whatever
    was under way ahead of it is left to others or dropped.
    """

    def __init__(self, tools: ReadingTools, file_id: str, start: int, stop: int) -> None:
        self._tools = tools
        self._file_id = file_id
        self._start = start
        self._stop = stop
        self._mapped = start
        self._map: deque[ChunkRef] = deque()
        self._ahead: deque[_Ahead] = deque()
        self._held_bytes = 0
        self._first: memoryview | None = None
        self._stall_timer: asyncio.TimerHandle | None = None

    @classmethod
    async def open(cls, tools: ReadingTools, file_id: str, start: int, stop: int) -> Self:
        """Begin to read, with the first chunk located, read and verified.

        Raises:
            ChunkUnavailable, Overloaded, MetadataUnavailable: a retry can help.
            ChunkLost, StoredFileNotFound: it cannot.
        """
        reader = cls(tools, file_id, start, stop)
        try:
            reader._first = await reader._next()
        except BaseException:
            await reader.aclose()
            raise
        return reader

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> memoryview:
        """Return the next piece; errors as of `open`, in the middle of the range."""
        piece, self._first = self._first, None
        if piece is None:
            piece = await self._next()
        if piece is None:
            await self.aclose()
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """Stop reading ahead and give the memory back; calling it again is fine."""
        self._start = self._stop
        self._let_go()
        self._forget_ahead()
        self._watch_for_stall(on=False)

    def _watch_for_stall(self, *, on: bool) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
        self._stall_timer = asyncio.get_running_loop().call_later(STALL_SECONDS, self._forget_ahead) if on else None

    def _forget_ahead(self) -> None:
        while self._ahead:
            ahead = self._ahead.popleft()
            ahead.task.cancel()
            self._tools.budget.release(ahead.reference.chunk.size_bytes)
        self._map.clear()
        self._mapped = self._start

    async def _next(self) -> memoryview | None:
        self._tools.activity.touch()
        self._watch_for_stall(on=False)
        self._let_go()
        if self._start >= self._stop:
            return None
        if not self._ahead:
            reference = await self._next_reference()
            await self._tools.budget.acquire(reference.chunk.size_bytes)
            self._begin(reference)
        await self._read_ahead()
        ahead = self._ahead.popleft()
        self._held_bytes = ahead.reference.chunk.size_bytes
        try:
            data = await ahead.task
        except ChunkLost:
            if not await self._was_remapped(ahead.reference):
                raise
            self._forget_ahead()
            return await self._next()
        finally:
            ahead.task.cancel()
        offset = ahead.reference.offset_bytes
        piece = memoryview(data)[self._start - offset : self._stop - offset]
        self._start += piece.nbytes
        self._watch_for_stall(on=True)
        return piece

    def _let_go(self) -> None:
        """Return the memory of the piece that the reader is done with."""
        if self._held_bytes:
            self._tools.budget.release(self._held_bytes)
            self._held_bytes = 0

    def _begin(self, reference: ChunkRef) -> None:
        self._ahead.append(_Ahead(reference, asyncio.create_task(self._fetch(reference.chunk))))

    async def _fetch(self, chunk: Chunk) -> ByteString:
        return await self._tools.cache.get(chunk)

    async def _read_ahead(self) -> None:
        """Begin to read what comes next, as far as memory is free at once: half of it is left to those who begin."""
        leaving_bytes = self._tools.budget.limit_bytes // 2
        while len(self._ahead) <= READ_AHEAD_CHUNKS_MAX and self._ahead[-1].reference.stop_bytes < self._stop:
            reference = await self._next_reference()
            if not self._tools.budget.try_acquire(reference.chunk.size_bytes, leaving_bytes=leaving_bytes):
                self._map.appendleft(reference)
                return
            self._begin(reference)

    async def _next_reference(self) -> ChunkRef:
        if not self._map:
            self._map.extend(await self._places(self._mapped, self._stop))
        reference = self._map.popleft()
        self._mapped = reference.stop_bytes
        return reference

    async def _places(self, start: int, stop: int) -> list[ChunkRef]:
        async with self._tools.metadata.snapshot() as view:
            places = list(await view.files.chunk_map(self._file_id, start, stop, limit=MAP_PAGE_CHUNKS))
        if not places:
            raise StoredFileNotFound("the file was purged while it was being read", key=self._file_id)
        return places

    async def _was_remapped(self, missed: ChunkRef) -> bool:
        """Read the chunk map again, which is a cache: say whether another chunk holds the next byte by now (rule 8)."""
        place = (await self._places(self._start, self._start + 1))[0]
        return (place.chunk.id, place.offset_bytes) != (missed.chunk.id, missed.offset_bytes)
