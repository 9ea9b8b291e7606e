"""Watch the servers: who answers, who has come back (rule 10)."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import numpy as np

from reelstore.chunkstore.fleet import Fleet, FleetMember
from reelstore.chunkstore.topology import TopologyCache
from reelstore.domain.server import ServerHealth
from reelstore.repositories.interface import Metadata, UnitOfWork
from reelstore.services.attention import Attention

PROBE_TIMEOUT_SECONDS = 10.0

log = logging.getLogger(__name__)


class Monitor:
    """Probe all servers and record what was seen.

    Args:
        seen_seconds: how often `last_seen_at` and fill are written down while nothing else changes.
    """

    def __init__(
        self,
        metadata: Metadata,
        topology: TopologyCache,
        fleet: Fleet,
        attention: Attention,
        *,
        seen_seconds: float = 30.0,
    ) -> None:
        self._metadata = metadata
        self._topology = topology
        self._fleet = fleet
        self._attention = attention
        self._seen_seconds = seen_seconds

    async def probe_all(self) -> None:
        """Probe every server once, at the same time.

        A server that has come back has every partition of its rows unsettled, so that all of it is reconciled. It has
        come back when it was written down as unreachable: to be written down as up and the unsettling are one.
        """
        members = list(self._fleet)
        await asyncio.gather(*(self._probe(member) for member in members))
        await self._record(members)

    async def _probe(self, member: FleetMember) -> None:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                await self._fleet.probe(member)
        except TimeoutError:
            member.problem = f"no answer to a probe within {PROBE_TIMEOUT_SECONDS:g} s"

    async def _unsettle(self, uow: UnitOfWork, number: int) -> None:
        """Raise the version of every partition in whose newest or older row the server is."""
        topology = self._topology.present
        for policy in topology.policies:
            rings = [topology.ring(policy)] + [older.rings[policy] for older in topology.older.values()]
            rows = np.flatnonzero(np.any([np.any(ring.slots == number, axis=1) for ring in rings], axis=0))
            await uow.partitions.raise_versions(policy, rows.tolist())

    async def _record(self, members: list[FleetMember]) -> None:
        """Write health and fill down where they changed or are old."""
        async with self._metadata.snapshot() as view:
            now = await view.now()
            known = {server.number: server for server in await view.servers.list()}
        news = []
        for member in members:
            server = known.get(member.server.number)
            if server is None:
                continue
            health = ServerHealth.UP if member.is_up else ServerHealth.UNREACHABLE
            changed = (server.health, server.health_reason) != (health, member.problem)
            old = server.last_seen_at is None or (now - server.last_seen_at).total_seconds() >= self._seen_seconds
            if changed or (member.is_up and old):
                seen = now if member.is_up else server.last_seen_at
                used_bytes = member.server.used_bytes if member.is_up else server.used_bytes
                news.append((server.name, health, member.problem, seen, used_bytes))
        if not news:
            return
        returned = []
        async with self._metadata.unit_of_work() as uow:
            for name, health, reason, seen, used_bytes in news:
                server = await uow.servers.get(name)
                if server is None:
                    continue
                if (server.health, health) == (ServerHealth.UNREACHABLE, ServerHealth.UP):
                    await self._unsettle(uow, server.number)
                    returned.append(name)
                await uow.servers.update(
                    replace(server, health=health, health_reason=reason, last_seen_at=seen, used_bytes=used_bytes)
                )
            await uow.commit()
        for name in returned:
            log.info("server %s is back: everything on it is looked at again", name)
            self._attention.wake.set()
