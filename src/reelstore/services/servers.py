"""The server manager: which servers there are, and how consistent hashing places videos on them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from reelstore.chunkstore.fleet import Fleet, FleetMember
from reelstore.chunkstore.topology import Topology, TopologyCache
from reelstore.domain.errors import InvalidInput, ServerExists, ServerUnavailable
from reelstore.domain.ids import Entropy
from reelstore.domain.server import (
    SERVERS_MAX,
    Server,
    ServerHealth,
    ServerState,
    check_server_name,
    check_zone,
)
from reelstore.placement.builder import effective_ring, next_ring
from reelstore.placement.members import Member
from reelstore.placement.plan import PlacementWarning
from reelstore.placement.plan import warnings as placement_warnings
from reelstore.placement.ring import Ring, RingSet
from reelstore.repositories.interface import Metadata, UnitOfWork
from reelstore.services.attention import Attention
from reelstore.services.lookup import found_server
from reelstore.services.status import ClusterStatus, cluster_status
from reelstore.storage.interface import StorageServer, Usage

CAPACITY_BYTES_MAX = 2**60
Answer = TypeVar("Answer")

ASKING_THREADS = 4
PLACE_SECONDS = 5.0
CLAIM_SECONDS = 30.0
"""A disk that hangs must not keep another server from being added: it may be the one that is to stand in."""


@dataclass(frozen=True, slots=True)
class ServerView:
    """A server as users see it: `share` is its part of the slots of the default policy's ring."""

    server: Server
    share: float


@dataclass(frozen=True, slots=True)
class RingMember:
    """A server's part in a ring: how many of the slots, and which part of all."""

    name: str
    zone: str
    slots: int
    share: float


@dataclass(frozen=True, slots=True)
class RingView:
    """A ring as users see it.

    Args:
        policy, kind: the policy's name, and what it asks for.
        epoch, partition_bits, width: of the table.
        servers: their parts.
        balance: the largest load over the fair one, 1.0 at best.
        warnings: what these servers cannot give to the policy, for people.
    """

    policy: str
    kind: str
    epoch: int
    partition_bits: int
    width: int
    servers: tuple[RingMember, ...]
    balance: float
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Drivers:
    """What the server manager needs of the storage drivers, handed over by the composition root.

    Args:
        connect: makes a driver of a URL, name and capacity; raises `InvalidServerUrl`.
        default_zone: the zone of a URL when none is given.
        same_place: whether two URLs name one place, or one inside the other.
    """

    connect: Callable[[str, str, int | None], StorageServer]
    default_zone: Callable[[str], str]
    same_place: Callable[[str, str], bool]


class ServerManager:
    """Administer the servers and the rings that follow from them."""

    def __init__(
        self,
        metadata: Metadata,
        topology: TopologyCache,
        fleet: Fleet,
        drivers: Drivers,
        attention: Attention,
        *,
        entropy: Entropy,
    ) -> None:
        self._metadata = metadata
        self._topology = topology
        self._fleet = fleet
        self._drivers = drivers
        self._attention = attention
        self._entropy = entropy
        self._changing = asyncio.Lock()
        # Apart from the pool that everything else uses: a disk that hangs holds the threads that ask for it.
        self._asking = ThreadPoolExecutor(ASKING_THREADS, thread_name_prefix="places")

    async def add(self, *, name: str, url: str, zone: str | None, capacity_bytes: int | None) -> ServerView:
        """Add a server: claim its place, compute the next ring, and begin its epoch.

        New writes use it at once; what is there already moves in the background, and stays readable all the time.
        A crash before the end leaves at most a claimed place, and the same call can be repeated.

        Args:
            name: unique and stable.
            url: which driver, and where.
            zone: servers that may fail together share one; by default what the driver tells (a disk).
            capacity_bytes: its weight; by default what the driver tells.

        Raises:
            InvalidInput, InvalidServerUrl, ServerExists, ServerRefused: a retry does not help.
            ServerUnavailable: the place cannot be opened; a retry can help.
        """
        check_server_name(name)
        if capacity_bytes is not None and not 1 <= capacity_bytes <= CAPACITY_BYTES_MAX:
            raise InvalidInput(f"capacity_bytes must be 1 to {CAPACITY_BYTES_MAX}", field="capacity_bytes")
        driver = self._drivers.connect(url, name, capacity_bytes)
        in_zone = check_zone(zone if zone is not None else await self._default_zone(name, url))
        joining = self._join(driver, name=name, url=url, zone=in_zone, capacity_bytes=capacity_bytes)
        await asyncio.shield(joining)  # a caller who leaves must not leave the metadata and this process apart
        return await self.get(name)

    async def _join(self, driver: StorageServer, *, name: str, url: str, zone: str, capacity_bytes: int | None) -> None:
        """Claim a place, begin its epoch, and let this process follow; one server after the other."""
        async with self._changing:
            try:
                await self._check_is_new(name, url)
                usage = await self._claim(driver, name)
                capacity = _some_capacity(capacity_bytes or usage.capacity_bytes)
                server = Server(name, -1, url, zone, capacity, used_bytes=usage.used_bytes)
                server = await self._begin_epoch(server)
            except BaseException:
                with suppress(TimeoutError):  # what hangs there closes when it returns
                    async with asyncio.timeout(PLACE_SECONDS):
                        await driver.close()
                raise
            self._fleet.adopt(server, driver)
            await self._topology.refresh()
        self._attention.wake.set()

    async def _check_is_new(self, name: str, url: str) -> None:
        async with self._metadata.snapshot() as view:
            servers = await view.servers.list()
        _check_is_new(servers, name)
        for server in servers:
            if server.state is ServerState.REMOVED:
                continue
            if await self._is_same_place(server.url, url):
                raise ServerExists(f"server {server.name} is at that place already, or one would be inside the other")
        if len(servers) >= SERVERS_MAX:
            raise InvalidInput(f"a cluster has at most {SERVERS_MAX} servers", field="name")

    async def _is_same_place(self, url_a: str, url_b: str) -> bool:
        """Compare two places; one that does not answer is not waited for: its marker and its lock guard it too."""
        try:
            return await self._ask(self._drivers.same_place, url_a, url_b)
        except TimeoutError:
            return False

    async def _default_zone(self, name: str, url: str) -> str:
        try:
            return await self._ask(self._drivers.default_zone, url)
        except TimeoutError:
            raise ServerUnavailable(f"the place did not answer within {PLACE_SECONDS:g} s", server=name) from None

    async def _ask(self, question: Callable[..., Answer], *urls: str) -> Answer:
        """Ask a driver about places, in a thread; raise `TimeoutError` when that takes too long."""
        async with asyncio.timeout(PLACE_SECONDS):
            return await asyncio.get_running_loop().run_in_executor(self._asking, question, *urls)

    async def _claim(self, driver: StorageServer, name: str) -> Usage:
        try:
            async with asyncio.timeout(CLAIM_SECONDS):
                await self._fleet.attach(driver, name, claim=True)
                return await driver.usage()
        except TimeoutError:
            raise ServerUnavailable(f"the place did not answer within {CLAIM_SECONDS:g} s", server=name) from None

    async def _begin_epoch(self, server: Server) -> Server:
        """Register the server and make the ring with it the newest, in one transaction under the ring head's lock."""
        async with self._metadata.unit_of_work() as uow:
            epoch = await uow.rings.head(lock=True)
            servers = list(await uow.servers.list())
            _check_is_new(servers, server.name)
            now = await uow.now()
            server = replace(server, number=await uow.servers.next_number(), last_seen_at=now)
            newest = await _ring_set(uow, epoch)
            rings = {
                policy: await self._next_ring(uow, ring, [*servers, server]) for policy, ring in newest.rings.items()
            }
            following = newest.followed_by(rings)
            await uow.servers.add(server)
            await uow.rings.add(following, reason=f"add server {server.name}", at=now)
            for policy, ring in rings.items():
                changed = np.any(
                    (ring.slots != newest.rings[policy].slots) | (ring.tenures != newest.rings[policy].tenures), axis=1
                )
                await uow.partitions.raise_versions(policy, np.flatnonzero(changed).tolist())
            await uow.commit()
        return server

    async def _next_ring(self, uow: UnitOfWork, newest: Ring, servers: Sequence[Server]) -> Ring:
        """Compute a policy's next ring from where its shards are: the row to which each partition is synced."""
        states = await uow.partitions.list(newest.policy)
        synced_epochs = np.array([state.synced_epoch for state in states], dtype=np.int64)
        older = {
            epoch: (await _ring_set(uow, epoch)).rings[newest.policy] for epoch in np.unique(synced_epochs).tolist()
        }
        effective = effective_ring(newest, older, synced_epochs)
        return await asyncio.to_thread(
            next_ring, newest, effective, members_of(servers), draw=lambda count: draw_tenures(self._entropy, count)
        )

    # ------------------------------------------------------------------ describe

    async def list(self) -> tuple[ServerView, ...]:
        """Return all servers that are not removed, in order of name."""
        async with self._metadata.snapshot() as view:
            servers = await view.servers.list()
        present = [self._view(server) for server in servers if server.state is not ServerState.REMOVED]
        return tuple(sorted(present, key=lambda view: _natural(view.server.name)))

    async def get(self, name: str) -> ServerView:
        """Return one server; raise `ServerNotFound` when there is none of that name."""
        async with self._metadata.snapshot() as view:
            server = await view.servers.get(name)
        return self._view(found_server(server, name))

    def _view(self, server: Server) -> ServerView:
        """Join what is registered with what this process saw last."""
        topology = self._topology.present
        member = self._fleet.get(server.number)
        if member is not None:
            server = _as_seen(server, member)
        share = topology.ring(topology.default_policy).shares().get(server.number, 0.0)
        return ServerView(server, share)

    async def rings(self) -> tuple[RingView, ...]:
        """Return the newest ring of each policy, in order of name."""
        async with self._metadata.snapshot() as view:
            names = {server.number: server for server in await view.servers.list()}
        topology = self._topology.present
        return tuple(_ring_view(topology, policy, names) for policy in sorted(topology.policies))

    async def status(self) -> ClusterStatus:
        """Say whether all is well, in one value."""
        servers = [view.server for view in await self.list()]
        lost = len(self._attention.lost)
        return await cluster_status(self._metadata, self._topology.present, self._fleet, servers, lost_chunks=lost)


def members_of(servers: Sequence[Server]) -> list[Member]:
    """Return the servers as placement sees them: only active ones have weight."""
    return [
        Member(server.number, server.zone, server.capacity_bytes if server.state is ServerState.ACTIVE else 0)
        for server in servers
        if server.state is not ServerState.REMOVED
    ]


def draw_tenures(entropy: Entropy, count: int) -> NDArray[np.uint64]:
    """Draw so many tenures: random, and never 0, which stands for a vacant slot."""
    tenures = np.frombuffer(entropy(8 * count), dtype=np.uint64).copy()
    tenures[tenures == 0] = 1
    return tenures


def _some_capacity(capacity_bytes: int) -> int:
    if capacity_bytes < 1:
        raise InvalidInput("the place has no capacity of its own; give one", field="capacity_bytes")
    return capacity_bytes


def _check_is_new(servers: Sequence[Server], name: str) -> None:
    for server in servers:
        if server.name == name:
            was = " once, and names are never used again" if server.state is ServerState.REMOVED else ""
            raise ServerExists(f"there is a server {name} already{was}")


async def _ring_set(uow: UnitOfWork, epoch: int) -> RingSet:
    rings = await uow.rings.get(epoch)
    if rings is None:
        raise RuntimeError(f"the metadata has no ring of epoch {epoch}")
    return rings


def _as_seen(server: Server, member: FleetMember) -> Server:
    health = ServerHealth.UP if member.is_up else ServerHealth.UNREACHABLE
    return replace(server, health=health, health_reason=member.problem, used_bytes=member.server.used_bytes)


def _ring_view(topology: Topology, policy: str, servers: dict[int, Server]) -> RingView:
    ring = topology.ring(policy)
    shares = ring.shares()
    held = dict(zip(*np.unique(ring.slots[ring.slots >= 0], return_counts=True), strict=True))
    members = tuple(
        RingMember(
            name=servers[member.number].name,
            zone=member.zone,
            slots=int(held.get(member.number, 0)),
            share=shares.get(member.number, 0.0),
        )
        for member in ring.members
    )
    tolerated = topology.policies[policy].losses_tolerated
    found = placement_warnings(ring.members, width=ring.width, losses_tolerated=tolerated)
    return RingView(
        policy=policy,
        kind=str(topology.policies[policy]),
        epoch=ring.epoch,
        partition_bits=ring.partition_bits,
        width=ring.width,
        servers=members,
        balance=ring.balance(),
        warnings=tuple(_worded(warning, servers) for warning in found),
    )


def _worded(warning: PlacementWarning, servers: dict[int, Server]) -> str:
    names = ", ".join(servers[number].name for number in warning.servers)
    return f"{warning.message}: {names}" if names else warning.message


def _natural(name: str) -> list[tuple[int, str]]:
    """Order `disk10` after `disk9`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
