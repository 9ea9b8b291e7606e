"""A bounded cache of verified chunks with one fetch in flight for each."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from reelstore.domain.chunk import Chunk
from reelstore.storage.interface import ByteString

Key = tuple[str, bytes]


class ChunkCache:
    """Keep the most recently read chunks.

    Args:
        fetch: gets a chunk that is not here, verified.
        limit_bytes: the most that is kept; 0 keeps nothing, and fetches are still shared.
    """

    def __init__(self, fetch: Callable[[Chunk], Awaitable[ByteString]], *, limit_bytes: int) -> None:
        self._fetch = fetch
        self._limit_bytes = limit_bytes
        self._kept: OrderedDict[Key, ByteString] = OrderedDict()
        self._kept_bytes = 0
        self._running: dict[str, asyncio.Task[ByteString]] = {}  # by row: a fetch for one that is gone may fail

    async def get(self, chunk: Chunk) -> ByteString:
        """Return a chunk's verified bytes; errors as of the fetch. Who stops waiting leaves the fetch to the others."""
        key = _key(chunk)
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            return kept
        task = self._running.get(chunk.id)
        if task is None:
            task = asyncio.create_task(self._run(key, chunk))
            task.add_done_callback(_note_end)
            self._running[chunk.id] = task
        return await asyncio.shield(task)

    def kept(self, chunk: Chunk) -> ByteString | None:
        """Return a chunk's verified bytes if they are here."""
        return self._kept.get(_key(chunk))

    async def _run(self, key: Key, chunk: Chunk) -> ByteString:
        try:
            data = await self._fetch(chunk)
        finally:
            del self._running[chunk.id]
        self._keep(key, data)
        return data

    def _keep(self, key: Key, data: ByteString) -> None:
        size_bytes = memoryview(data).nbytes
        if size_bytes > self._limit_bytes or key in self._kept:
            return
        self._kept[key] = data
        self._kept_bytes += size_bytes
        while self._kept_bytes > self._limit_bytes:
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= memoryview(dropped).nbytes

    async def close(self) -> None:
        """Stop all fetches and forget everything."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self._kept.clear()
        self._kept_bytes = 0


def _key(chunk: Chunk) -> Key:
    return (chunk.policy, chunk.digest)


def _note_end(task: asyncio.Task[ByteString]) -> None:
    """Take note of an error that nobody waits for any more, or asyncio would log it as forgotten."""
    if not task.cancelled():
        task.exception()
