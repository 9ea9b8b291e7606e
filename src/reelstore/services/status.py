"""Whether all is well: what is down, full or lost, in one value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reelstore.chunkstore.fleet import Fleet
from reelstore.chunkstore.topology import Topology
from reelstore.domain.server import Server, ServerHealth, ServerState
from reelstore.repositories.interface import Metadata, Totals
from reelstore.services.server_notes import server_note


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """Whether all is well: `ok`; `degraded`, everything readable and writable with less to spare; or `critical`.

    Chunks that are lost are known once this process has seen everything, some time after its start. `notes` are no
    faults: what is under way, or waits for somebody.
    """

    id: str
    health: str
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    servers_up: int
    servers_total: int
    epoch: int
    capacity_bytes: int
    used_bytes: int
    totals: Totals


async def cluster_status(
    metadata: Metadata, topology: Topology, fleet: Fleet, servers: Sequence[Server], *, lost_chunks: int
) -> ClusterStatus:
    """Join what is registered with what this process has seen.

    Args:
        metadata: for the totals.
        topology: for what the policies need.
        fleet: for who has room.
        servers: all that are not removed, with their health.
        lost_chunks: how many are on no server.
    """
    async with metadata.snapshot() as view:
        cluster = await view.cluster.get()
        totals = await view.videos.totals()
    down = [server for server in servers if server.health is not ServerHealth.UP]
    up = len(servers) - len(down)
    full = _full_servers(topology, fleet)
    needed = topology.copies_min
    reasons = [f"server {server.name} does not answer: {server.health_reason}" for server in down]
    reasons += [f"server {name} has no room for another chunk" for name in full]
    if up < needed:
        reasons.append(f"{up} servers answer, and {needed} must acknowledge each write: nothing can be stored")
    elif up - len(full) < needed:
        reasons.append(f"{up - len(full)} servers have room, and {needed} must: nothing can be stored")
    if lost_chunks:
        reasons.append(f"{lost_chunks} chunks are on no server: parts of videos cannot be read")
    active = sum(server.state is ServerState.ACTIVE for server in servers)
    reasons += [
        f"policy {policy.name} asks for {policy.copies} copies, and there are {active} servers"
        for policy in topology.policies.values()
        if active < policy.copies
    ]
    return ClusterStatus(
        id=cluster.id if cluster else "",
        health="ok" if not reasons else "critical" if lost_chunks or up - len(full) < needed else "degraded",
        reasons=tuple(reasons),
        notes=tuple(note for server in servers if (note := server_note(server, fleet.get(server.number))) is not None),
        servers_up=up,
        servers_total=len(servers),
        epoch=topology.epoch,
        capacity_bytes=sum(server.capacity_bytes for server in servers),
        used_bytes=sum(server.used_bytes for server in servers),
        totals=totals,
    )


def _full_servers(topology: Topology, fleet: Fleet) -> list[str]:
    """Return the names of servers that answer and would refuse a chunk."""
    chunk_bytes = max(policy.chunk_size_bytes for policy in topology.policies.values())
    members = (member for member in fleet if member.is_up and member.free_bytes is not None)
    return [member.server.name for member in members if (member.free_bytes or 0) < chunk_bytes]
