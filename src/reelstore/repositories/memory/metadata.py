"""Units of work over the dictionary: one writer at a time, snapshots of what is committed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self, TypeVar

from reelstore.domain.errors import IntegrityViolation
from reelstore.repositories.interface import UnitOfWork
from reelstore.repositories.memory.chunks import InMemoryChunks
from reelstore.repositories.memory.cluster import InMemoryCluster, InMemoryIdempotency
from reelstore.repositories.memory.files import InMemoryFiles
from reelstore.repositories.memory.history import InMemoryEvents, InMemoryPlans
from reelstore.repositories.memory.operations import (
    InMemoryControl,
    InMemoryCounters,
    InMemoryLeases,
    InMemoryNeeds,
    InMemoryUsage,
)
from reelstore.repositories.memory.tables import Tables
from reelstore.repositories.memory.topology import (
    InMemoryPartitions,
    InMemoryPolicies,
    InMemoryRings,
    InMemoryServers,
)
from reelstore.repositories.memory.transfers import InMemoryTransfers
from reelstore.repositories.memory.videos import InMemoryVideos

Clock = Callable[[], datetime]
T = TypeVar("T")


def _utc_now() -> datetime:
    return datetime.now(UTC)


class InMemoryMetadata:
    """Keep everything in dictionaries: the reference that SQL is held to. Gone with the process.

    See `Metadata`. Never raises `MetadataUnavailable`.

    Args:
        clock: what `UnitOfWork.now` returns, in UTC.
    """

    def __init__(self, *, clock: Clock = _utc_now) -> None:
        self._tables = Tables()
        self._writer = asyncio.Lock()
        self._clock = clock

    def unit_of_work(self, *, frees: bool = False) -> InMemoryWriter:
        """See `Metadata.unit_of_work`. There is no volume that could be full."""
        del frees
        return InMemoryWriter(self._tables, self._writer, self._clock)

    async def transact(self, work: Callable[[UnitOfWork], Awaitable[T]], *, frees: bool = False) -> T:
        """See `Metadata.transact`."""
        async with self.unit_of_work(frees=frees) as uow:
            result = await work(uow)
            await uow.commit()
        return result

    def snapshot(self) -> InMemorySnapshot:
        """See `Metadata.snapshot`."""
        return InMemorySnapshot(self._tables, self._clock)

    async def close(self) -> None:
        """See `Metadata.close`. There is nothing to close."""


class _InMemoryUnit:
    """Offer the repositories over some tables."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._active = False

    def _begin(self, tables: Tables, *, writable: bool) -> None:
        self._videos = InMemoryVideos(tables)
        self._files = InMemoryFiles(tables, writable=writable)
        self._chunks = InMemoryChunks(tables)
        self._servers = InMemoryServers(tables)
        self._policies = InMemoryPolicies(tables)
        self._rings = InMemoryRings(tables, writable=writable)
        self._partitions = InMemoryPartitions(tables)
        self._cluster = InMemoryCluster(tables)
        self._idempotency = InMemoryIdempotency(tables)
        self._transfers = InMemoryTransfers(tables)
        self._leases = InMemoryLeases(tables)
        self._needs = InMemoryNeeds(tables)
        self._control = InMemoryControl(tables)
        self._events = InMemoryEvents(tables)
        self._plans = InMemoryPlans(tables)
        self._counters = InMemoryCounters(tables)
        self._usage = InMemoryUsage(tables)
        self._active = True

    def _check_active(self) -> None:
        if not self._active:
            raise RuntimeError("this unit of work has not begun, or has ended")

    @property
    def videos(self) -> InMemoryVideos:
        """See `UnitOfWork.videos`."""
        self._check_active()
        return self._videos

    @property
    def files(self) -> InMemoryFiles:
        """See `UnitOfWork.files`."""
        self._check_active()
        return self._files

    @property
    def chunks(self) -> InMemoryChunks:
        """See `UnitOfWork.chunks`."""
        self._check_active()
        return self._chunks

    @property
    def servers(self) -> InMemoryServers:
        """See `UnitOfWork.servers`."""
        self._check_active()
        return self._servers

    @property
    def policies(self) -> InMemoryPolicies:
        """See `UnitOfWork.policies`."""
        self._check_active()
        return self._policies

    @property
    def rings(self) -> InMemoryRings:
        """See `UnitOfWork.rings`."""
        self._check_active()
        return self._rings

    @property
    def partitions(self) -> InMemoryPartitions:
        """See `UnitOfWork.partitions`."""
        self._check_active()
        return self._partitions

    @property
    def cluster(self) -> InMemoryCluster:
        """See `UnitOfWork.cluster`."""
        self._check_active()
        return self._cluster

    @property
    def idempotency(self) -> InMemoryIdempotency:
        """See `UnitOfWork.idempotency`."""
        self._check_active()
        return self._idempotency

    @property
    def transfers(self) -> InMemoryTransfers:
        """See `UnitOfWork.transfers`."""
        self._check_active()
        return self._transfers

    @property
    def leases(self) -> InMemoryLeases:
        """See `UnitOfWork.leases`."""
        self._check_active()
        return self._leases

    @property
    def needs(self) -> InMemoryNeeds:
        """See `UnitOfWork.needs`."""
        self._check_active()
        return self._needs

    @property
    def control(self) -> InMemoryControl:
        """See `UnitOfWork.control`."""
        self._check_active()
        return self._control

    @property
    def events(self) -> InMemoryEvents:
        """See `UnitOfWork.events`."""
        self._check_active()
        return self._events

    @property
    def plans(self) -> InMemoryPlans:
        """See `UnitOfWork.plans`."""
        self._check_active()
        return self._plans

    @property
    def counters(self) -> InMemoryCounters:
        """See `UnitOfWork.counters`."""
        self._check_active()
        return self._counters

    @property
    def usage(self) -> InMemoryUsage:
        """See `UnitOfWork.usage`."""
        self._check_active()
        return self._usage

    async def now(self) -> datetime:
        """See `UnitOfWork.now`."""
        self._check_active()
        return self._clock()


class InMemoryWriter(_InMemoryUnit):
    """Write alone. See `UnitOfWork`."""

    def __init__(self, tables: Tables, writer: asyncio.Lock, clock: Clock) -> None:
        super().__init__(clock)
        self._tables = tables
        self._writer = writer

    def _check_active(self) -> None:
        super()._check_active()
        if self._tables.violated is not None:
            raise IntegrityViolation("this unit of work has failed and can only be rolled back")

    async def __aenter__(self) -> Self:
        await self._writer.acquire()
        self._begin(self._tables, writable=True)
        return self

    async def commit(self) -> None:
        """See `UnitOfWork.commit`."""
        self._check_active()
        self._tables.commit()
        self._end()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._active:
            self._tables.roll_back()
            self._end()

    def _end(self) -> None:
        self._active = False
        self._writer.release()


class InMemorySnapshot(_InMemoryUnit):
    """Read what is committed, whatever is written meanwhile. See `UnitOfWork`."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        super().__init__(clock)
        self._tables = tables

    async def __aenter__(self) -> Self:
        self._view = self._tables.view()
        self._begin(self._view, writable=False)
        return self

    async def commit(self) -> None:
        """Refuse."""
        raise RuntimeError("a snapshot only reads")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._active = False
        self._tables.release(self._view)
