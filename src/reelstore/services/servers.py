"""The server manager: which servers there are, and how consistent hashing places videos on them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from reelstore.chunkstore.fleet import Fleet, FleetMember
from reelstore.chunkstore.topology import Topology, TopologyCache
from reelstore.domain.change import ChangeAction, ServerChange
from reelstore.domain.server import Server, ServerHealth, ServerState, natural_order
from reelstore.placement.plan import PlacementWarning
from reelstore.placement.plan import warnings as placement_warnings
from reelstore.repositories.interface import Metadata
from reelstore.services.lookup import found_server
from reelstore.services.topology_changes import TopologyChanges


@dataclass(frozen=True, slots=True)
class ServerView:
    """A server as users see it.

    Args:
        server: as it is registered, with what this process saw last.
        share: its part of the slots of the default policy's ring.
        empty: it is drained, and a listing of this process proved that nothing on it is needed.
        waiting_for: what is still in the way of that, for people; none when it is not drained, or nobody has looked.
    """

    server: Server
    share: float
    empty: bool = False
    waiting_for: tuple[str, ...] = ()


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


class ServerManager:
    """Administer the servers and the rings that follow from them."""

    def __init__(
        self,
        metadata: Metadata,
        topology: TopologyCache,
        fleet: Fleet,
        changes: TopologyChanges,
    ) -> None:
        self._metadata = metadata
        self._topology = topology
        self._fleet = fleet
        self._changes = changes

    async def add(self, *, name: str, url: str, zone: str | None, capacity_bytes: int | None) -> ServerView:
        """Add a server: see `TopologyChanges.change`.

        New writes use it at once; what is there already moves in the background, and stays readable all the time.

        Args:
            name: unique and stable.
            url: which driver, and where.
            zone: servers that may fail together share one; by default what its place tells (a disk).
            capacity_bytes: its weight; by default what its place has.

        Raises:
            InvalidInput, InvalidServerUrl, ServerExists, ServerRefused, WarningsNotAccepted: a retry does not help.
            ServerUnavailable: the place cannot be opened; a retry can help.
        """
        change = ServerChange(ChangeAction.ADD, name, url=url, zone=zone, capacity_bytes=capacity_bytes)
        await self._changes.change([change])
        return await self.get(name)

    # ------------------------------------------------------------------ describe

    async def list(self) -> tuple[ServerView, ...]:
        """Return all servers that are not removed, in order of name."""
        async with self._metadata.snapshot() as view:
            servers = await view.servers.list()
        present = [self._view(server) for server in servers if server.state is not ServerState.REMOVED]
        return tuple(sorted(present, key=lambda view: natural_order(view.server.name)))

    async def get(self, name: str) -> ServerView:
        """Return one server; raise `ServerNotFound` when there is none of that name."""
        async with self._metadata.snapshot() as view:
            server = await view.servers.get(name)
        return self._view(found_server(server, name))

    def _view(self, server: Server) -> ServerView:
        """Join what is registered with what this process saw last."""
        topology = self._topology.present
        member = self._fleet.get(server.number)
        share = topology.ring(topology.default_policy).shares().get(server.number, 0.0)
        if member is None:
            return ServerView(server, share)
        return ServerView(_as_seen(server, member), share, member.is_empty, member.obstacles or ())

    async def ring(self, policy: str | None) -> RingView:
        """Return the newest ring of a policy, or of the default one; raise `PolicyNotFound` when there is none."""
        topology = self._topology.present
        name = topology.policy(policy).name
        async with self._metadata.snapshot() as view:
            servers = {server.number: server for server in await view.servers.list()}
        return _ring_view(topology, name, servers)


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
        if member.number in held or servers[member.number].state is not ServerState.REMOVED
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
