"""Whether all is well: what is down, full or lost, in one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from reelstore.chunkstore.fleet import Fleet
from reelstore.chunkstore.topology import Topology, TopologyCache
from reelstore.domain.counter import Counter
from reelstore.domain.server import ServerHealth, ServerState
from reelstore.domain.wording import count
from reelstore.repositories.interface import Metadata, Totals
from reelstore.services.attention import Attention
from reelstore.services.clock_guard import ClockGuard
from reelstore.services.concerned import VIDEOS_MAX, ConcernedVideo
from reelstore.services.server_notes import server_note
from reelstore.services.servers import ServerManager
from reelstore.services.shortfall import Shortfall, shortfall

LOST_CHUNKS_LOOKED_UP_MAX = 1000


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """Whether all is well: `ok`; `degraded`, everything readable and writable with less to spare; or `critical`.

    Chunks that are lost are known once this process has seen everything, some time after its start.

    Args:
        id: the cluster's.
        health: see above; `reasons` say why, for people.
        notes: no faults: what is under way, or waits for somebody.
        servers_up, servers_total: how many answer.
        shortfall: what has fewer shards than it should, as servers do not answer.
        epoch: of the newest ring.
        capacity_bytes, used_bytes: of all servers together.
        totals: what is stored.
        lost_chunks: how many are on no server.
        lost_videos: the first videos that have one of them.
        counts: everything that was ever counted.
    """

    id: str
    health: Literal["ok", "degraded", "critical"]
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    servers_up: int
    servers_total: int
    shortfall: Shortfall
    epoch: int
    capacity_bytes: int
    used_bytes: int
    totals: Totals
    lost_chunks: int
    lost_videos: tuple[ConcernedVideo, ...]
    counts: Mapping[Counter, int]


class ClusterHealth:
    """Join what is registered with what this process has seen.

    Args:
        metadata, topology, fleet, servers: what there is.
        attention: knows which chunks are lost.
        guard: knows whether the clock can be trusted.
    """

    def __init__(
        self,
        metadata: Metadata,
        topology: TopologyCache,
        fleet: Fleet,
        servers: ServerManager,
        attention: Attention,
        guard: ClockGuard,
    ) -> None:
        self._metadata = metadata
        self._topology = topology
        self._fleet = fleet
        self._servers = servers
        self._attention = attention
        self._guard = guard

    async def status(self) -> ClusterStatus:
        """Say whether all is well, in one value.

        Raises:
            MetadataUnavailable: a retry can help.
        """
        servers = [view.server for view in await self._servers.list()]
        topology, lost = self._topology.present, tuple(self._attention.lost)
        async with self._metadata.snapshot() as view:
            cluster = await view.cluster.get()
            totals = await view.videos.totals()
            used = [name for name in topology.policies if not await view.chunks.is_empty(name)]
            counts = await view.counters.get()
            videos = await view.videos.of_chunks(lost[:LOST_CHUNKS_LOOKED_UP_MAX], limit=VIDEOS_MAX) if lost else ()
        down = [server for server in servers if server.health is not ServerHealth.UP]
        full = _full_servers(topology, self._fleet)
        reasons = [f"server {server.name} does not answer: {server.health_reason}" for server in down]
        reasons += [f"server {name} has no room for another chunk" for name in full]
        up = len(servers) - len(down)
        unstorable = _why_nothing_can_be_stored(topology.copies_min, up=up, full=len(full))
        reasons += unstorable
        answering = {server.number for server in servers if server.health is ServerHealth.UP}
        short = shortfall(topology, answering, policies=used)
        if short.partitions_unreadable:
            unreadable = f"{short.partitions_unreadable:,} of {count(short.partitions_total, 'partition')}"
            reasons.append(f"too few shards answer in {unreadable}: what is there cannot be read")
        if lost:
            reasons.append(f"{count(len(lost), 'chunk')} on no server: parts of videos cannot be read")
        active = sum(server.state is ServerState.ACTIVE for server in servers)
        reasons += [
            f"policy {policy.name} = {policy} asks for {count(policy.width, 'server')}, and has {active}"
            for policy in topology.policies.values()
            if active < policy.width
        ]
        reasons += [reason for reason in (self._guard.holds(),) if reason is not None]
        if cluster is not None and cluster.deletes_stopped is not None:
            reasons.append(f"nothing is freed: {cluster.deletes_stopped}")
        return ClusterStatus(
            id=cluster.id if cluster else "",
            health="ok"
            if not reasons
            else "critical"
            if lost or unstorable or short.partitions_unreadable
            else "degraded",
            reasons=tuple(reasons),
            notes=tuple(note for each in servers if (note := server_note(each, self._fleet.get(each.number)))),
            servers_up=up,
            servers_total=len(servers),
            shortfall=short,
            epoch=topology.epoch,
            capacity_bytes=sum(server.capacity_bytes for server in servers),
            used_bytes=sum(server.used_bytes for server in servers),
            totals=totals,
            lost_chunks=len(lost),
            lost_videos=tuple(ConcernedVideo(video.id, video.name) for video in videos),
            counts=counts,
        )


def _full_servers(topology: Topology, fleet: Fleet) -> list[str]:
    """Return the names of servers that answer and would refuse a chunk."""
    chunk_bytes = max(policy.chunk_size_bytes for policy in topology.policies.values())
    members = (member for member in fleet if member.is_up and member.free_bytes is not None)
    return [member.server.name for member in members if (member.free_bytes or 0) < chunk_bytes]


def _why_nothing_can_be_stored(needed: int, *, up: int, full: int) -> list[str]:
    if up < needed:
        return [f"servers that answer: {up}, and {needed} must acknowledge each write: nothing can be stored"]
    if up - full < needed:
        return [f"servers that have room: {up - full}, and {needed} must: nothing can be stored"]
    return []
