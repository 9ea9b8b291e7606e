"""A whole application in one process, over servers that fail on demand; nothing happens but what the test asks for.

The background is off: `settle()` does all its work, step by step, until nothing is left. Ids, tenures and the
metadata's time are the test's, so that a failure repeats.

    async with memory_cluster() as cluster:
        video = await cluster.store(b"bytes")
        cluster.server("disk1").down = True
        assert await cluster.read(video.id) == b"bytes"
        await cluster.settle()
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from reelstore.bootstrap import DATABASE_FILE, DRIVERS, Application, assemble
from reelstore.chunkstore.body import PiecedBody
from reelstore.chunkstore.topology import shard_name
from reelstore.config import Settings
from reelstore.domain.chunk import Chunk, ShardName
from reelstore.domain.ids import Entropy
from reelstore.domain.policy import Policy
from reelstore.domain.server import Server
from reelstore.domain.video import Video
from reelstore.repositories.interface import Metadata
from reelstore.repositories.memory import InMemoryMetadata
from reelstore.repositories.sql import SqlMetadata
from reelstore.services.places import Drivers
from reelstore.services.video_requests import Stored, StoreRequest
from reelstore.storage.interface import ShardEntry, StorageServer
from reelstore.storage.memory import MemoryServer
from tests.faults import CapableFaultyServer, FaultyServer

CHUNK = 4096
POLICY = "default"
STEPS_MAX = 500
DIGESTS_START = bytes(32)


class HandClock:
    """Time that passes only when the test says so: for the metadata, and in seconds for the rebalancer."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def utc(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        return self.now.timestamp()


@dataclass
class Cluster:
    """An application and the means to disturb it.

    `missing` names servers that do not answer from the next (re)start on; `places` holds the memories by name: they
    outlive a restart, as disks do.
    """

    settings: Settings
    metadata: Metadata
    clock: HandClock
    entropy: Entropy
    capable: bool = True
    capacity_bytes: int | None = None
    policy: Policy | None = None
    missing: set[str] = field(default_factory=set)
    places: dict[str, MemoryServer] = field(default_factory=dict)
    app: Application = field(init=False)

    # ------------------------------------------------------------------ life

    async def start(self) -> None:
        self.app = await assemble(
            self.settings,
            self.metadata,
            entropy=self.entropy,
            drivers=Drivers(self._connect, DRIVERS.default_zone, DRIVERS.same_place, self._capacity),
            first_policy=self.policy,
        )
        self.app.rebalancer.progress.clock = self.clock.seconds
        if self.settings.memory:  # else the database's time is not the test's
            self.app.clock_guard.clock = self.clock.seconds
        # Users' bytes have always just moved in a test: the background would give way all the time.
        mender = self.app.rebalancer.reconciler._mender
        mender._pace._foreground_idle_seconds = mender._moves._foreground_idle_seconds = lambda: float("inf")

    async def stop(self) -> None:
        await self.app.store.close()
        await self.app.fleet.close()

    async def restart(self) -> None:
        """End the process and begin another: what was only in its memory is gone, servers and metadata stay."""
        for server in self.servers:
            if isinstance(server.inner, MemoryServer):
                self.places[server.name] = server.inner
        await self.stop()
        await self.start()

    def _capacity(self, url: str) -> int:
        return self.capacity_bytes or DRIVERS.default_capacity(url)

    def _connect(self, url: str, name: str, capacity_bytes: int | None) -> StorageServer:
        inner = DRIVERS.connect(url, name, capacity_bytes or self.capacity_bytes)
        if isinstance(inner, MemoryServer):
            known = self.places.setdefault(name, inner)
            if not known._attached:  # the same machine comes back
                known.resize(inner._capacity_bytes)
                inner = known
        server = (CapableFaultyServer if self.capable else FaultyServer)(inner)
        server.down = name in self.missing
        return server

    # ------------------------------------------------------------------ servers

    def server(self, name: str) -> FaultyServer:
        """Return a registered server by name, with its knobs."""
        driver = self.member(name).driver
        assert isinstance(driver, FaultyServer)
        return driver

    def member(self, name: str) -> Any:
        return next(member for member in self.app.fleet if member.server.name == name)

    @property
    def names(self) -> list[str]:
        return [member.server.name for member in self.app.fleet]

    @property
    def servers(self) -> list[FaultyServer]:
        return [self.server(name) for name in self.names]

    async def add_server(
        self, name: str, *, url: str = "memory:", zone: str | None = None, capacity_bytes: int | None = None
    ) -> Server:
        view = await self.app.servers.add(name=name, url=url, zone=zone, capacity_bytes=capacity_bytes)
        return view.server

    async def probe(self) -> None:
        await self.app.monitor.probe_all()

    # ------------------------------------------------------------------ background work

    async def settle(self, *, probe: bool = True) -> int:
        """Probe, let time pass, and do the background's work until nothing is left; return how many steps it took."""
        if probe:
            await self.probe()
        self.clock.advance(3600)
        for steps in range(STEPS_MAX):
            if not await self.app.rebalancer.step():
                return steps
        raise AssertionError(f"there was still work after {STEPS_MAX} steps")

    # ------------------------------------------------------------------ videos

    async def store(self, data: bytes, *, name: str = "video.mp4", piece_bytes: int = 65_536, **more: Any) -> Video:
        return (await self.send(pieces(data, piece_bytes), name=name, **more)).video

    async def send(self, body: AsyncIterator[bytes], *, name: str = "video.mp4", **more: Any) -> Stored:
        return await self.app.videos.store(StoreRequest(name, **more), PiecedBody(body))

    async def read(self, video_id: str, start: int = 0, stop: int | None = None) -> bytes:
        content = await self.app.videos.open(video_id)
        reader = await self.app.videos.read(content, start, content.size_bytes if stop is None else stop)
        return b"".join([bytes(piece) async for piece in reader])

    # ------------------------------------------------------------------ what is where

    async def chunks(self) -> list[Chunk]:
        """Return all chunks' rows, in order of digest."""
        async with self.metadata.snapshot() as view:
            return list(await view.chunks.in_range(POLICY, DIGESTS_START, None))

    async def listing(self, name: str) -> list[ShardEntry]:
        """Return what a server really has, past its faults, in order of name."""
        inner = self.server(name).inner
        return sorted([each async for each in inner.list(POLICY, DIGESTS_START, None)], key=lambda each: each.name)

    async def shards(self) -> dict[str, set[ShardName]]:
        """Return what each server really has."""
        return {name: {entry.name for entry in await self.listing(name)} for name in self.names}

    async def promised(self) -> dict[str, set[ShardName]]:
        """Return what each server should have, by the newest ring."""
        ring = self.app.topology.present.ring(POLICY)
        promised: dict[str, set[ShardName]] = {name: set() for name in self.names}
        for chunk in await self.chunks():
            for seat in ring.row(ring.partition_of(chunk.digest)):
                promised[self.app.fleet[seat.server].server.name].add(shard_name(chunk, seat))
        return promised

    async def row(self, chunk: Chunk) -> list[tuple[str, ShardName]]:
        """Return the servers of a chunk's newest row, by slot, each with the name of its shard."""
        ring = self.app.topology.present.ring(POLICY)
        seats = ring.row(ring.partition_of(chunk.digest))
        return [(self.app.fleet[seat.server].server.name, shard_name(chunk, seat)) for seat in seats]

    async def assert_whole(self) -> None:
        """Prove that every server has exactly what the newest ring promises, and that every byte of it is good."""
        assert await self.shards() == await self.promised()
        for name, shards in (await self.shards()).items():
            for shard in shards:
                assert await self.app.store.is_good_shard(self.server(name).inner, shard), (name, shard)
        status = await self.app.rebalancer.status()
        assert (status.state, status.reasons) == ("idle", ())


async def until(condition: Callable[[], object]) -> None:
    """Let everything else run until something is so; a test whose condition never comes hangs, and says where."""
    while not condition():  # noqa: ASYNC110  # what is waited for is not the test's own, and sets no event
        await asyncio.sleep(0.001)


async def pieces(data: bytes, piece_bytes: int = 65_536) -> AsyncIterator[bytes]:
    """Hand over a body in pieces of that size."""
    for start in range(0, len(data), piece_bytes):
        yield data[start : start + piece_bytes]


def fragments(k: int, m: int) -> Policy:
    """Return the default policy as one of erasure coding."""
    return Policy.erasure(POLICY, k, m, chunk_size_bytes=CHUNK)


def content(size_bytes: int, *, seed: int = 0) -> bytes:
    """Make bytes of which no two chunks are the same; the same ones each time."""
    return random.Random(seed).randbytes(size_bytes)


def seeded(seed: int) -> Entropy:
    return random.Random(seed).randbytes


@asynccontextmanager
async def memory_cluster(
    *,
    servers: int = 3,
    copies: int = 2,
    partition_bits: int = 4,
    seed: int = 0,
    capable: bool = True,
    capacity_bytes: int | None = None,
    policy: Policy | None = None,
    metadata: Callable[[Metadata], Metadata] = lambda metadata: metadata,
    **settings: Any,
) -> AsyncIterator[Cluster]:
    """Found a cluster in memory.

    Args:
        servers: `disk1`, `disk2`, …, all in one zone.
        copies: of the default policy.
        partition_bits: few partitions, so that settling is quick.
        seed: of ids and tenures.
        capable: whether the servers can verify and quarantine.
        capacity_bytes: of each first server.
        policy: the default one, instead of copies.
        metadata: wraps the metadata, for a test that looks into its transactions.
        settings: further ones.
    """
    clock = HandClock()
    cluster = Cluster(
        _settings(servers, copies, partition_bits, memory=True, **settings),
        metadata(InMemoryMetadata(clock=clock.utc)),
        clock,
        seeded(seed),
        capable,
        capacity_bytes,
        policy,
    )
    await cluster.start()
    try:
        yield cluster
    finally:
        await cluster.stop()


@asynccontextmanager
async def disk_cluster(
    folder: Path,
    *,
    servers: int = 3,
    copies: int = 2,
    partition_bits: int = 4,
    seed: int = 0,
    policy: Policy | None = None,
    metadata: Callable[[Metadata], Metadata] = lambda metadata: metadata,
    **settings: Any,
) -> AsyncIterator[Cluster]:
    """Found a cluster on SQLite and directories below a folder, or go on with the one that is there.

    Time is the database's; the clock drives the rebalancer alone. The arguments are those of `memory_cluster`; a folder
    that is opened again needs another seed, or ids repeat.
    """
    opened = await SqlMetadata.open(f"sqlite:///{folder / DATABASE_FILE}")
    try:
        cluster = Cluster(
            _settings(servers, copies, partition_bits, memory=False, data=folder, **settings),
            metadata(opened),
            HandClock(),
            seeded(seed),
            policy=policy,
        )
        await cluster.start()
        try:
            yield cluster
        finally:
            await cluster.stop()
    finally:
        await opened.close()


def _settings(servers: int, copies: int, partition_bits: int, **more: Any) -> Settings:
    given: dict[str, Any] = {
        "first_servers": servers,
        "copies": copies,
        "partition_bits": partition_bits,
        "chunk_size_bytes": CHUNK,
        "background": False,
        "scrub_bytes_per_second": 2**50,
    }
    return Settings(**given | more)
