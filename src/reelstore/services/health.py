"""Watch the servers: who answers, who has gone, who has come back (rule 10).

What routes requests is what this process saw last, at once: `FleetMember.problem`. What is written down, and decides
about eviction, is patient: a server counts as unreachable after several probes without an answer, so that a moment
of silence is no event. Only what leaves no doubt is written down at once: a place that answers and is not the one
that it should be, and a server that was not there when this process began.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from reelstore.chunkstore.fleet import Fleet, FleetMember
from reelstore.chunkstore.topology import Topology, TopologyCache
from reelstore.domain.errors import ServerUnavailable
from reelstore.domain.event import Event, EventKind
from reelstore.domain.server import Server, ServerHealth, ServerState
from reelstore.repositories.interface import Metadata, UnitOfWork
from reelstore.services.attention import Attention

PROBE_TIMEOUT_SECONDS = 10.0

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Missing:
    """Probes in a row that a server did not answer, and when the first of them was, by the database's clock."""

    misses: int
    since: datetime


@dataclass(frozen=True, slots=True)
class _Sighting:
    """What a probe showed of a server, and what is written down because of it.

    Args:
        server: as it was registered before.
        seen: as it is to be.
        is_back: it answers again, after probes that it did not answer.
    """

    server: Server
    seen: Server
    is_back: bool


class Monitor:
    """Probe all servers and record what was seen.

    Args:
        metadata: where it is recorded.
        topology, fleet: of this process.
        attention: woken when a server has come back.
        follow: has topology and fleet follow what other processes have changed.
        misses_max: so many probes in a row without an answer make a server unreachable.
        seen_seconds: how often `last_seen_at` and fill are written down while nothing else changes.
    """

    def __init__(
        self,
        metadata: Metadata,
        topology: TopologyCache,
        fleet: Fleet,
        attention: Attention,
        *,
        follow: Callable[[], Awaitable[None]],
        misses_max: int = 3,
        seen_seconds: float = 30.0,
    ) -> None:
        self._metadata = metadata
        self._topology = topology
        self._fleet = fleet
        self._attention = attention
        self._follow = follow
        self._misses_max = misses_max
        self._seen_seconds = seen_seconds
        self._missing: dict[int, _Missing] = {}

    async def probe_all(self) -> None:
        """Follow the metadata's servers and ring, then probe every server once, at the same time.

        A server that has come back has every partition of its rows unsettled, so that all of it is reconciled. It has
        come back when it was written down as unreachable, or did not answer the last probe of this process; to be
        written down as up and the unsettling are one transaction.

        Raises:
            MetadataUnavailable: nothing was written down; the next call does it.
        """
        await self.catch_up()
        members = list(self._fleet)
        await asyncio.gather(*(self._probe(member) for member in members))
        await self._record(members)

    async def catch_up(self) -> None:
        """Follow what other processes have changed, if they have."""
        async with self._metadata.snapshot() as view:
            servers, epoch, cluster = await view.servers.list(), await view.rings.head(), await view.cluster.get()
        present = self._topology.present
        is_other = cluster is not None and cluster.default_policy != present.default_policy
        if is_other or epoch != present.epoch or any(map(self._is_news, servers)):
            await self._follow()

    def _is_news(self, server: Server) -> bool:
        member = self._fleet.get(server.number)
        if member is None or server.state is ServerState.REMOVED:
            return (member is None) != (server.state is ServerState.REMOVED)
        return member.server.state is not server.state

    async def _probe(self, member: FleetMember) -> None:
        try:
            async with member.answering(PROBE_TIMEOUT_SECONDS, "a probe"):
                await self._fleet.probe(member)
        except ServerUnavailable as error:
            member.failed(error)

    async def _record(self, members: Iterable[FleetMember]) -> None:
        """Write health and fill down where they changed or are old."""
        async with self._metadata.snapshot() as view:
            now = await view.now()
            known = {server.number: server for server in await view.servers.list()}
        sightings = [
            self._sighted(member, known[member.server.number], now)
            for member in members
            if member.server.number in known
        ]
        news = [sighting for sighting in sightings if sighting.seen != sighting.server or sighting.is_back]
        if not news:
            return
        async with self._metadata.unit_of_work() as uow:
            for sighting in news:
                await self._write_down(uow, sighting, now)
            await uow.commit()
        for sighting in news:
            if sighting.is_back:
                self._missing.pop(sighting.server.number, None)
                log.info("server %s is back: everything on it is looked at again", sighting.server.name)
                self._attention.wake.set()

    def _sighted(self, member: FleetMember, server: Server, now: datetime) -> _Sighting:
        """Compare what was seen with what is registered."""
        number = server.number
        if member.is_up:
            is_back = server.health is ServerHealth.UNREACHABLE or number in self._missing
            is_old = server.last_seen_at is None or (now - server.last_seen_at).total_seconds() >= self._seen_seconds
            if not (is_back or is_old):
                return _Sighting(server, server, is_back=False)
            up = replace(
                server,
                health=ServerHealth.UP,
                health_reason=None,
                last_seen_at=now,
                unreachable_since=None,
                used_bytes=member.server.used_bytes,
            )
            return _Sighting(server, up, is_back)
        missing = self._missing.setdefault(number, _Missing(0, now))
        missing.misses += 1
        leaves_no_doubt = member.is_refused or not member.attached
        if server.health is ServerHealth.UP and missing.misses < self._misses_max and not leaves_no_doubt:
            return _Sighting(server, server, is_back=False)
        gone = replace(
            server,
            health=ServerHealth.UNREACHABLE,
            health_reason=member.problem,
            unreachable_since=server.unreachable_since or missing.since,
        )
        return _Sighting(server, gone, is_back=False)

    async def _write_down(self, uow: UnitOfWork, sighting: _Sighting, now: datetime) -> None:
        seen = sighting.seen
        server = await uow.servers.get(seen.name)
        if server is None or server.state is ServerState.REMOVED:
            return
        if sighting.is_back:
            await _unsettle(uow, self._topology.present, server.number)
        if server.health is not seen.health:
            await uow.events.add(_returned(server, now) if seen.health is ServerHealth.UP else _gone(seen, now))
        await uow.servers.update(
            replace(
                server,  # its state may be another by now
                health=seen.health,
                health_reason=seen.health_reason,
                last_seen_at=seen.last_seen_at,
                unreachable_since=seen.unreachable_since,
                used_bytes=seen.used_bytes,
            )
        )


async def _unsettle(uow: UnitOfWork, topology: Topology, number: int) -> None:
    """Raise the version of every partition in whose newest or older row the server is.

    Of every partition there is, where another process has begun an epoch that this one does not know yet: rows, and
    even the numbers of partitions, may be others by now.
    """
    if await uow.rings.head() != topology.epoch:
        for each in await uow.policies.list():
            states = await uow.partitions.list(each.name)
            await uow.partitions.raise_versions(each.name, [state.index for state in states])
        return
    for policy in topology.policies:
        rings = [topology.ring(policy)]
        rings += [older.rings[policy] for older in topology.older.values() if policy in older.rings]
        rows = np.flatnonzero(np.any([np.any(ring.slots == number, axis=1) for ring in rings], axis=0))
        await uow.partitions.raise_versions(policy, rows.tolist())


def _gone(server: Server, now: datetime) -> Event:
    since = server.unreachable_since or now
    return Event(
        EventKind.SERVER_UNREACHABLE,
        server.name,
        f"server {server.name} does not answer: {server.health_reason}",
        at=now,
        data={"reason": server.health_reason, "since": since.isoformat()},
    )


def _returned(server: Server, now: datetime) -> Event:
    away_seconds = (now - server.unreachable_since).total_seconds() if server.unreachable_since else None
    evicted = "" if server.evicted_at is None else "; it was evicted and stays out of the ring until it is activated"
    return Event(
        EventKind.SERVER_RETURNED,
        server.name,
        f"server {server.name} answers again{evicted}",
        at=now,
        data={"away_seconds": away_seconds, "evicted": server.evicted_at is not None},
    )
