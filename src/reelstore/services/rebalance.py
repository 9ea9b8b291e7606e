"""Reconcile: the one idempotent operation that moves, repairs, scrubs and collects (DESIGN section 6).

A crash at any point repeats work and loses nothing: nothing is deleted before *synced* is committed, and *synced* is a
compare-and-swap on a version that was read before the listing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain

from reelstore.chunkstore.fleet import ANSWER_SECONDS, Fleet
from reelstore.chunkstore.topology import TopologyCache
from reelstore.domain.chunk import Chunk, ShardName
from reelstore.domain.errors import ServerUnavailable
from reelstore.repositories.interface import Metadata
from reelstore.services.attention import Attention, Need
from reelstore.services.delete_rounds import DeleteRounds
from reelstore.services.pace import Pace
from reelstore.services.repair import Repairer, ShardState
from reelstore.services.survey import Expected, Findings, Slice, survey
from reelstore.services.verified import VerifiedThrough
from reelstore.storage.interface import ShardEntry

PUTS_AT_ONCE = 4

log = logging.getLogger(__name__)


class Verify(StrEnum):
    """Which of the expected shards are read and hashed, besides being listed."""

    CHANGED = "changed"
    ALL = "all"


@dataclass(slots=True)
class Outcome:
    """What one reconcile did.

    Args:
        put_bytes: of shards that were missing or bad.
        freed_bytes: of shards that were deleted.
        verified: shards read and hashed.
        defects: partitions in which a shard was missing or bad although they were called clean.
        blocked: partitions that could not be proved, each with the reason.
        lost: chunks that are nowhere although every server answered.
    """

    put_bytes: int = 0
    freed_bytes: int = 0
    verified: int = 0
    defects: set[int] = field(default_factory=set)
    blocked: dict[int, str] = field(default_factory=dict)
    lost: dict[str, Chunk] = field(default_factory=dict)


class Reconciler:
    """Make what is there what should be there.

    Args:
        metadata: what should be there.
        topology: where.
        fleet: what is there.
        repairer: reads, hashes and puts single shards.
        attention: where found defects are noted, to be looked at again.
        pace: how fast shards may be verified.
    """

    def __init__(
        self,
        metadata: Metadata,
        topology: TopologyCache,
        fleet: Fleet,
        repairer: Repairer,
        attention: Attention,
        pace: Pace,
    ) -> None:
        self._metadata = metadata
        self._topology = topology
        self._fleet = fleet
        self._repairer = repairer
        self._attention = attention
        self._pace = pace
        self._verified = VerifiedThrough()
        self.lost: dict[str, Chunk] = {}
        self._bad: dict[ShardName, int] = {}
        attention.known_bad = self._bad
        attention.lost = self.lost
        self.deletes = DeleteRounds(metadata, fleet)

    async def reconcile(self, where: Slice, *, verify: Verify, collect: bool = False) -> Outcome:
        """Reconcile a slice of partitions.

        1. With `collect`, drop the rows of chunks that nothing refers to; their shards are garbage from then on.
        2. Read the versions, list every server, then read what the metadata expects (rules 6 and 7).
        3. Put what a server of the newest row lacks, copied from a verified shard.
        4. Swap *synced* for each partition in which nothing was left out and no version moved.
        5. Delete, of that very listing, names whose chunk has no row, and, once *synced* is committed, names that the
           row does not promise.

        Returns:
            what was done, and what stands in the way.

        Raises:
            MetadataUnavailable: nothing of it is half done; a retry can help.
        """
        outcome = Outcome()
        if collect:
            await self._collect(where)
        findings = await survey(self._metadata, self._topology.present, self._fleet, where)
        outcome.blocked.update((p, f"unreachable: {server}") for p, server in findings.unprovable.items())
        suspects, gone = await self._faults(findings, where, verify, outcome)
        await self._note_defects(findings, where, suspects + gone, outcome)
        self._note_bad(where, suspects + gone)
        await self._put_all(suspects, gone, outcome)
        self._note_lost(where, outcome)
        swapped = await self._swap(findings, where, outcome)
        await self._delete(findings, swapped, outcome)
        if verify is Verify.ALL:
            await self._note_scrubbed(findings, where, outcome)
        return outcome

    async def _collect(self, where: Slice) -> None:
        """Delete rows without references, in one statement that the database refuses where there is one (rule 5)."""
        topology = self._topology.present
        start, stop = where.digests(topology)
        async with self._metadata.unit_of_work(frees=True) as uow:
            dropped = await uow.chunks.delete_unreferenced(where.policy, start, stop)
            if dropped:
                ring = topology.ring(where.policy)
                await uow.partitions.raise_versions(where.policy, [ring.partition_of(c.digest) for c in dropped])
                await uow.commit()
        if dropped:
            log.info("collected %d chunks without references", len(dropped))

    async def _faults(
        self, findings: Findings, where: Slice, verify: Verify, outcome: Outcome
    ) -> tuple[list[Expected], list[Expected]]:
        """Return the expected shards that are bad, and those that are missing."""
        suspects: list[Expected] = []
        gone: list[Expected] = []
        unread: list[Expected] = []
        # A copy that is to go may be the last good one: those that stay are read before (copy, verify, switch, delete).
        losing_a_copy = {
            entry.name.chunk
            for partition, entries in findings.misplaced.items()
            if partition not in findings.unprovable
            for _, entry in entries
        }
        for shard in findings.expected:
            state = findings.states[shard.partition]
            if shard.entry is None:
                gone.append(shard)
            elif not self._repairer.has_right_size(shard, shard.entry):
                suspects.append(shard)
            elif (
                verify is Verify.ALL
                or shard.chunk.id in losing_a_copy
                or shard.name in self._bad
                or self._verified.is_due(state, shard.seat.server, shard.entry)
            ):
                await self._pace.wait(shard.entry.size_bytes)
                outcome.verified += 1
                match await self._repairer.look(shard):
                    case ShardState.CORRUPT:
                        suspects.append(shard)
                    case ShardState.MISSING:
                        gone.append(shard)
                    case ShardState.UNREACHABLE:
                        unread.append(shard)
                        outcome.blocked[shard.partition] = "unreachable: a server stopped answering"
                    case ShardState.GOOD:
                        pass
        # What a server that is away keeps from being proved is noted all the same, or it would be read at every retry.
        unverified = {(shard.partition, shard.seat.server) for shard in suspects + unread}
        self._verified.note(where.policy, findings.expected, but=unverified)
        return suspects, gone

    async def _note_defects(self, findings: Findings, where: Slice, faults: list[Expected], outcome: Outcome) -> None:
        """Unsettle partitions that were called clean and are not, and have them looked at again (rule 7)."""
        clean = {
            state.index
            for state in findings.states.values()
            if (state.synced_epoch, state.synced_version) == (findings.topology.epoch, state.version)
        }
        outcome.defects = {shard.partition for shard in faults if shard.chunk.id not in self.lost} & clean
        if not outcome.defects:
            return
        async with self._metadata.unit_of_work() as uow:
            await uow.partitions.raise_versions(where.policy, sorted(outcome.defects))
            await uow.commit()
        self._attention.add(where.policy, outcome.defects, Need())

    async def _put_all(self, suspects: list[Expected], gone: list[Expected], outcome: Outcome) -> None:
        faults = chain(((shard, True) for shard in suspects), ((shard, False) for shard in gone))

        async def put(shard: Expected, *, suspect: bool) -> None:
            repaired = await self._repairer.put(shard, suspect=suspect)
            outcome.put_bytes += repaired.size_bytes
            if repaired.why_not is None:
                self._bad.pop(shard.name, None)
            if repaired.lost:
                outcome.lost[shard.chunk.id] = shard.chunk
            elif repaired.why_not is not None:
                outcome.blocked[shard.partition] = repaired.why_not

        async def put_next() -> None:
            for shard, suspect in faults:
                await put(shard, suspect=suspect)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(PUTS_AT_ONCE):
                    group.create_task(put_next())
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    def _note_bad(self, where: Slice, faults: list[Expected]) -> None:
        """Keep, with its partition, each shard that is bad, until it is put: fetching for it meets it once more."""
        for name, partition in list(self._bad.items()):
            if name.policy == where.policy and where.start <= partition < where.stop:
                del self._bad[name]
        self._bad.update((shard.name, shard.partition) for shard in faults)

    def _note_lost(self, where: Slice, outcome: Outcome) -> None:
        """Keep the list of chunks that are nowhere: they leave the set that *synced* waits for, and stay an alert."""
        ring = self._topology.present.ring(where.policy)
        for chunk in list(self.lost.values()):
            if chunk.policy == where.policy and where.start <= ring.partition_of(chunk.digest) < where.stop:
                del self.lost[chunk.id]
        self.lost.update(outcome.lost)

    async def _swap(self, findings: Findings, where: Slice, outcome: Outcome) -> set[int]:
        """Record what is proved; return the partitions for which it was (rules 3, 7 and 11)."""
        epoch = findings.topology.epoch
        candidates = [
            state
            for state in findings.states.values()
            if state.index not in outcome.blocked
            and state.index not in outcome.defects
            and (
                (state.synced_epoch, state.synced_version) != (epoch, state.version)
                or state.index in findings.misplaced
            )
        ]
        if not candidates:
            return set()
        async with self._metadata.unit_of_work() as uow:
            if await uow.rings.head(lock=True) != epoch:
                await self._topology.refresh()
                return set()
            swapped = {
                state.index
                for state in candidates
                if await uow.partitions.swap_synced(where.policy, state.index, epoch=epoch, version=state.version)
            }
            await uow.commit()
        self._topology.note_synced(where.policy, sorted(swapped), epoch)
        return swapped

    async def _delete(self, findings: Findings, swapped: set[int], outcome: Outcome) -> None:
        doomed: defaultdict[int, list[ShardEntry]] = defaultdict(list)
        for server, entries in findings.garbage.items():
            doomed[server].extend(entries)
        for partition in swapped:
            for server, entry in findings.misplaced.get(partition, ()):
                if entry.name.chunk not in self.lost:  # a bad copy may be all that is left to an operator
                    doomed[server].append(entry)
        if not doomed:
            return
        allowed = await self.deletes.begin()
        freed = await asyncio.gather(*(self._delete_from(server, doomed[server]) for server in doomed.keys() & allowed))
        outcome.freed_bytes += sum(freed)

    async def _delete_from(self, server: int, entries: Iterable[ShardEntry]) -> int:
        member = self._fleet.get(server)
        freed = 0
        if member is None:
            return freed
        try:
            for entry in entries:
                async with member.answering(ANSWER_SECONDS, "a delete"):
                    gone = await member.driver.delete(entry.name)
                freed += entry.size_bytes if gone else 0
        except ServerUnavailable as error:
            member.failed(error)  # what remains is garbage, and seen again
        return freed

    async def _note_scrubbed(self, findings: Findings, where: Slice, outcome: Outcome) -> None:
        proved = [index for index in findings.states if index not in outcome.blocked]
        if not proved:
            return
        async with self._metadata.unit_of_work() as uow:
            await uow.partitions.set_scrubbed(where.policy, proved, at=await uow.now())
            await uow.commit()
