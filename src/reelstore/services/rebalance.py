"""Reconcile: the one idempotent operation that moves, repairs, scrubs and collects (DESIGN section 6).

A crash at any point repeats work and loses nothing: nothing is deleted before *synced* is committed, and *synced* is a
compare-and-swap on a version that was read before the listing.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from enum import StrEnum

from reelstore.chunkstore.fleet import Fleet
from reelstore.chunkstore.topology import TopologyCache
from reelstore.domain.chunk import Chunk, ShardName
from reelstore.domain.counter import Counter
from reelstore.repositories.interface import Metadata
from reelstore.services.attention import Attention, Need
from reelstore.services.control import Paused
from reelstore.services.delete_rounds import DeleteRounds
from reelstore.services.mending import Case, Mender
from reelstore.services.outcome import Outcome
from reelstore.services.progress import Progress
from reelstore.services.repair import Repairer, ShardState
from reelstore.services.survey import Expected, Findings, Slice, survey
from reelstore.services.verified import VerifiedThrough
from reelstore.storage.interface import ShardEntry

log = logging.getLogger(__name__)


class Verify(StrEnum):
    """Which of the expected shards are read and hashed, besides being listed."""

    CHANGED = "changed"
    ALL = "all"


class Reconciler:
    """Make what is there what should be there.

    Args:
        metadata: what should be there.
        topology: where.
        fleet: what is there.
        repairer: judges and repairs single shards.
        mender: does so for many, within the limits.
        deletes: removes what is superfluous.
        attention: where found defects are noted, to be looked at again.
        progress: how far all of it has come.
    """

    def __init__(
        self,
        metadata: Metadata,
        topology: TopologyCache,
        fleet: Fleet,
        repairer: Repairer,
        mender: Mender,
        deletes: DeleteRounds,
        attention: Attention,
        progress: Progress,
    ) -> None:
        self._metadata = metadata
        self._topology = topology
        self._fleet = fleet
        self._repairer = repairer
        self._mender = mender
        self._attention = attention
        self._progress = progress
        self._verified = VerifiedThrough()
        self.lost: dict[str, Chunk] = {}
        self._bad: set[ShardName] = set()
        attention.known_bad = self._bad
        attention.lost = self.lost
        self.deletes = deletes

    async def reconcile(self, where: Slice, *, verify: Verify, collect: bool = False) -> Outcome:
        """Reconcile a slice of partitions.

        1. With `collect`, drop the rows of chunks that nothing refers to; their shards are garbage from then on.
        2. Read the versions, list every server, then read what the metadata expects (rules 6 and 7).
        3. Put what a server of the newest row lacks: adopted where it has the bytes, else copied from a good shard.
        4. Swap *synced* for each partition in which nothing was left out and no version moved.
        5. Delete, of that very listing, names whose chunk has no row, and, once *synced* is committed, names that the
           row does not promise.

        Returns:
            what was done, and what stands in the way.

        Raises:
            Paused: nothing more may be moved now. What was done is kept and counted; the rest is as it was.
            MetadataUnavailable: nothing of it is half done; a retry can help.
        """
        outcome = Outcome()
        if collect:
            await self._collect(where)
        findings = await survey(self._metadata, self._topology.present, self._fleet, where)
        try:
            await self._settle(findings, where, verify, outcome)
        except Paused:
            await self._record(findings, where, outcome)
            raise
        outcome.bad = self._still_bad(findings)
        proved = findings.states.keys() - outcome.blocked.keys() - outcome.bad if verify is Verify.ALL else ()
        await self._record(findings, where, outcome, scrubbed=sorted(proved))
        return outcome

    async def _collect(self, where: Slice) -> None:
        """Delete rows without references, in one statement that the database refuses where there is one (rule 5)."""
        topology = self._topology.present
        start, stop = where.digests(topology)
        async with self._metadata.unit_of_work(frees=True) as uow:
            is_newest = await uow.rings.head(lock=True) == topology.epoch
            dropped = await uow.chunks.delete_unreferenced(where.policy, start, stop)
            if dropped:
                if is_newest:  # else partitions may be numbered otherwise, and are all looked at under the newer ring
                    ring = topology.ring(where.policy)
                    await uow.partitions.raise_versions(where.policy, [ring.partition_of(c.digest) for c in dropped])
                size_bytes = sum(chunk.size_bytes for chunk in dropped)
                await uow.counters.add(
                    {Counter.CHUNKS_COLLECTED: len(dropped), Counter.CHUNKS_COLLECTED_BYTES: size_bytes}
                )
                await uow.commit()
        if dropped:
            log.info("collected %d chunks without references", len(dropped))

    async def _settle(self, findings: Findings, where: Slice, verify: Verify, outcome: Outcome) -> None:
        outcome.blocked.update((p, f"unreachable: {server}") for p, server in findings.unprovable.items())
        self._verified.follow(where.policy, findings.topology.ring(where.policy).partitions)
        cases = self._cases(findings, where, verify)
        for case in cases:
            for shard in case.suspect:
                self._note_fault(shard, outcome, corrupt=True)
            for shard in case.gone:
                self._note_fault(shard, outcome, corrupt=False, move=findings.is_move(shard))
        await self._note_defects(findings, where, [s for case in cases for s in case.suspect + case.gone], outcome)
        self._note_lacking(findings, where, cases)
        if not await self._mend(findings, where, cases, outcome):
            return
        # What a server that is away keeps from being proved is noted all the same, or it would be read at every retry.
        self._verified.note(where.policy, findings.expected, but=outcome.unverified)
        self._note_lost(findings, where, outcome)
        swapped = await self._swap(findings, where, outcome)
        await self._delete(findings, swapped, outcome)

    def _cases(self, findings: Findings, where: Slice, verify: Verify) -> list[Case]:
        """Join, by chunk, the expected shards that are missing, bad or to be read; those with fewest copies first."""
        others: defaultdict[str, defaultdict[int, list[ShardEntry]]] = defaultdict(lambda: defaultdict(list))
        # A copy that is to go may be the last good one: those that stay are read before (copy, verify, switch, delete).
        losing_a_copy = set()
        for partition, entries in findings.misplaced.items():
            for server, entry in entries:
                others[entry.name.chunk][server].append(entry)
                if partition not in findings.unprovable:
                    losing_a_copy.add(entry.name.chunk)
        cases: dict[str, Case] = {}
        for shard in findings.expected:
            state, chunk, present = findings.states[shard.partition], shard.chunk, shard.entry
            case = cases.get(chunk.id) or Case(chunk, shard.partition, others=others.get(chunk.id) or {})
            if present is None:
                case.gone.append(shard)
            elif not self._repairer.has_right_size(shard, present):
                case.suspect.append(shard)
            elif (
                verify is Verify.ALL
                or shard.chunk.id in losing_a_copy
                or shard.name in self._bad
                or self._verified.is_due(state, shard.seat.server, present)
            ):
                case.look.append(shard)
            else:
                continue
            cases[chunk.id] = case
        for case in cases.values():
            case.scrub = not (case.gone or case.suspect or case.chunk.id in losing_a_copy)
        self._forget_unpromised(findings, where)
        return sorted(cases.values(), key=lambda case: (case.scrub, -len(case.gone) - len(case.suspect)))

    def _still_bad(self, findings: Findings) -> set[int]:
        """Return the partitions of which shards are there and bad, which their size and time of change may not show."""
        return {shard.partition for shard in findings.expected if shard.entry is not None and shard.name in self._bad}

    def _forget_unpromised(self, findings: Findings, where: Slice) -> None:
        ring, promised = findings.topology.ring(where.policy), {shard.name for shard in findings.expected}
        self._bad -= {
            name
            for name in self._bad - promised
            if name.policy == where.policy and ring.partition_of(name.digest) in findings.states
        }

    def _note_fault(self, shard: Expected, outcome: Outcome, *, corrupt: bool, move: bool = False) -> None:
        """Keep a bad shard in mind until it is put, and count it once: fetching for it meets it once more."""
        if shard.name in self._bad:
            return
        self._bad.add(shard.name)
        if corrupt:
            outcome.counts[Counter.SHARDS_CORRUPT] += 1
            outcome.corrupt.setdefault(shard.seat.server, []).append(shard.name)
        elif not move:
            outcome.counts[Counter.SHARDS_MISSING] += 1

    async def _note_defects(self, findings: Findings, where: Slice, faults: list[Expected], outcome: Outcome) -> None:
        """Unsettle partitions that were called clean and are not, and have them looked at again (rule 7)."""
        defects = {
            shard.partition
            for shard in faults
            if shard.chunk.id not in self.lost and findings.is_clean(shard.partition)
        } - outcome.defects
        if not defects:
            return
        outcome.defects |= defects
        async with self._metadata.unit_of_work() as uow:
            is_newest = await uow.rings.head(lock=True) == findings.topology.epoch
            if is_newest:
                await uow.partitions.raise_versions(where.policy, sorted(defects))
                await uow.commit()
        if is_newest:
            self._attention.add(where.policy, defects, Need())
        else:  # the partitions may be numbered otherwise by now
            ring = (await self._topology.refresh()).ring(where.policy)
            renumbered = {ring.partition_of(shard.chunk.digest) for shard in faults if shard.partition in defects}
            self._attention.add(where.policy, renumbered, Need(unsettled=True))

    def _note_lacking(self, findings: Findings, where: Slice, cases: list[Case]) -> None:
        """Have progress know what is really lacking, in the place of what the rings let expect."""
        lacking = dict.fromkeys(findings.states, 0)
        for case in cases:
            lacking[case.partition] += sum(self._repairer.size_bytes(shard) for shard in case.gone + case.suspect)
        self._progress.lacking(where.policy, lacking, at_least=findings.unprovable)

    async def _mend(self, findings: Findings, where: Slice, cases: list[Case], outcome: Outcome) -> bool:
        async def found(shard: Expected, state: ShardState) -> None:
            self._note_fault(shard, outcome, corrupt=state is ShardState.CORRUPT)
            self._progress.lacking_too(where.policy, shard.partition, self._repairer.size_bytes(shard))
            await self._note_defects(findings, where, [shard], outcome)

        try:
            return await self._mender.mend(
                cases,
                outcome,
                is_move=findings.is_move,
                found=found,
                wanted=lambda: self._topology.present.epoch == findings.topology.epoch,
            )
        finally:
            self._bad -= outcome.proved

    def _note_lost(self, findings: Findings, where: Slice, outcome: Outcome) -> None:
        """Keep the list of chunks that are nowhere: they leave the set that *synced* waits for, and stay an alert.

        A chunk leaves the list when it is purged, or when enough of its shards were seen to be good. That some server
        does not answer now, so that nothing can be said of the chunk, is no reason.
        """
        topology = findings.topology
        ring, needed = topology.ring(where.policy), topology.redundancy(where.policy).needed
        good: defaultdict[str, set[int]] = defaultdict(set)
        for shard in findings.expected:
            if shard.chunk.id in self.lost and shard.name not in self._bad:
                good[shard.chunk.id].add(shard.seat.slot)
        for chunk in list(self.lost.values()):
            if chunk.policy != where.policy or ring.partition_of(chunk.digest) not in findings.states:
                continue
            if chunk.id not in findings.live:
                del self.lost[chunk.id]
            elif len(good[chunk.id]) >= needed:
                del self.lost[chunk.id]
                outcome.found_again.append(chunk)
        outcome.newly_lost = [chunk for chunk in outcome.lost.values() if chunk.id not in self.lost]
        self.lost.update(outcome.lost)

    async def _swap(self, findings: Findings, where: Slice, outcome: Outcome) -> frozenset[int]:
        """Record what is proved; return the partitions for which it was (rules 3, 7 and 11)."""
        epoch = findings.topology.epoch
        proved = {
            state.index: state.version
            for state in findings.states.values()
            if state.index not in outcome.blocked
            and state.index not in outcome.defects
            and (not findings.is_clean(state.index) or state.index in findings.misplaced)
        }
        if not proved:
            return frozenset()
        async with self._metadata.unit_of_work() as uow:
            if await uow.rings.head(lock=True) != epoch:
                await self._topology.refresh()
                return frozenset()
            swapped = await uow.partitions.swap_synced(where.policy, proved, epoch=epoch)
            await uow.commit()
        self._topology.note_synced(where.policy, sorted(swapped), epoch)
        return swapped

    async def _delete(self, findings: Findings, swapped: frozenset[int], outcome: Outcome) -> None:
        doomed: defaultdict[int, list[ShardEntry]] = defaultdict(list)
        for server, entries in findings.garbage.items():
            doomed[server].extend(entries)
        for partition in swapped:
            for server, entry in findings.misplaced.get(partition, ()):
                if entry.name.chunk not in self.lost:  # a bad copy may be all that is left to an operator
                    doomed[server].append(entry)
        if not doomed:
            return
        misplaced = {entry.name.chunk for entries in findings.misplaced.values() for _, entry in entries}

        def freed(server: int, entry: ShardEntry) -> None:
            outcome.freed.add((server, entry.name))
            if entry.name.chunk in misplaced:
                outcome.counts[Counter.MISPLACED_SHARDS_FREED] += 1
                outcome.counts[Counter.MISPLACED_FREED_BYTES] += entry.size_bytes
            else:
                outcome.counts[Counter.GARBAGE_SHARDS_FREED] += 1
                outcome.counts[Counter.GARBAGE_FREED_BYTES] += entry.size_bytes

        await self.deletes.delete(doomed, freed)

    async def _record(
        self, findings: Findings, where: Slice, outcome: Outcome, *, scrubbed: Sequence[int] = ()
    ) -> None:
        """Write down what was done and found, in one transaction for the whole slice."""
        self._note_garbage(findings, where, outcome)
        if outcome.moved_bytes:
            outcome.counts[Counter.MOVING_SECONDS] += self._progress.take_moving_seconds()
        # After a restart only a scrub finds them again: what is bad must not count as scrubbed until then.
        unscrubbed = sorted(index for index in outcome.bad if findings.states[index].scrubbed_at is not None)
        if not (outcome.counts.total() or outcome.found_again or outcome.newly_lost or scrubbed or unscrubbed):
            return
        async with self._progress.recording:
            async with self._metadata.unit_of_work(frees=outcome.freed_bytes > 0) as uow:
                is_newest = await uow.rings.head(lock=True) == findings.topology.epoch  # or they are numbered anew
                now = await uow.now()
                await uow.counters.add(outcome.counts)
                for event in outcome.events(now, {m.server.number: m.server.name for m in self._fleet}):
                    await uow.events.add(event)
                if scrubbed and is_newest:
                    await uow.partitions.set_scrubbed(where.policy, scrubbed, at=now)
                if unscrubbed and is_newest:
                    await uow.partitions.set_scrubbed(where.policy, unscrubbed, at=None)
                await uow.commit()
            self._progress.recorded(outcome.moved_bytes)

    def _note_garbage(self, findings: Findings, where: Slice, outcome: Outcome) -> None:
        ring = findings.topology.ring(where.policy)
        left: defaultdict[int, int] = defaultdict(int)
        for server, entries in findings.garbage.items():
            for entry in entries:
                if (server, entry.name) not in outcome.freed:
                    left[ring.partition_of(entry.name.digest)] += entry.size_bytes
        self._progress.note_garbage(where.policy, where.start, where.stop, left)
