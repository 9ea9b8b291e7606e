"""Several processes over one metadata and the same servers, whose steps a test puts in the order that it wants.

Each process is a whole application: a gateway, a worker, or both. Nothing here sleeps. A schedule is made by acts that
run at a chosen point of another process's work: before or after a request to a server, before a unit of work begins,
before or after its commit. That is also what a step of the model (`tests/model`) is, so that its schedules can be
played on the real code. A process that dies is one that is not called any more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from reelstore.chunkstore.redundancy import digest_of
from reelstore.domain.chunk import Chunk, ShardName
from reelstore.domain.policy import Policy
from reelstore.domain.server import ServerState
from reelstore.domain.video import Video
from reelstore.repositories.interface import Metadata, PartitionState, UnitOfWork
from reelstore.repositories.memory import InMemoryMetadata
from reelstore.services.epochs import begin_epochs, draw_tenures, next_ring_sets, present_layout
from reelstore.services.outcome import Outcome
from reelstore.services.rebalance import Verify
from reelstore.services.survey import Slice
from reelstore.services.video_requests import VideoList
from reelstore.storage.interface import ByteString, ShardEntry, StorageServer
from reelstore.storage.memory import MemoryServer
from tests.cluster import CHUNK, POLICY, Cluster, HandClock, _settings, content, seeded
from tests.faults import CapableFaultyServer

T = TypeVar("T")
Act = Callable[[], Awaitable[object]]
DeliveredLater = Callable[[], Awaitable[object]]


class Acts:
    """What is to happen at named points: once, the next time that one is reached, or each time."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, list[Act]] = defaultdict(list)
        self._each: defaultdict[str, list[Act]] = defaultdict(list)

    def add(self, point: str, act: Act) -> None:
        self._waiting[point].append(act)

    def add_for_each(self, point: str, act: Act) -> None:
        self._each[point].append(act)

    async def reach(self, point: str) -> None:
        acts, self._waiting[point] = self._waiting[point], []
        for act in (*acts, *self._each[point]):
            await act()


class HookedServer(CapableFaultyServer):
    """A server as one process sees it. `late` requests were sent and are delivered when the test says so."""

    def __init__(self, inner: StorageServer) -> None:
        super().__init__(inner)
        self._acts = Acts()
        self.puts: list[tuple[ShardName, ByteString]] = []
        self.postpone_deletes = False
        self.late: list[DeliveredLater] = []

    def before(self, operation: str, act: Act) -> None:
        """Do something right before the next call of that operation."""
        self._acts.add(f"before {operation}", act)

    def before_each(self, operation: str, act: Act) -> None:
        """Do something right before every call of that operation."""
        self._acts.add_for_each(f"before {operation}", act)

    def after(self, operation: str, act: Act) -> None:
        """Do something when the next call of that operation has its result, and before its caller has."""
        self._acts.add(f"after {operation}", act)

    async def _meet(self, operation: str, argument: object = None) -> None:
        await self._acts.reach(f"before {operation}")
        await super()._meet(operation, argument)

    async def put(self, name: ShardName, data: ByteString) -> None:
        self.puts.append((name, data))
        await super().put(name, data)
        await self._acts.reach("after put")

    async def delete(self, name: ShardName) -> bool:
        if self.postpone_deletes:
            self.late.append(lambda: self.inner.delete(name))
            return True
        return await super().delete(name)

    async def list(self, policy: str, start: bytes, stop: bytes | None) -> AsyncIterator[ShardEntry]:
        entries = [entry async for entry in super().list(policy, start, stop)]
        await self._acts.reach("after list")
        for entry in entries:
            yield entry

    async def close(self) -> None:
        """Leave the place to the other processes."""


class HookedMetadata:
    """The metadata as one process sees it."""

    def __init__(self, inner: Metadata) -> None:
        self.inner = inner
        self.acts = Acts()
        self.commits = 0

    def before_unit(self, act: Act) -> None:
        """Do something right before this process's next unit of work that may write."""
        self.acts.add("before unit", act)

    def before_commit(self, act: Act) -> None:
        """Do something inside it, right before its commit; it may only look."""
        self.acts.add("before commit", act)

    def after_commit(self, act: Act) -> None:
        """Do something right after it, before the process goes on. An act that raises is a crash."""
        self.acts.add("after commit", act)

    def after_each_commit(self, act: Act) -> None:
        self.acts.add_for_each("after commit", act)

    def unit_of_work(self, *, frees: bool = False) -> UnitOfWork:
        return cast("UnitOfWork", _HookedUnit(self, self.inner.unit_of_work(frees=frees)))

    async def transact(self, work: Callable[[UnitOfWork], Awaitable[T]], *, frees: bool = False) -> T:
        async with self.unit_of_work(frees=frees) as uow:
            result = await work(uow)
            await uow.commit()
        return result

    def snapshot(self) -> UnitOfWork:
        return self.inner.snapshot()

    async def close(self) -> None:
        """Leave it to the other processes."""


class _HookedUnit:
    def __init__(self, metadata: HookedMetadata, inner: UnitOfWork) -> None:
        self._metadata = metadata
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def commit(self) -> None:
        await self._metadata.acts.reach("before commit")
        await self._inner.commit()
        self._metadata.commits += 1
        await self._metadata.acts.reach("after commit")

    async def __aenter__(self) -> Self:
        await self._metadata.acts.reach("before unit")
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._inner.__aexit__(kind, error, trace)


@dataclass
class Process(Cluster):
    """One process, and short ways to have it do one thing."""

    @property
    def hooks(self) -> HookedMetadata:
        assert isinstance(self.metadata, HookedMetadata)
        return self.metadata

    def server(self, name: str) -> HookedServer:
        driver = self.member(name).driver
        assert isinstance(driver, HookedServer)
        return driver

    @property
    def servers(self) -> list[HookedServer]:  # type: ignore[override] # each of them is one
        return [self.server(name) for name in self.names]

    def _connect(self, url: str, name: str, capacity_bytes: int | None) -> StorageServer:
        assert url == "memory:"
        if name not in self.places:
            self.places[name] = MemoryServer(name, capacity_bytes=capacity_bytes)
        return HookedServer(self.places[name])

    async def catch_up(self) -> None:
        """Learn of servers and rings that another process has made."""
        async with self.metadata.snapshot() as view:
            await self.app.fleet.refresh(await view.servers.list())
        await self.app.topology.refresh()
        await self.probe()

    async def round(self, *, verify: Verify = Verify.CHANGED, collect: bool = False) -> Outcome:
        """Reconcile all partitions once."""
        everything = Slice(POLICY, 0, self.app.topology.present.ring(POLICY).partitions)
        return await self.app.rebalancer.reconciler.reconcile(everything, verify=verify, collect=collect)

    async def states(self) -> list[PartitionState]:
        async with self.metadata.snapshot() as view:
            return list(await view.partitions.list(POLICY))

    async def unsettled(self) -> list[int]:
        """Return the partitions that the metadata does not call clean."""
        async with self.metadata.snapshot() as view:
            return list(await view.partitions.unsettled(POLICY, epoch=await view.rings.head()))

    async def chunk(self) -> Chunk:
        """Return the only chunk there is."""
        (chunk,) = await self.chunks()
        return chunk

    async def primaries(self, data: bytes) -> tuple[str, ...]:
        """Return the servers of the row of a body of one chunk, by slot."""
        ring = self.app.topology.present.ring(POLICY)
        return tuple(self.app.fleet[seat.server].server.name for seat in ring.row(ring.partition_of(digest_of(data))))

    async def holders(self) -> set[str]:
        """Return the servers that really have a shard of the only chunk, under whatever name."""
        chunk = await self.chunk()
        return {name for name, shards in (await self.shards()).items() if any(s.chunk == chunk.id for s in shards)}

    async def videos(self) -> list[Video]:
        return list((await self.app.videos.list(VideoList())).items)

    async def empty_servers(self, *names: str) -> None:
        """Apply a ring on which these servers hold nothing, and all others do: what draining them will do."""
        async with self.metadata.unit_of_work() as uow:
            await uow.rings.head(lock=True)
            layout = await present_layout(uow)
            servers = [
                replace(server, state=ServerState.DRAINING if server.name in names else ServerState.ACTIVE)
                for server in await uow.servers.list()
            ]
            for server in servers:
                await uow.servers.update(server)
            following = next_ring_sets(layout, servers, draw=lambda count: draw_tenures(self.entropy, count))
            await begin_epochs(uow, layout.newest, following, reason="a test", at=await uow.now())
            await uow.commit()
        await self.app.topology.refresh()


@dataclass
class World:
    """The metadata, the servers' places and the processes."""

    settings: dict[str, Any]
    metadata: Metadata
    clock: HandClock = field(default_factory=HandClock)
    policy: Policy | None = None
    places: dict[str, MemoryServer] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)

    async def process(self) -> Process:
        """Start a process."""
        process = Process(
            _settings(**self.settings),
            HookedMetadata(self.metadata),
            self.clock,
            seeded(len(self.processes) + 1),
            policy=self.policy,
            places=self.places,
        )
        await process.start()
        self.processes.append(process)
        return process


@asynccontextmanager
async def a_world(
    *,
    servers: int = 3,
    copies: int = 2,
    policy: Policy | None = None,
    metadata: Metadata | None = None,
    **settings: Any,
) -> AsyncIterator[World]:
    """Make a world of 4 partitions, without a process yet; the first one founds the cluster."""
    clock = HandClock()
    given = {"servers": servers, "copies": copies, "partition_bits": 2, "memory": True, **settings}
    world = World(given, metadata or InMemoryMetadata(clock=clock.utc), clock, policy)
    try:
        yield world
    finally:
        for process in world.processes:
            await process.stop()


def one_chunk(seed: int = 0) -> bytes:
    """Make a body of one chunk."""
    return content(CHUNK, seed=seed)


def many_chunks(count: int = 16, seed: int = 100) -> bytes:
    """Make a body of so many chunks, which is enough for some in each partition."""
    return content(CHUNK * count, seed=seed)
