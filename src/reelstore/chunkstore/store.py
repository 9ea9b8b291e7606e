"""The chunk store as the services see it: write a file, read a range, fetch or check one chunk."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from reelstore.chunkstore.activity import Activity
from reelstore.chunkstore.budget import MemoryBudget
from reelstore.chunkstore.buffers import BufferPool
from reelstore.chunkstore.cache import ChunkCache
from reelstore.chunkstore.fetching import Defect, Fetcher
from reelstore.chunkstore.fleet import Fleet
from reelstore.chunkstore.placing import Placer
from reelstore.chunkstore.reading import RangeReader, ReadingTools
from reelstore.chunkstore.topology import TopologyCache
from reelstore.chunkstore.writing import FileWriter, WritingTools
from reelstore.domain.chunk import Chunk, ShardName
from reelstore.domain.errors import ChunkLost, ShardCorrupt
from reelstore.domain.file import StoredFile
from reelstore.domain.ids import Entropy
from reelstore.domain.policy import Policy
from reelstore.repositories.interface import Metadata
from reelstore.storage.interface import ByteString, StorageServer, Verifying

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ChunkStoreLimits:
    """Bounds on memory and time.

    Args:
        write_memory_bytes: chunk buffers of all uploads together.
        read_memory_bytes: chunks that all readers hold.
        cache_bytes: chunks kept for the next reader.
        open_file_seconds: how long an open file outlives its gateway.
        put_timeout_seconds, get_timeout_seconds: after which a server counts as not answering.
    """

    write_memory_bytes: int = 512 * 1024 * 1024
    read_memory_bytes: int = 512 * 1024 * 1024
    cache_bytes: int = 128 * 1024 * 1024
    open_file_seconds: float = 60.0
    put_timeout_seconds: float = 30.0
    get_timeout_seconds: float = 15.0


class ChunkStore:
    """Keep files as chunks on a ring of servers.

    Args:
        metadata: where chunks, files and rings are known.
        topology: the rings, kept fresh by the background.
        fleet: the servers.
        entropy: ids and tenures.
        on_defect: told of every missing or corrupt shard that a read meets.
        is_known_bad: tells of a shard that is bad and not good again yet: storing its bytes once more heals it.
        limits: see there.
    """

    def __init__(
        self,
        metadata: Metadata,
        topology: TopologyCache,
        fleet: Fleet,
        *,
        entropy: Entropy,
        on_defect: Callable[[Defect], None],
        is_known_bad: Callable[[ShardName], bool],
        limits: ChunkStoreLimits,
    ) -> None:
        self.topology = topology
        self.fleet = fleet
        self.limits = limits
        self.activity = Activity()
        self._fetcher = Fetcher(
            fleet, topology, metadata, on_defect=on_defect, get_timeout_seconds=limits.get_timeout_seconds
        )
        self._cache = ChunkCache(self._fetcher.fetch, limit_bytes=limits.cache_bytes)
        self._writing = WritingTools(
            metadata=metadata,
            topology=topology,
            placer=Placer(
                fleet,
                entropy=entropy,
                put_timeout_seconds=limits.put_timeout_seconds,
                is_known_bad=is_known_bad,
            ),
            buffers=BufferPool(MemoryBudget(limits.write_memory_bytes)),
            entropy=entropy,
            activity=self.activity,
            open_file_seconds=limits.open_file_seconds,
        )
        self._reading = ReadingTools(metadata, self._cache, MemoryBudget(limits.read_memory_bytes), self.activity)

    def writer(
        self,
        policy: Policy,
        *,
        length_bytes: int | None = None,
        file: StoredFile | None = None,
        keep_seconds: float | None = None,
    ) -> FileWriter:
        """Begin a new file, of which nothing is stored before its first chunk, or go on with one; see `FileWriter`."""
        return FileWriter(self._writing, policy, length_bytes=length_bytes, file=file, keep_seconds=keep_seconds)

    async def read(self, file_id: str, start: int, stop: int) -> RangeReader:
        """Begin to read bytes `[start, stop)` of a complete file; see `RangeReader.open`."""
        return await RangeReader.open(self._reading, file_id, start, stop)

    async def fetch(self, chunk: Chunk) -> ByteString:
        """Return a chunk's verified bytes from the servers; see `Fetcher.fetch`.

        The cache is not asked, for it says nothing of the servers; but what none of them has any more and was read
        lately is not lost.
        """
        try:
            return await self._fetcher.fetch(chunk)
        except ChunkLost:
            kept = self._cache.kept(chunk)
            if kept is None:
                raise
            log.warning("chunk %s was on no server any more, and is made again from the cache", chunk.digest.hex())
            return kept

    async def is_good_shard(self, driver: StorageServer, name: ShardName) -> bool:
        """Read a shard on its server and say whether it is what its name promises.

        Raises:
            ShardMissing: the server answers and has no such shard.
            ServerUnavailable: it does not answer; a retry can help.
        """
        redundancy = self.topology.present.redundancy(name.policy)
        expected = redundancy.shard_digest(name.digest, name.slot)
        try:
            if expected is not None and isinstance(driver, Verifying):
                return await driver.digest(name) == expected
            shard = await driver.get(name)
        except ShardCorrupt:  # the medium itself cannot give the bytes back
            return False
        return await asyncio.to_thread(redundancy.is_good, shard, digest=name.digest, slot=name.slot)

    async def close(self) -> None:
        """Stop what is under way."""
        await self._cache.close()
