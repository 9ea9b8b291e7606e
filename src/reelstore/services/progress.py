"""How far the present run of moving and mending has come, in bytes that are known and never guessed.

A run begins when something is not proved to lie where it should, and ends when everything is. What is left of it
follows from the metadata: for each partition the bytes of its chunks, for each slot of its newest row that is another
than in its synced row. A listing replaces that by what is really lacking.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelstore.chunkstore.topology import Topology, TopologyCache
from reelstore.placement.ring import VACANT
from reelstore.repositories.interface import Metadata, UnitOfWork
from reelstore.services.attention import Partition
from reelstore.services.outcome import MOVED

RATE_SECONDS = 30.0
"""Over how long the rate is measured."""
SAMPLE_SECONDS = 0.25

Sizes = dict[str, NDArray[np.int64]]
"""Bytes for each partition of each policy."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much there was to do in this run, what was done of it, and how fast."""

    total_bytes: int = 0
    moved_bytes: int = 0
    rate_bytes_per_second: float = 0.0

    @property
    def left_bytes(self) -> int:
        """Return what is still to be moved."""
        return self.total_bytes - self.moved_bytes


class Progress:
    """Keep account of one run after the other. What other processes moved counts once they have recorded it.

    Args:
        metadata: knows what is where, and what all workers have recorded.
        topology: the rings.
        clock: seconds, for rates.
    """

    def __init__(self, metadata: Metadata, topology: TopologyCache, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.recording = asyncio.Lock()
        """Held while what was moved goes from here to the metadata, so that nobody counts it twice meanwhile."""
        self._metadata = metadata
        self._topology = topology
        self._left: Sizes = {}
        self._garbage: Sizes = {}
        self._measured_epoch = 0
        self._running = False
        self._before_bytes = 0
        self._recorded_bytes = 0
        self._unrecorded_bytes = 0
        self._samples: deque[tuple[float, int]] = deque()
        self._moving = 0
        self._moving_since = 0.0
        self._moving_seconds = 0.0
        self._final = Amounts()

    # ------------------------------------------------------------------ what is told by whoever moves

    def lacking(self, policy: str, sizes: Mapping[int, int], *, at_least: Container[int]) -> None:
        """Note what a listing showed to be lacking in partitions; in some it may be more, as not all were listed."""
        left = self._of(self._left, policy)
        for partition, size_bytes in sizes.items():
            left[partition] = max(size_bytes, left[partition]) if partition in at_least else size_bytes

    def lacking_too(self, policy: str, partition: int, size_bytes: int) -> None:
        """Note that so much more is lacking than the listing showed."""
        self._of(self._left, policy)[partition] += size_bytes

    def moved(self, policy: str, partition: int, size_bytes: int) -> None:
        """Note that so much more is where it should be, durably."""
        left = self._of(self._left, policy)
        left[partition] = max(0, left[partition] - size_bytes)
        self._unrecorded_bytes += size_bytes
        self._sample()

    def recorded(self, size_bytes: int) -> None:
        """Note that so many of the moved bytes are in the metadata's counts from now on; `recording` is held."""
        self._unrecorded_bytes -= size_bytes
        self._recorded_bytes += size_bytes

    @contextmanager
    def moving(self) -> Iterator[None]:
        """Count the time of a block of code as one in which something is moved."""
        if not self._moving:
            self._moving_since = self.clock()
        self._moving += 1
        try:
            yield
        finally:
            self._moving -= 1
            if not self._moving:
                self._moving_seconds += self.clock() - self._moving_since

    def take_moving_seconds(self) -> int:
        """Return the whole seconds for which something was moved since the last call; the rest is kept for the next."""
        if self._moving:
            now = self.clock()
            self._moving_seconds += now - self._moving_since
            self._moving_since = now
        whole = int(self._moving_seconds)
        self._moving_seconds -= whole
        return whole

    def note_garbage(self, policy: str, start: int, stop: int, sizes: Mapping[int, int]) -> None:
        """Note what partitions `[start, stop)` still have of shards without a row."""
        garbage = self._of(self._garbage, policy)
        garbage[start:stop] = 0
        for partition, size_bytes in sizes.items():
            garbage[partition] = size_bytes

    # ------------------------------------------------------------------ what is asked

    @property
    def garbage_bytes(self) -> int:
        """Return the bytes of shards without a row that the last listings showed, and that are not deleted yet."""
        return sum(int(sizes.sum()) for sizes in self._garbage.values())

    def left_in(self, partition: Partition) -> int:
        """Return the bytes that are to be moved to the servers of a partition, as far as is known."""
        policy, index = partition
        return int(self._of(self._left, policy)[index])

    async def amounts(self, unproved: Iterable[Partition]) -> Amounts:
        """Tell how far the present run is, given what is not proved now; or the last one, when everything is.

        Raises:
            MetadataUnavailable: a retry can help.
        """
        unproved = list(unproved)
        async with self.recording:
            async with self._metadata.snapshot() as view:
                counts = await view.counters.get()
                if unproved and not (self._running and self._measured_epoch == self._topology.present.epoch):
                    await self._measure(view)
            self._recorded_bytes = sum(counts.get(each, 0) for each in MOVED)
        if unproved and not self._running:
            self._running = True
            self._before_bytes = self._recorded_bytes + self._unrecorded_bytes
            self._samples.clear()
        moved_bytes = self._sample()
        if not unproved:
            if self._running:
                self._running = False
                self._final = Amounts(moved_bytes, moved_bytes, 0.0)
            return self._final
        left_bytes = sum(self.left_in(partition) for partition in unproved)
        return Amounts(moved_bytes + left_bytes, moved_bytes, self._rate())

    def _sample(self) -> int:
        now, moved_bytes = self.clock(), self._recorded_bytes + self._unrecorded_bytes - self._before_bytes
        samples = self._samples
        if len(samples) > 1 and now - samples[-2][0] < SAMPLE_SECONDS:
            samples[-1] = (now, moved_bytes)
        else:
            samples.append((now, moved_bytes))
        while len(samples) > 2 and samples[1][0] <= now - RATE_SECONDS:
            samples.popleft()
        return moved_bytes

    def _rate(self) -> float:
        (began, moved_then), (_, moved_now) = self._samples[0], self._samples[-1]
        seconds = self.clock() - began
        return (moved_now - moved_then) / seconds if seconds > 0 else 0.0

    async def _measure(self, view: UnitOfWork) -> None:
        """Compute what the newest rings ask to be moved."""
        topology = self._topology.present
        for policy, ring in topology.newest.items():
            states = await view.partitions.list(policy)
            synced = np.array([state.synced_epoch for state in states], dtype=np.int64)
            slots = _slots_to_move(topology, policy, synced)
            if slots.any():
                sizes = np.array(await view.chunks.bytes_by_partition(policy, ring.partition_bits), dtype=np.int64)
                self._left[policy] = -(-sizes // topology.redundancy(policy).needed) * slots
            else:
                self._left[policy] = np.zeros(ring.partitions, dtype=np.int64)
        self._measured_epoch = topology.epoch

    def _of(self, sizes: Sizes, policy: str) -> NDArray[np.int64]:
        partitions = self._topology.present.ring(policy).partitions
        known = sizes.get(policy)
        if known is None or len(known) != partitions:
            known = sizes[policy] = np.zeros(partitions, dtype=np.int64)
        return known


def _slots_to_move(topology: Topology, policy: str, synced: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each partition how many slots of its newest row are others than in its synced row."""
    newest = topology.ring(policy)
    held = newest.slots != VACANT
    moved = np.zeros(newest.partitions, dtype=np.int64)
    for epoch in np.unique(synced[synced != topology.epoch]).tolist():
        older = topology.older.get(epoch)
        changed = held
        if older is not None and older.rings[policy].slots.shape == newest.slots.shape:
            was = older.rings[policy]
            changed = held & ((newest.slots != was.slots) | (newest.tenures != was.tenures))
        moved[synced == epoch] = changed.sum(axis=1)[synced == epoch]
    return moved
