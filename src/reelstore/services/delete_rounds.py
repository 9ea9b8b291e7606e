"""Rule 12: before shards are deleted, prove that this metadata still owns the servers it is about to delete from."""

from __future__ import annotations

import logging

from reelstore.chunkstore.fleet import ANSWER_SECONDS, Fleet, FleetMember
from reelstore.domain.errors import ServerFull, ServerUnavailable
from reelstore.repositories.interface import Cluster, Metadata
from reelstore.storage.interface import Marker

log = logging.getLogger(__name__)


class DeleteRounds:
    """Count rounds of deletes, in the metadata first and then in each server's marker.

    A marker that is ahead of the metadata, or of another generation, means that this metadata is a copy that was
    restored or cloned, and knows less than the servers do: every delete in the cluster stops, until an operator
    accepts.
    """

    def __init__(self, metadata: Metadata, fleet: Fleet) -> None:
        self._metadata = metadata
        self._fleet = fleet
        self.stopped_because: str | None = None

    async def begin(self) -> frozenset[int]:
        """Begin a round.

        Returns:
            the numbers of the servers from which may be deleted in it: those that answer and whose marker now bears
            this round; empty while deletes are stopped.
        """
        # Markers first: a round is counted in the metadata before it is in a marker, so that one which another worker
        # begins meanwhile can never make a marker look ahead.
        markers = [(member, marker) for member in self._fleet if (marker := await self._marker(member)) is not None]
        async with self._metadata.snapshot() as view:
            cluster = await view.cluster.get()
        if cluster is None:
            return frozenset()
        for member, marker in markers:
            self._compare(member, marker, cluster)
        if self.stopped_because is not None:
            return frozenset()
        async with self._metadata.unit_of_work() as uow:
            rounds = await uow.cluster.raise_delete_rounds()
            await uow.commit()
        taking_part = set()
        for member, _ in markers:
            try:
                async with member.answering(ANSWER_SECONDS, "a round of deletes"):
                    await member.driver.record_delete_rounds(rounds)
            except ServerFull as error:  # full past its reserve: others may go on, and free what they have
                log.warning("nothing is deleted from server %s: %s", member.server.name, error)
            except ServerUnavailable as error:
                member.failed(error)
            else:
                taking_part.add(member.server.number)
        return frozenset(taking_part)

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

    def _compare(self, member: FleetMember, marker: Marker, cluster: Cluster) -> None:
        """Stop all deletes when a marker contradicts the metadata."""
        if marker.generation != cluster.generation:
            self._stop(f"server {member.server.name} belongs to another generation of the metadata")
        elif marker.delete_rounds > cluster.delete_rounds:
            self._stop(
                f"server {member.server.name} has seen {marker.delete_rounds} rounds of deletes, "
                f"the metadata knows of {cluster.delete_rounds}: it was restored from an older state"
            )

    def _stop(self, reason: str) -> None:
        if self.stopped_because is None:
            log.error("no shard is deleted any more: %s", reason)
        self.stopped_because = reason
