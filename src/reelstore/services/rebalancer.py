"""What to reconcile next.

`step` does one bounded piece of work and is all that the background calls: noted needs first, then partitions that
are not proved, then one slice of the survey that sees everything again, then one slice of the scrub. Several steps may
run at the same time, each in a block of partitions of its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from reelstore.chunkstore.fleet import Fleet
from reelstore.chunkstore.topology import TopologyCache
from reelstore.domain.wording import count
from reelstore.repositories.interface import Metadata
from reelstore.services.attention import Attention, Need, Partition
from reelstore.services.control import Control, Paused
from reelstore.services.journal import Journal
from reelstore.services.leases import BlockLeases, block_of
from reelstore.services.moves import Moves
from reelstore.services.ordering import by_urgency, slices
from reelstore.services.outcome import Outcome
from reelstore.services.progress import Progress
from reelstore.services.rebalance import Reconciler, Verify
from reelstore.services.rebalance_status import RebalanceState, RebalanceStatus
from reelstore.services.survey import Slice, partitions_at_once

__all__ = ["RebalanceState", "RebalanceStatus", "Rebalancer", "Schedule"]

SLICE_PARTITIONS_MAX = 256
SLICE_CHUNKS = 4_000
"""A step must be short: what is more urgent waits for its end, and what is compared in it blocks others."""
SLICE_MOVED_BYTES = 512 * 1024 * 1024
"""What is moved in one step: both copies are there until its end."""
SCRUB_PARTITIONS = 64
SCRUB_CHUNKS = 256
FAIR_STEPS = 10
"""Every so many steps survey and scrub go first: urgent work that never ends must not keep them from seeing all."""
BLOCKED_RETRY_SECONDS = 5.0
SURVEY_DUTY = 20
"""A survey pass is begun at most every so many times as long as the last one took."""
COLLECT_SECONDS = 3600.0
"""How often a survey pass drops rows without references too: what a process that died in between could not note."""
SCRUB_LOOK_SECONDS = 60.0
"""How often to look for partitions that are due, once there were none."""
REASONS_MAX = 20


@dataclass(slots=True)
class _Sweep:
    """One time through what is not proved; a retry takes what was blocked too."""

    waiting: deque[Slice] = field(default_factory=deque)
    under_way: int = 0
    epoch: int = 0
    began: float = 0.0
    retry: bool = False


@dataclass(slots=True)
class _Pass:
    """A survey pass under way."""

    waiting: deque[Slice]
    collect: bool
    partitions: int
    worked_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the background looks at what.

    Args:
        survey_seconds: how long a survey pass is begun after the last one ended, at least.
        scrub_seconds: within which every shard is read again.
    """

    survey_seconds: float = 15.0
    scrub_seconds: float = 7 * 86_400.0


@dataclass(slots=True)
class Rebalancer:
    """Drive a `Reconciler`, beside those of other processes: what one of them works on is passed over by the others.

    One that does not work, in a gateway that leaves this to others, only says how far they are.
    """

    metadata: Metadata
    topology: TopologyCache
    fleet: Fleet
    reconciler: Reconciler
    attention: Attention
    schedule: Schedule
    control: Control
    moves: Moves
    leases: BlockLeases
    progress: Progress
    journal: Journal
    works: bool = True
    _steps: int = 0
    _blocked: dict[Partition, str] = field(default_factory=dict)
    _scrub_again_at: dict[Partition, float] = field(default_factory=dict)  # where shards stay bad: it never counts
    _sweep: _Sweep = field(default_factory=_Sweep)
    _retry_at: float = 0.0
    _pass: _Pass | None = None
    _next_pass_at: float = 0.0
    _passes: int = 0
    _collect_at: float = float("-inf")
    _scrub_at: float = 0.0
    _choosing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def step(self) -> bool:
        """Do the most urgent piece of work; return whether there was any that may be done now.

        Raises:
            MetadataUnavailable: a retry can help; needs that were taken are noted again.
        """
        try:
            await self.control.check()
            worked = await self._work()
        except Paused:
            self.attention.wake.clear()  # what was noted waits too
            worked = False
        if not worked:
            await self.leases.rest()
        return worked

    async def _work(self) -> bool:
        self._steps += 1
        if self._steps % FAIR_STEPS == 0 and (await self._survey() or await self._scrub()):
            return True
        return await self._needs() or await self._unproved() or await self._survey() or await self._scrub()

    # ------------------------------------------------------------------ the kinds of work, most urgent first

    async def _needs(self) -> bool:
        needs = self.attention.take()
        try:
            worked = False
            for need in set(needs.values()):
                partitions = [partition for partition, present in needs.items() if present == need]
                for where in slices(partitions, SLICE_PARTITIONS_MAX):
                    if await self._meet(where, need):
                        worked = True
                        for index in range(where.start, where.stop):
                            del needs[where.policy, index]
            return worked
        finally:  # what failed, was paused or is under way elsewhere is noted again, and wakes nobody
            self.attention.put_back(needs)

    async def _meet(self, where: Slice, need: Need) -> bool:
        async with self.leases.holding(where) as held:
            if held:
                if need.unsettled:
                    async with self.metadata.unit_of_work() as uow:
                        if await uow.rings.head(lock=True) != self.topology.present.epoch:
                            return False  # the partitions may be numbered otherwise; whoever goes on follows first
                        await uow.partitions.raise_versions(where.policy, range(where.start, where.stop))
                        await uow.commit()
                verify = Verify.ALL if need.verify else Verify.CHANGED
                await self._reconcile(where, verify, collect=need.collect)
            return held

    async def _unproved(self) -> bool:
        async with self._next_unproved() as where:
            if where is None:
                return False
            await self._reconcile(where, Verify.CHANGED)
            return True

    @asynccontextmanager
    async def _next_unproved(self) -> AsyncIterator[Slice | None]:
        """Give the first slice of the sweep whose block is free, and hold its lease meanwhile."""
        async with self._choosing:
            if self._sweep.epoch != self.topology.present.epoch:
                self._sweep.waiting.clear()  # another ring asks for other things, and may number them anew
            if not self._sweep.waiting and not self._sweep.under_way:
                self._sweep = await self._next_sweep()
            sweep = self._sweep
        while (where := next((each for each in sweep.waiting if not self.leases.is_busy(each)), None)) is not None:
            async with self.leases.holding(where) as held:
                if not held:  # another process works there; what it leaves comes with the next sweep
                    passed = block_of(where)
                    sweep.waiting = deque(each for each in sweep.waiting if block_of(each) != passed)
                    continue
                if where not in sweep.waiting:  # another ring began while the lease was taken
                    continue
                sweep.waiting.remove(where)
                sweep.under_way += 1
                try:
                    yield where
                finally:
                    sweep.under_way -= 1
                return
        yield None

    async def _next_sweep(self) -> _Sweep:
        began = self.progress.clock()
        if self._sweep.retry:  # half of the time is left to what is less urgent, however long a retry takes
            self._retry_at = began + max(BLOCKED_RETRY_SECONDS, began - self._sweep.began)
        retry = began >= self._retry_at
        unproved = await self._list_unproved(refresh=True)
        await self._tell(unproved)
        due = [partition for partition in unproved if retry or partition not in self._blocked]
        up = {member.server.number for member in self.fleet if member.is_up}
        urgent, others = by_urgency(self.topology.present, due, up)
        waiting = deque(slices(urgent, SLICE_PARTITIONS_MAX))
        waiting += slices(others, SLICE_PARTITIONS_MAX, size_of=self.progress.left_in, bytes_max=SLICE_MOVED_BYTES)
        return _Sweep(waiting, epoch=self.topology.present.epoch, began=began, retry=retry and bool(due))

    async def _tell(self, unproved: list[Partition]) -> None:
        """Have the journal say what begins, cannot go on, or is done."""
        topology, amounts = self.topology.present, await self.progress.amounts(unproved)
        if not unproved:
            await self.journal.finished(topology.epoch)
            return
        moving = sum(int(topology.synced[policy][index]) != topology.epoch for policy, index in unproved)
        if moving:
            await self.journal.started(topology.epoch, partitions=moving, size_bytes=amounts.left_bytes)
        reasons = self._reasons(unproved)
        if self._is_blocked(unproved, reasons):
            await self.journal.blocked(topology.epoch, reasons)

    async def _survey(self) -> bool:
        if self._looking.locked():
            return False
        async with self._looking:
            began = self.progress.clock()
            partitions = self._count_partitions()
            if self._pass is None or self._pass.partitions != partitions:  # after a split, they are numbered anew
                if began < self._next_pass_at:
                    return False
                collect = began >= self._collect_at
                if collect:
                    self._collect_at = began + COLLECT_SECONDS
                self._pass = _Pass(deque(await self._all_slices()), collect, partitions)
            surveyed = await self._survey_one(self._pass)
            if not self._pass.waiting:
                rest = max(self.schedule.survey_seconds, self._pass.worked_seconds * (SURVEY_DUTY - 1))
                self._next_pass_at = self.progress.clock() + rest
                self._pass = None
                self._passes += 1
            return surveyed

    async def _survey_one(self, present: _Pass) -> bool:
        """Survey the first slice that nobody works on; return whether there was one."""
        for where in tuple(present.waiting):
            async with self.leases.holding(where) as held:
                if held:
                    began = self.progress.clock()
                    outcome = await self._reconcile(where, Verify.CHANGED, collect=present.collect)
                    present.waiting.remove(where)
                    if not outcome.verified:  # reading keeps to a pace of its own
                        present.worked_seconds += self.progress.clock() - began
                    return True
        return False

    async def _scrub(self) -> bool:
        if self._looking.locked() or self.progress.clock() < self._scrub_at:
            return False
        async with self._looking:
            due = await self._due_for_scrub()
            for where in due:
                async with self.leases.holding(where) as held:
                    if held:
                        outcome = await self._reconcile(where, Verify.ALL, collect=True)
                        again_at = self.progress.clock() + self.schedule.scrub_seconds
                        self._scrub_again_at.update(((where.policy, index), again_at) for index in outcome.bad)
                        return True
            if not due:
                self._scrub_at = self.progress.clock() + SCRUB_LOOK_SECONDS
            return False

    async def _due_for_scrub(self) -> list[Slice]:
        """Return slices of the partitions that were not read for longest, of the first policy that has any."""
        async with self.metadata.snapshot() as view:
            before = await view.now() - timedelta(seconds=self.schedule.scrub_seconds)
            now = self.progress.clock()
            chunks = (await view.videos.totals()).chunks
            for policy in self.topology.present.policies:
                states = await view.partitions.list(policy)
                due = [(policy, s.index) for s in states if s.scrubbed_at is None or s.scrubbed_at < before]
                due = [partition for partition in due if partition not in self._blocked]
                due = [partition for partition in due if self._scrub_again_at.get(partition, 0.0) <= now]
                if due:
                    size = partitions_at_once(
                        len(states), chunks, partitions_max=SCRUB_PARTITIONS, chunks_max=SCRUB_CHUNKS
                    )
                    return list(slices(due, size))
        return []

    async def _reconcile(self, where: Slice, verify: Verify, *, collect: bool = False) -> Outcome:
        outcome = await self.reconciler.reconcile(where, verify=verify, collect=collect)
        for partition in range(where.start, where.stop):
            self._blocked.pop((where.policy, partition), None)
        self._blocked.update(((where.policy, partition), why) for partition, why in outcome.blocked.items())
        return outcome

    # ------------------------------------------------------------------ what there is to do, and how far it is

    async def _list_unproved(self, *, refresh: bool = False) -> list[Partition]:
        async with self.metadata.snapshot() as view:
            if refresh and await view.rings.head() != self.topology.present.epoch:
                await self.topology.refresh()
            topology = self.topology.present
            return [
                (policy, index)
                for policy in topology.policies
                for index in await view.partitions.unsettled(policy, epoch=topology.epoch)
            ]

    def _count_partitions(self) -> int:
        topology = self.topology.present
        return sum(topology.ring(policy).partitions for policy in topology.policies)

    async def _all_slices(self) -> list[Slice]:
        async with self.metadata.snapshot() as view:
            chunks = (await view.videos.totals()).chunks
        topology, found = self.topology.present, list[Slice]()
        for policy in topology.policies:
            partitions = topology.ring(policy).partitions
            size = partitions_at_once(partitions, chunks, partitions_max=SLICE_PARTITIONS_MAX, chunks_max=SLICE_CHUNKS)
            found += slices(((policy, index) for index in range(partitions)), size)
        return found

    async def status(self) -> RebalanceStatus:
        """Say how far reconciling has come.

        Raises:
            MetadataUnavailable: a retry can help.
        """
        control = await self.control.read()
        unproved = await self._list_unproved(refresh=True)
        topology = self.topology.present
        amounts = await self.progress.amounts(unproved)
        reasons = self._reasons(unproved)
        if control.paused:
            state = RebalanceState.PAUSED
            since = await self.control.paused_since()
            reasons = (f"paused{f' since {since:%Y-%m-%d %H:%M:%S} UTC' if since else ''}", *reasons)
        elif self._is_blocked(unproved, reasons):
            state = RebalanceState.BLOCKED
        elif unproved:
            state = RebalanceState.RUNNING
        elif self.works and not await self._knows_what_is_lost():
            state = RebalanceState.RUNNING
            reasons = ("everything is listed once, to know whether a chunk is lost", *reasons)
        else:
            state = RebalanceState.IDLE
        total = self._count_partitions()
        rate, limit = 0.0 if control.paused else amounts.rate_bytes_per_second, control.bytes_per_second
        expected_rate = rate if limit is None else min(rate, limit)
        return RebalanceStatus(
            state=state,
            reasons=reasons,
            epoch=topology.epoch,
            partitions_total=total,
            partitions_done=total - len(unproved),
            bytes_total=amounts.total_bytes,
            bytes_moved=amounts.moved_bytes,
            rate_bytes_per_second=rate,
            eta_seconds=amounts.left_bytes / expected_rate
            if expected_rate and state is RebalanceState.RUNNING
            else None,
            garbage_bytes=self.progress.garbage_bytes,
            paused=control.paused,
            bytes_per_second=control.bytes_per_second,
            concurrency=control.concurrency,
            workers=self.control.workers,
        )

    async def _knows_what_is_lost(self) -> bool:
        """Return whether this process has listed everything once, or there is nothing yet that can be lost."""
        if self._passes:
            return True
        async with self.metadata.snapshot() as view:
            return not (await view.videos.totals()).chunks

    def _is_blocked(self, unproved: Iterable[Partition], reasons: tuple[str, ...]) -> bool:
        return bool(reasons) and all(partition in self._blocked for partition in unproved)

    def _reasons(self, unproved: Iterable[Partition]) -> tuple[str, ...]:
        reasons = dict.fromkeys(self._blocked[partition] for partition in unproved if partition in self._blocked)
        if self.reconciler.lost:
            reasons[f"lost: {count(len(self.reconciler.lost), 'chunk')} on no server"] = None
        if self.reconciler.deletes.stopped_because:
            reasons[f"deletes are stopped: {self.reconciler.deletes.stopped_because}"] = None
        return tuple(reasons)[:REASONS_MAX]
