"""Take servers out of the ring that do not answer for long, so that redundancy heals without anybody (rule 14).

Eviction is a drain that nobody asked for: nothing is removed, and a server that returns keeps its shards until they
are proved superfluous. It is done with care, because what looks like many dead servers is mostly one dead cable:

- one server at a time, and only once all is proved to lie where it should that can be without those that are silent;
- only while more than half of all servers answer, and never while moving is paused or the database's clock jumps;
- never because a server refuses our credentials: it is there;
- never when the others could not take over: what a plan warns of so that somebody must accept it stops the eviction.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from reelstore.chunkstore.fleet import Fleet
from reelstore.domain.change import ChangeAction, ServerChange
from reelstore.domain.errors import Conflict, WarningsNotAccepted
from reelstore.domain.event import Event, EventKind
from reelstore.domain.server import Eviction, Server, ServerHealth, ServerState
from reelstore.domain.wording import count
from reelstore.repositories.interface import Metadata, UnitOfWork
from reelstore.services.clock_guard import ClockGuard
from reelstore.services.epochs import ring_set
from reelstore.services.topology_changes import TopologyChanges

ZONES_MIN = 3
"""With fewer zones a zone that is cut off leaves too few to judge by, or to take over."""
PLAN_AGAIN_SECONDS = 600.0
"""How long a plan that needs somebody's acceptance is not tried again, while the ring is the same."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Scene:
    """What is registered at one moment; `healing` partitions are unproved though no server of their row is silent."""

    now: datetime
    epoch: int
    servers: Sequence[Server]
    healing: int
    paused: bool


class Evictor:
    """Evict servers, one decision at a time in the whole cluster.

    Args:
        metadata: who is silent, since when, by the database's clock.
        fleet: what this process sees; each member is told why it is not evicted.
        changes: drains.
        guard: knows whether the database's clock can be trusted.
        mode: when to evict at all.
        after_seconds: how long a server must have been silent.
    """

    def __init__(
        self,
        metadata: Metadata,
        fleet: Fleet,
        changes: TopologyChanges,
        guard: ClockGuard,
        *,
        mode: Eviction,
        after_seconds: float,
    ) -> None:
        self._metadata = metadata
        self._fleet = fleet
        self._changes = changes
        self._guard = guard
        self._mode = mode
        self._after = timedelta(seconds=after_seconds)
        self._refusals: dict[str, tuple[int, datetime, str]] = {}

    async def step(self) -> str | None:
        """Evict one server if one is to be; return its name.

        Raises:
            MetadataUnavailable: nothing was changed; a retry can help.
        """
        scene = await self._look()
        overdue = [server for server in scene.servers if self._is_overdue(server, scene.now)]
        overdue.sort(key=lambda server: (server.unreachable_since, server.number))
        reason = self._why_none(scene) if overdue else None
        evicted = None
        for server in overdue:
            member = self._fleet.get(server.number)
            why_not = reason or self._why_not(server, scene)
            if why_not is None and evicted is None:
                why_not = await self._evict(server, scene)
                evicted = server.name if why_not is None else None
            if member is not None:
                member.not_evicted = why_not
        names = {server.name for server in overdue}
        for member in self._fleet:
            if member.server.name not in names:
                member.not_evicted = None
        return evicted

    async def _look(self) -> _Scene:
        silent = {member.server.number for member in self._fleet if not member.is_up}
        async with self._metadata.snapshot() as view:
            servers = [each for each in await view.servers.list() if each.state is not ServerState.REMOVED]
            silent |= {each.number for each in servers if each.health is ServerHealth.UNREACHABLE}
            epoch = await view.rings.head()
            rings = await ring_set(view, epoch)
            healing = 0
            for policy, ring in rings.rings.items():
                rows = ring.slots[list(await view.partitions.unsettled(policy, epoch=epoch))]
                healing += int(np.count_nonzero(~np.isin(rows, list(silent)).any(axis=1)))
            return _Scene(await view.now(), epoch, servers, healing, (await view.control.get()).paused)

    def _is_overdue(self, server: Server, now: datetime) -> bool:
        return (
            server.state is ServerState.ACTIVE
            and server.health is ServerHealth.UNREACHABLE
            and server.unreachable_since is not None
            and now - server.unreachable_since >= self._after
        )

    def _why_none(self, scene: _Scene) -> str | None:
        """Return why no server is evicted now, whichever it is."""
        if (forbidden := self._why_never(scene) or self._guard.check(scene.now)) is not None:
            return forbidden
        answering = sum(member.is_up for member in self._fleet)
        if 2 * answering <= len(scene.servers):
            return f"only {answering} of {len(scene.servers)} servers answer: the fault may be on this side"
        if scene.paused:
            return "moving is paused"
        if scene.healing:
            return f"{count(scene.healing, 'partition')} still to be moved or mended after the last change"
        return None

    def _why_never(self, scene: _Scene) -> str | None:
        """Return why the settings forbid eviction in this cluster."""
        if self._mode is Eviction.OFF:
            return "eviction is off"
        zones = {server.zone for server in scene.servers if server.state is ServerState.ACTIVE}
        if self._mode is Eviction.AUTO and len(zones) < ZONES_MIN:
            return f"by itself that happens only with servers in {ZONES_MIN} zones or more, and there are {len(zones)}"
        return None

    def _why_not(self, server: Server, scene: _Scene) -> str | None:
        """Return why this server is not evicted now."""
        member = self._fleet.get(server.number)
        if member is None or member.is_up:
            return "it answers this process"
        if member.is_unauthorized:
            return "it answers, and does not accept our credentials"
        epoch, until, why_not = self._refusals.get(server.name, (0, scene.now, ""))
        return why_not if epoch == scene.epoch and scene.now < until else None

    async def _evict(self, server: Server, scene: _Scene) -> str | None:
        """Drain a server; return why it was not done, or None."""
        drain = ServerChange(ChangeAction.DRAIN, server.name)
        reason = f"evict server {server.name}, which does not answer"
        try:
            await self._changes.change([drain], reason=reason, also=lambda uow: self._decide(uow, server, scene))
        except WarningsNotAccepted as error:
            why_not = f"the other servers cannot take over: {error}"
            self._refusals[server.name] = scene.epoch, scene.now + timedelta(seconds=PLAN_AGAIN_SECONDS), why_not
            return why_not
        except Conflict as error:
            return str(error)
        log.warning("server %s is evicted: %s", server.name, server.health_reason)
        return None

    async def _decide(self, uow: UnitOfWork, seen: Server, scene: _Scene) -> None:
        """See, under the ring head's lock, that what was decided by still holds; and write down the eviction.

        Raises:
            Conflict: it does not: the server is back, or another process has evicted one.
        """
        now = await uow.now()
        server = await uow.servers.get(seen.name)
        if (
            server is None
            or _evicted(await uow.servers.list()) != _evicted(scene.servers)
            or (await uow.control.get()).paused
        ):
            raise Conflict("something else has changed meanwhile")
        if not self._is_overdue(replace(server, state=ServerState.ACTIVE), now) or self._guard.check(now) is not None:
            raise Conflict("it has answered meanwhile")
        since = server.unreachable_since or now
        await uow.servers.update(replace(server, evicted_at=now))
        data = {
            "reason": server.health_reason,
            "unreachable_since": since.isoformat(),
            "silent_seconds": (now - since).total_seconds(),
        }
        message = f"server {server.name} is evicted, as it has not answered since {since:%Y-%m-%d %H:%M:%S} UTC"
        await uow.events.add(Event(EventKind.SERVER_EVICTED, server.name, message, at=now, data=data))


def _evicted(servers: Sequence[Server]) -> dict[str, datetime]:
    """Return when servers were evicted that are still registered."""
    return {each.name: each.evicted_at for each in servers if each.evicted_at and each.state is not ServerState.REMOVED}
