"""How full the servers are, how fast they fill, and how much video still fits."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from reelstore.chunkstore.fleet import Fleet
from reelstore.chunkstore.topology import Topology, TopologyCache
from reelstore.domain.server import Server, ServerHealth, ServerState
from reelstore.repositories.interface import Metadata, UsageSample
from reelstore.services.clock_guard import ClockGuard
from reelstore.services.forecast import SAMPLES_KEEP, TREND_WINDOW, days_until_full, evenly, trend_bytes_per_day
from reelstore.services.places import Places
from reelstore.services.plan_warnings import NEARLY_FULL
from reelstore.services.room import Room, on_disks, usable
from reelstore.services.servers import ServerManager

CHART_SAMPLES_MAX = 200
HISTORY_SECONDS = 60.0
"""For so long what was sampled is not read again: samples come every few minutes."""


@dataclass(frozen=True, slots=True)
class FillSample:
    """How full a server, or all of them together, was at a time."""

    at: datetime
    used_bytes: int
    capacity_bytes: int


@dataclass(frozen=True, slots=True)
class ServerCapacity:
    """How full one server is.

    Args:
        name, zone, state, health: of the server.
        capacity_bytes: its weight in the ring.
        used_bytes: bytes of shards.
        free_bytes: what it still takes: the rest of its capacity, or of its disk where that is less.
        headroom_bytes: what it takes until it is 85 % full.
        trend_bytes_per_day: how fast it fills; None while there is too little to tell.
        days_to_full: at that rate, and at that of all others on its disk; None when it is not growing.
    """

    name: str
    zone: str
    state: ServerState
    health: ServerHealth
    capacity_bytes: int
    used_bytes: int
    free_bytes: int
    headroom_bytes: int
    trend_bytes_per_day: float | None
    days_to_full: float | None


@dataclass(frozen=True, slots=True)
class Capacity:
    """How full the cluster is; sums are over the servers that take part in the ring, what is used over all.

    A disk that several servers share counts once.

    Args:
        capacity_bytes, used_bytes, free_bytes, headroom_bytes: of all copies.
        usable_bytes: bytes of video that still fit: until the first server is full, once all lies where the ring
            wants it, each byte stored as often as the default policy asks.
        first_full: the name of that server; None where there is none.
        trend_bytes_per_day: how fast all servers together fill.
        days_to_full: until the first server is full: that is what counts.
        days_to_full_by_sum: until all servers together would be, were they filled evenly to the last byte.
        servers: in order of name.
        samples: for a chart, evenly picked.
    """

    capacity_bytes: int
    used_bytes: int
    free_bytes: int
    headroom_bytes: int
    usable_bytes: int
    first_full: str | None
    trend_bytes_per_day: float | None
    days_to_full: float | None
    days_to_full_by_sum: float | None
    servers: tuple[ServerCapacity, ...]
    samples: tuple[FillSample, ...]


@dataclass(slots=True)
class _History:
    """What was sampled: in all, and by server."""

    read_at: float = float("-inf")
    total: list[FillSample] = field(default_factory=list)
    servers: dict[str, list[FillSample]] = field(default_factory=dict)


class CapacityService:
    """Sample how full servers are, and forecast.

    Args:
        metadata: where samples are kept.
        topology, fleet, servers: the ring, the servers, and what each says of itself.
        places: tells which servers share a disk.
        guard: no sample is taken by a clock that has jumped.
        sample_seconds: the rest between two samples, over all processes.
    """

    def __init__(
        self,
        metadata: Metadata,
        topology: TopologyCache,
        fleet: Fleet,
        servers: ServerManager,
        places: Places,
        guard: ClockGuard,
        *,
        sample_seconds: float,
    ) -> None:
        self._metadata = metadata
        self._topology = topology
        self._fleet = fleet
        self._servers = servers
        self._places = places
        self._guard = guard
        self._sample_interval = timedelta(seconds=sample_seconds)
        self._history = _History()
        self._disks: dict[str, str] = {}

    async def sample(self) -> bool:
        """Write down how full each server is, unless another process has just done it; return whether it was done.

        A server that does not answer is written down as it was: what it holds is still there.

        Raises:
            MetadataUnavailable: a retry can help.
        """
        servers = [view.server for view in await self._servers.list()]
        async with self._metadata.unit_of_work() as uow:
            now = await uow.now()
            if self._guard.check(now) is not None or await uow.usage.since(now - self._sample_interval / 2):
                return False
            await uow.usage.add([UsageSample(each.name, now, each.used_bytes, each.capacity_bytes) for each in servers])
            await uow.commit()
        self._history.read_at = float("-inf")
        return True

    async def report(self, *, server: str | None = None) -> Capacity:
        """Say how full it is and will be.

        Args:
            server: list this one alone, with its own samples.

        Raises:
            ServerNotFound: there is no such server.
            MetadataUnavailable: a retry can help.
        """
        if server is not None:
            await self._servers.get(server)
        servers = {view.server.number: view.server for view in await self._servers.list()}
        async with self._metadata.snapshot() as view:
            chunk_bytes = (await view.videos.totals()).chunk_bytes
        history = await self._read_history()
        parts = _parts(self._topology.present)
        rooms = {number: self._room(each, parts.get(number, 0.0)) for number, each in servers.items()}
        disks = on_disks(rooms, await self._on_disks(), self._disk_free_bytes())
        usable_bytes, first = usable([*rooms.values(), *disks], chunk_bytes=chunk_bytes)
        described = tuple(_described(each, rooms[number], disks, servers, history) for number, each in servers.items())
        active = [number for number, each in servers.items() if each.state is ServerState.ACTIVE]
        free_bytes = sum(room.free_bytes for room in disks if any(number in active for number in room.servers))
        trend = _trend(history.total)
        samples = history.total if server is None else history.servers.get(server, [])
        return Capacity(
            capacity_bytes=sum(servers[number].capacity_bytes for number in active),
            used_bytes=sum(each.used_bytes for each in servers.values()),
            free_bytes=free_bytes,
            headroom_bytes=min(free_bytes, sum(each.headroom_bytes for each in described)),
            usable_bytes=usable_bytes,
            first_full=servers[first.servers[0]].name if first is not None else None,
            trend_bytes_per_day=trend,
            days_to_full=days_until_full(usable_bytes * sum(parts.values()), trend),
            days_to_full_by_sum=days_until_full(free_bytes, trend),
            servers=tuple(each for each in described if server in {None, each.name}),
            samples=tuple(evenly(samples, CHART_SAMPLES_MAX)),
        )

    def _room(self, server: Server, part: float) -> Room:
        member = self._fleet.get(server.number)
        free_bytes = max(server.capacity_bytes - server.used_bytes, 0)
        if member is not None and member.free_bytes is not None:
            free_bytes = min(free_bytes, member.free_bytes)
        return Room((server.number,), server.used_bytes, free_bytes, part)

    def _disk_free_bytes(self) -> dict[int, int]:
        """Return what each server's disk has left, of those whose disk others may share."""
        told = {member.server.number: member.disk_free_bytes for member in self._fleet}
        return {number: free_bytes for number, free_bytes in told.items() if free_bytes is not None}

    async def _read_history(self) -> _History:
        """Return what was sampled, as it was read lately, or read it anew."""
        if time.monotonic() - self._history.read_at < HISTORY_SECONDS:
            return self._history
        async with self._metadata.snapshot() as view:
            samples = await view.usage.since(await view.now() - SAMPLES_KEEP)
        self._history = _sorted_out(samples)
        return self._history

    async def _on_disks(self) -> Mapping[int, str]:
        """Return on which disk each server is, by number: asked once, when the server answers, as places stay."""
        answering = {member.server.url for member in self._fleet if member.is_up}
        self._disks |= await self._places.disks(answering - self._disks.keys())
        known = {member.server.number: self._disks.get(member.server.url) for member in self._fleet}
        return {number: disk for number, disk in known.items() if disk is not None}


def _described(
    server: Server, room: Room, disks: Iterable[Room], servers: Mapping[int, Server], history: _History
) -> ServerCapacity:
    trend = _trend(history.servers.get(server.name, []))
    days = days_until_full(room.free_bytes, trend)
    for disk in disks:
        if server.number in disk.servers:  # what others put on the same disk is gone as well
            trends = [_trend(history.servers.get(servers[number].name, [])) for number in disk.servers]
            together = days_until_full(disk.free_bytes, sum(each or 0.0 for each in trends))
            days = min((each for each in (days, together) if each is not None), default=None)
    until_nearly_full = int(server.capacity_bytes * NEARLY_FULL) - server.used_bytes
    return ServerCapacity(
        name=server.name,
        zone=server.zone,
        state=server.state,
        health=server.health,
        capacity_bytes=server.capacity_bytes,
        used_bytes=server.used_bytes,
        free_bytes=room.free_bytes,
        headroom_bytes=max(min(until_nearly_full, room.free_bytes), 0),
        trend_bytes_per_day=trend,
        days_to_full=days,
    )


def _sorted_out(samples: Sequence[UsageSample]) -> _History:
    """Split samples by server, and add up those of the same moment."""
    history = _History(read_at=time.monotonic())
    sums: dict[datetime, tuple[int, int]] = {}
    for sample in samples:
        fill = FillSample(sample.at, sample.used_bytes, sample.capacity_bytes)
        history.servers.setdefault(sample.server, []).append(fill)
        used, capacity = sums.get(sample.at, (0, 0))
        sums[sample.at] = used + sample.used_bytes, capacity + sample.capacity_bytes
    history.total = [FillSample(at, used, capacity) for at, (used, capacity) in sums.items()]
    return history


def _trend(samples: Sequence[FillSample]) -> float | None:
    if not samples:
        return None
    recent = [sample for sample in samples if samples[-1].at - sample.at <= TREND_WINDOW]
    return trend_bytes_per_day([sample.at for sample in recent], [sample.used_bytes for sample in recent])


def _parts(topology: Topology) -> Mapping[int, float]:
    """Return how many bytes of shards each server gets for a byte of video, by number: the default policy's ring."""
    policy = topology.default_policy
    ring, redundancy = topology.ring(policy), topology.redundancy(policy)
    width = ring.width * redundancy.shard_size_bytes(topology.policy(policy).chunk_size_bytes)
    return {
        number: share * width / topology.policy(policy).chunk_size_bytes
        for number, share in ring.shares().items()
        if share > 0
    }
