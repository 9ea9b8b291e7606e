"""Leases, limits, counts and samples of fill in memory. The methods promise what their ports say."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from reelstore.domain.counter import Counter
from reelstore.repositories.interface import Lease, Need, Partition, RebalanceControl, UsageSample
from reelstore.repositories.memory.tables import THE_ROW, Tables, adjust


class InMemoryLeases:
    """See `LeaseRepository`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def take(self, name: str, *, holder: str, now: datetime, term_seconds: float) -> bool:
        """See `LeaseRepository.take`."""
        known, term = self._tables.leases.get(name), timedelta(seconds=term_seconds)
        if known is not None and known.holder != holder and now < known.expires_at <= now + 2 * term:
            return False
        self._tables.leases.put(name, Lease(name, holder, now + term))
        return True

    async def release(self, name: str, *, holder: str) -> bool:
        """See `LeaseRepository.release`."""
        known = self._tables.leases.get(name)
        if known is None or known.holder != holder:
            return False
        self._tables.leases.drop(name)
        return True

    async def in_force(self, prefix: str, *, now: datetime) -> Sequence[Lease]:
        """See `LeaseRepository.in_force`."""
        leases = (lease for lease in self._tables.leases.values() if lease.name.startswith(prefix))
        return sorted((lease for lease in leases if lease.expires_at > now), key=lambda lease: lease.name)

    async def drop_ended(self, now: datetime) -> int:
        """See `LeaseRepository.drop_ended`."""
        ended = [lease.name for lease in self._tables.leases.values() if lease.expires_at <= now]
        for name in ended:
            self._tables.leases.drop(name)
        return len(ended)


class InMemoryNeeds:
    """See `NeedRepository`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, needs: Mapping[Partition, Need]) -> None:
        """See `NeedRepository.add`."""
        for partition, need in needs.items():
            self._tables.needs.put(partition, need | (self._tables.needs.get(partition) or Need()))

    async def list(self, *, limit: int) -> Mapping[Partition, Need]:
        """See `NeedRepository.list`."""
        return dict(sorted(self._tables.needs.items())[:limit])

    async def drop(self, partitions: Collection[Partition]) -> None:
        """See `NeedRepository.drop`."""
        for partition in partitions:
            if partition in self._tables.needs:
                self._tables.needs.drop(partition)


class InMemoryControl:
    """See `ControlRepository`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def get(self) -> RebalanceControl:
        """See `ControlRepository.get`."""
        return self._tables.control.get(THE_ROW) or RebalanceControl()

    async def set(self, control: RebalanceControl) -> None:
        """See `ControlRepository.set`."""
        self._tables.control.put(THE_ROW, control)


class InMemoryCounters:
    """See `CounterRepository`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, counts: Mapping[Counter, int]) -> None:
        """See `CounterRepository.add`."""
        for counter, count in counts.items():
            adjust(self._tables.counters, counter, count)

    async def get(self) -> Mapping[Counter, int]:
        """See `CounterRepository.get`."""
        return {counter: self._tables.counters.get(counter) or 0 for counter in Counter}


class InMemoryUsage:
    """See `UsageRepository`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, samples: Sequence[UsageSample]) -> None:
        """See `UsageRepository.add`."""
        for sample in samples:
            self._tables.usage_samples.put((sample.at, sample.server), sample)

    async def since(self, at: datetime) -> Sequence[UsageSample]:
        """See `UsageRepository.since`."""
        return [sample for (taken, _), sample in sorted(self._tables.usage_samples.items()) if taken >= at]

    async def drop_before(self, at: datetime) -> int:
        """See `UsageRepository.drop_before`."""
        old = [key for key in self._tables.usage_samples if key[0] < at]
        for key in old:
            self._tables.usage_samples.drop(key)
        return len(old)

    async def drop(self, moments: Sequence[datetime]) -> int:
        """See `UsageRepository.drop`."""
        wanted = set(moments)
        taken = [key for key in self._tables.usage_samples if key[0] in wanted]
        for key in taken:
            self._tables.usage_samples.drop(key)
        return len(taken)
