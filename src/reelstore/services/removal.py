"""Take a server away once a listing has proved that nothing needs it, and say what is still in the way.

**Why nothing is lost.** A server is removed when, in this order, (1) the newest ring does not name it, (2) every
partition of every policy is synced to that ring at its version, (3) a listing of all its shards, begun after that,
shows none, and (4) in one transaction that holds the ring head's lock, the epoch is the same and (2) still holds.

By (2) and rule 7, every chunk that was confirmed under this ring or an older one was found under its name on every
server of its newest row, which is without this one. Chunks that are confirmed later are confirmed under this ring or a
newer one (rule 3): of the servers that acknowledged (rule 4), none is this one, because it is in no row, and because
a draining server is nobody's stand-in. What can still reach the server between the listing and the commit, or after
it, was sent by somebody who places by an older ring: a primary's shard, a handoff's, or one that a worker moved. None
of them is ever counted: the confirm, and the worker's *synced*, compare their ring with the newest under the same
lock, and the bytes are placed again. So what arrives late is garbage, and whoever sends it after the marker is gone is
refused.

The listing (3) is not needed for that. It is there for what the metadata cannot know: a copy that is bad, or all
that is left of a chunk that is lost, is never deleted (rule 9), so a server that has one is not empty, and stays.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from reelstore.chunkstore.fleet import ANSWER_SECONDS, Fleet, FleetMember
from reelstore.domain.errors import StorageError
from reelstore.domain.event import Event, EventKind
from reelstore.domain.server import Server, ServerState
from reelstore.domain.video import Video
from reelstore.repositories.interface import Metadata, UnitOfWork
from reelstore.services.lookup import found_server
from reelstore.services.removal_evidence import Contents, Risk, RiskSurvey, Standing, contents, standing
from reelstore.storage.interface import Releasing

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RemovalCheck:
    """Whether a server can be powered off and forgotten without anything being lost, and on what evidence.

    Args:
        standing: what the metadata says of it.
        reasons: what is not yet so; it is safe when there are none.
        listed: what it has; None when it did not list it.
        listed_at: when the listing began, by the database's clock; None with `listed`.
        risk: what only it may hold; None when a listing proved that it holds nothing.
        silent: names of other servers that do not answer.
    """

    standing: Standing
    reasons: tuple[str, ...]
    listed: Contents | None
    listed_at: datetime | None
    risk: Risk | None
    silent: tuple[str, ...]

    @property
    def is_safe(self) -> bool:
        """Return whether nothing would be lost."""
        return not self.reasons

    @property
    def videos_at_risk(self) -> Sequence[Video]:
        """Return some of the videos that need what only this server may hold."""
        return self.risk.videos if self.risk is not None else ()


class Removals:
    """Remove drained servers, and check whether one can be.

    Args:
        metadata: what is registered and proved.
        fleet: what is there.
        risks: finds what only one server may hold.
        deletes_stopped: why nothing is deleted any more, if so.
        follow: has this process follow the metadata's servers.
    """

    def __init__(
        self,
        metadata: Metadata,
        fleet: Fleet,
        risks: RiskSurvey,
        *,
        deletes_stopped: Callable[[], str | None],
        follow: Callable[[], Awaitable[None]],
    ) -> None:
        self._metadata = metadata
        self._fleet = fleet
        self._risks = risks
        self._deletes_stopped = deletes_stopped
        self._follow = follow

    async def check(self, name: str) -> RemovalCheck:
        """Answer "is it safe to power this off?", with evidence. Changes nothing; lists all servers if need be.

        Raises:
            ServerNotFound: a retry does not help.
            MetadataUnavailable: a retry can help.
        """
        async with self._metadata.snapshot() as view:
            server = found_server(await view.servers.get(name), name)
            before = await standing(view, server)
            policies = [policy.name for policy in await view.policies.list()]
            began_at = await view.now()
        member = self._fleet.get(server.number)
        listed = None if member is None else await contents(member, policies)
        risk = None if listed is not None and not listed.shards else await self._risks.of(server)
        async with self._metadata.snapshot() as view:
            server = found_server(await view.servers.get(name), name)
            after = await standing(view, server)
        reasons = after.obstacles(deletes_stopped=self._deletes_stopped())
        if before.epoch != after.epoch or (before.partitions_unsettled and not after.partitions_unsettled):
            reasons.append("things changed while it was being listed: ask again")
        if listed is None:
            reasons.append(_silence(member))
        elif listed.shards:
            reasons.append(f"shards that it still holds: {listed.shards:,}, {listed.size_bytes:,} bytes")
        if risk is not None and risk.chunks:
            reasons.append(f"chunks whose last good shards it may hold: {risk.chunks:,}, {risk.size_bytes:,} bytes")
        silent = {each.server.name for each in self._fleet if not each.is_up and each.server.name != name}
        return RemovalCheck(
            standing=after,
            reasons=tuple(reasons),
            listed=listed,
            listed_at=None if listed is None else began_at,
            risk=risk,
            silent=tuple(sorted(silent | (risk.silent if risk is not None else set()))),
        )

    async def step(self) -> tuple[str, ...]:
        """Look at every draining server, and remove those that are empty and were to be removed.

        A plain drain stays, and is noted as empty. A crash repeats the listing, or leaves a marker in the place of a
        server that is removed, which keeps the place from being claimed until somebody deletes it.

        Returns:
            the names of the servers that were removed.

        Raises:
            MetadataUnavailable: a retry can help.
        """
        async with self._metadata.snapshot() as view:
            draining = [each for each in await view.servers.list() if each.state is ServerState.DRAINING]
            found = [await standing(view, server) for server in draining]
            policies = [policy.name for policy in await view.policies.list()]
        removed = []
        for each in found:
            member = self._fleet.get(each.server.number)
            if member is None:
                continue
            member.obstacles = tuple(await self._obstacles(each, member, policies))
            if not member.obstacles and each.server.remove_when_empty and await self._remove(each):
                await self._give_up(member)
                removed.append(each.server.name)
        if removed:
            await self._follow()
        return tuple(removed)

    async def _obstacles(self, found: Standing, member: FleetMember, policies: Sequence[str]) -> list[str]:
        """Return why the server cannot go yet; it is listed only when nothing else is in the way."""
        obstacles = found.obstacles(deletes_stopped=self._deletes_stopped())
        if obstacles:
            return obstacles
        listed = await contents(member, policies, shards_max=1)
        if listed is None:
            return [f"{_silence(member)}; all is proved to lie elsewhere: bring it back, or force it out"]
        return ["it still holds shards, which are deleted when they are proved superfluous"] if listed.shards else []

    async def _remove(self, proved: Standing) -> bool:
        """Write down that a server is removed if what was proved before its listing still holds; return whether."""
        async with self._metadata.unit_of_work() as uow:
            epoch = await uow.rings.head(lock=True)
            server = await uow.servers.get(proved.server.name)
            if server is None or server.state is not ServerState.DRAINING or not server.remove_when_empty:
                return False
            now = await standing(uow, server)
            if epoch != proved.epoch or now.obstacles(deletes_stopped=self._deletes_stopped()):
                return False
            await write_removed(uow, server, f"server {server.name} was empty and is removed", data={"forced": False})
            await uow.commit()
        log.info("server %s is empty and removed", proved.server.name)
        return True

    @staticmethod
    async def _give_up(member: FleetMember) -> None:
        """Take the marker away, the last thing, so that the place can be another server's."""
        if not isinstance(member.driver, Releasing):
            return
        name = member.server.name
        try:
            async with member.answering(ANSWER_SECONDS, "giving up its place"):
                if await member.driver.release():
                    return
        except StorageError as error:
            log.warning("the marker of server %s, which is removed, stays in its place: %s", name, error)
        else:
            log.warning(
                "the marker of server %s, which is removed, stays: there is more than shards in its place", name
            )


async def write_removed(uow: UnitOfWork, server: Server, message: str, *, data: dict[str, object]) -> None:
    """Register a server as removed, with the event of it; its name and number are never used again."""
    await uow.servers.update(
        replace(server, state=ServerState.REMOVED, remove_when_empty=False, used_bytes=0, unreachable_since=None)
    )
    await uow.events.add(Event(EventKind.SERVER_REMOVED, server.name, message, at=await uow.now(), data=data))


def _silence(member: FleetMember | None) -> str:
    problem = member.problem if member is not None else None
    return f"it does not answer, and what it holds cannot be listed{f': {problem}' if problem else ''}"
