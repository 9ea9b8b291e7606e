"""Chunks' rows in memory. The methods promise what `ChunkRepository` says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from reelstore.domain.chunk import Chunk, ChunkState
from reelstore.repositories.interface import NewChunk
from reelstore.repositories.memory.tables import Tables, prefix

_PREFIXES = 1 << 16


class InMemoryChunks:
    """See `ChunkRepository`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def obtain(self, policy: str, chunks: Sequence[NewChunk]) -> Sequence[Chunk]:
        """See `ChunkRepository.obtain`."""
        return [self._obtain(policy, chunk) for chunk in chunks]

    def _obtain(self, policy: str, new: NewChunk) -> Chunk:
        chunk_id = self._tables.chunk_ids.get((policy, new.digest))
        if chunk_id is not None:
            return self._tables.chunks[chunk_id]
        if new.id in self._tables.chunks:
            raise self._tables.violation(f"there is a chunk {new.id} already, with another digest")
        chunk = Chunk(new.id, policy, new.digest, new.size_bytes, ChunkState.WRITING)
        self._tables.put_chunk(chunk)
        return chunk

    async def get_many(self, chunk_ids: Sequence[str]) -> Mapping[str, Chunk]:
        """See `ChunkRepository.get_many`."""
        found = ((chunk_id, self._tables.chunks.get(chunk_id)) for chunk_id in chunk_ids)
        return {chunk_id: chunk for chunk_id, chunk in found if chunk is not None}

    async def make_live(self, chunk_ids: Sequence[str]) -> None:
        """See `ChunkRepository.make_live`."""
        for chunk_id, chunk in (await self.get_many(chunk_ids)).items():
            if chunk.state is not ChunkState.LIVE:
                self._tables.chunks.put(chunk_id, replace(chunk, state=ChunkState.LIVE))

    async def in_range(self, policy: str, start: bytes, stop: bytes | None) -> Sequence[Chunk]:
        """See `ChunkRepository.in_range`."""
        return list(self._in_range(policy, start, stop))

    def _in_range(self, policy: str, start: bytes, stop: bytes | None) -> Iterator[Chunk]:
        first, last = prefix(start.ljust(2, b"\0")), _PREFIXES - 1 if stop is None else prefix(stop.ljust(2, b"\0"))
        prefixes: Sequence[int] = range(first, last + 1)
        if len(prefixes) > len(self._tables.digests):  # mostly empty: walk what there is
            prefixes = sorted(bits for name, bits in self._tables.digests if name == policy and first <= bits <= last)
        for first_bits in prefixes:
            for digest in self._tables.digests.get((policy, first_bits)) or ():
                if start <= digest and (stop is None or digest < stop):
                    yield self._tables.chunks[self._tables.chunk_ids[policy, digest]]

    async def is_empty(self, policy: str) -> bool:
        """See `ChunkRepository.is_empty`."""
        return next(self._in_range(policy, b"", None), None) is None

    async def bytes_by_partition(self, policy: str, partition_bits: int) -> Sequence[int]:
        """See `ChunkRepository.bytes_by_partition`."""
        sums = [0] * (1 << partition_bits)
        for chunk in self._tables.chunks.values():
            if chunk.policy == policy and chunk.state is ChunkState.LIVE:
                sums[int.from_bytes(chunk.digest) >> (8 * len(chunk.digest) - partition_bits)] += chunk.size_bytes
        return sums

    async def delete_unreferenced(self, policy: str, start: bytes, stop: bytes | None) -> Sequence[Chunk]:
        """See `ChunkRepository.delete_unreferenced`."""
        unreferenced = [c for c in self._in_range(policy, start, stop) if c.id not in self._tables.references]
        for chunk in unreferenced:
            self._tables.drop_chunk(chunk)
        return unreferenced

    async def delete(self, chunk_id: str) -> bool:
        """See `ChunkRepository.delete`."""
        chunk = self._tables.chunks.get(chunk_id)
        if chunk is None or chunk_id in self._tables.references:
            return False
        self._tables.drop_chunk(chunk)
        return True
