"""Rule 12: before shards are deleted, prove that this metadata still owns the servers it is about to delete from."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from reelstore.chunkstore.fleet import ANSWER_SECONDS, Fleet, FleetMember
from reelstore.domain.errors import ServerFull, ServerUnavailable
from reelstore.repositories.interface import Cluster, Metadata
from reelstore.services.control import Control, Paused
from reelstore.services.ownership import stop_deletes
from reelstore.storage.interface import Marker, ShardEntry

log = logging.getLogger(__name__)


class DeleteRounds:
    """Count rounds of deletes, in the metadata first and then in each server's marker.

    A marker that is ahead of the metadata, or of another generation, means that another metadata database knows more
    of the servers than this one does, which may be a copy: every delete in the cluster stops, until an operator accepts
    (see `services.ownership`).

    Args:
        metadata: counts the rounds.
        fleet: where shards are deleted.
        control: says whether anything may be deleted now.
    """

    def __init__(self, metadata: Metadata, fleet: Fleet, control: Control) -> None:
        self._metadata = metadata
        self._fleet = fleet
        self._control = control
        self.stopped_because: str | None = None

    async def delete(
        self, doomed: Mapping[int, Iterable[ShardEntry]], freed: Callable[[int, ShardEntry], None]
    ) -> None:
        """Delete shards in a round of their own; what remains is garbage, and seen again.

        Args:
            doomed: by server number, what rule 6 allows to be deleted.
            freed: told of each one that was there and is gone.

        Raises:
            Paused: nothing more may be deleted now.
            MetadataUnavailable: a retry can help.
        """
        await self._control.check()
        allowed = await self.begin()
        servers = doomed.keys() & allowed
        paused = await asyncio.gather(*(self._delete_from(server, doomed[server], freed) for server in servers))
        if any(paused):
            raise Paused

    async def _delete_from(
        self, server: int, entries: Iterable[ShardEntry], freed: Callable[[int, ShardEntry], None]
    ) -> bool:
        """Delete from one server; return whether it was paused before the end."""
        member = self._fleet.get(server)
        if member is None:
            return False
        try:
            for entry in entries:
                await self._control.check()
                async with member.answering(ANSWER_SECONDS, "a delete"):
                    gone = await member.driver.delete(entry.name)
                if gone:
                    freed(server, entry)
        except ServerUnavailable as error:
            member.failed(error)
        except Paused:
            return True
        return False

    async def begin(self) -> frozenset[int]:
        """Begin a round.

        Returns:
            the numbers of the servers from which may be deleted in it: those that answer and whose marker now bears
            this round; empty while deletes are stopped.
        """
        # Markers first: a round is counted in the metadata before it is in a marker, so that one which another worker
        # begins meanwhile can never make a marker look ahead.
        members = list(self._fleet)
        found = await asyncio.gather(*map(self._marker, members))
        markers = [(member, marker) for member, marker in zip(members, found, strict=True) if marker is not None]
        async with self._metadata.snapshot() as view:
            cluster, here = await view.cluster.get(), await view.cluster.whereabouts()
        if cluster is None:
            return frozenset()
        contradictions = (_contradiction(member, marker, cluster) for member, marker in markers)
        moved = None if cluster.home in {None, here} else f"the metadata database is in {here}, and was {cluster.home}"
        reason = cluster.deletes_stopped or moved or next(filter(None, contradictions), None)
        self.stopped_because = reason
        if reason is not None:
            await stop_deletes(self._metadata, reason)
            return frozenset()
        async with self._metadata.unit_of_work() as uow:
            rounds = await uow.cluster.raise_delete_rounds()
            await uow.commit()
        marked = await asyncio.gather(*(self._mark(member, rounds) for member, _ in markers))
        return frozenset(number for number in marked if number is not None)

    async def _mark(self, member: FleetMember, rounds: int) -> int | None:
        """Write a round into a server's marker; return the server's number if it is there now."""
        try:
            async with member.answering(ANSWER_SECONDS, "a round of deletes"):
                await member.driver.record_delete_rounds(rounds)
        except ServerFull as error:  # full past its reserve: others may go on, and free what they have
            log.warning("nothing is deleted from server %s: %s", member.server.name, error)
            return None
        except ServerUnavailable as error:
            member.failed(error)
            return None
        return member.server.number

    async def _marker(self, member: FleetMember) -> Marker | None:
        """Return the marker of a server that answers."""
        if not member.is_up:
            return None
        try:
            async with member.answering(ANSWER_SECONDS, "a look at its marker"):
                return await member.driver.check()
        except ServerUnavailable as error:
            member.failed(error)
            return None


def _contradiction(member: FleetMember, marker: Marker, cluster: Cluster) -> str | None:
    """Return how a marker contradicts the metadata; None if it does not."""
    name = member.server.name
    if marker.generation != cluster.generation:
        return f"server {name} belongs to another generation of the metadata"
    if marker.delete_rounds > cluster.delete_rounds:
        return (
            f"server {name} has seen {marker.delete_rounds} rounds of deletes, the metadata knows of "
            f"{cluster.delete_rounds}: it was restored from an older state, or a copy of it is running"
        )
    return None
