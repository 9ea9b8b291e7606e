"""The unit of work over all repositories, and who hands it out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self, TypeVar

from reelstore.repositories.interface.operations import (
    ControlRepository,
    CounterRepository,
    EventRepository,
    LeaseRepository,
    NeedRepository,
    PlanRepository,
    UsageRepository,
)
from reelstore.repositories.interface.topology import (
    ClusterRepository,
    PartitionRepository,
    PolicyRepository,
    RingRepository,
    ServerRepository,
)
from reelstore.repositories.interface.videos import (
    ChunkRepository,
    FileRepository,
    IdempotencyRepository,
    TransferRepository,
    VideoRepository,
)

T = TypeVar("T")


class UnitOfWork(Protocol):
    """One transaction over all repositories: rolled back unless committed."""

    @property
    def videos(self) -> VideoRepository:
        """Videos."""
        ...

    @property
    def files(self) -> FileRepository:
        """Files and their chunk maps."""
        ...

    @property
    def chunks(self) -> ChunkRepository:
        """The chunks' rows."""
        ...

    @property
    def servers(self) -> ServerRepository:
        """Registered servers."""
        ...

    @property
    def policies(self) -> PolicyRepository:
        """Policies."""
        ...

    @property
    def rings(self) -> RingRepository:
        """Ring sets and the ring head."""
        ...

    @property
    def partitions(self) -> PartitionRepository:
        """Partitions."""
        ...

    @property
    def cluster(self) -> ClusterRepository:
        """The cluster's own row."""
        ...

    @property
    def idempotency(self) -> IdempotencyRepository:
        """Known `Idempotency-Key`s."""
        ...

    @property
    def transfers(self) -> TransferRepository:
        """Videos on their way to another policy."""
        ...

    @property
    def leases(self) -> LeaseRepository:
        """Leases."""
        ...

    @property
    def needs(self) -> NeedRepository:
        """Needs that wait for a worker."""
        ...

    @property
    def control(self) -> ControlRepository:
        """How the background may move and mend data."""
        ...

    @property
    def events(self) -> EventRepository:
        """Events."""
        ...

    @property
    def plans(self) -> PlanRepository:
        """Plans of changes of the topology."""
        ...

    @property
    def counters(self) -> CounterRepository:
        """Counts that only grow."""
        ...

    @property
    def usage(self) -> UsageRepository:
        """Samples of how full servers were."""
        ...

    async def now(self) -> datetime:
        """Return the database's time in UTC: the only clock that decides anything (rule 13)."""
        ...

    async def commit(self) -> None:
        """Make everything durable, at once or not at all. Afterwards the unit must not be used."""
        ...

    async def __aenter__(self) -> Self:
        """Begin."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Roll back unless committed."""
        ...


class Metadata(Protocol):
    """Hand out units of work."""

    def unit_of_work(self, *, frees: bool = False) -> UnitOfWork:
        """Return a unit that may write, alone: it waits for every other writer, and they wait for it. Keep it short.

        Args:
            frees: it deletes more than it adds, and may use the room that is kept for that on a full volume.
        """
        ...

    async def transact(self, work: Callable[[UnitOfWork], Awaitable[T]], *, frees: bool = False) -> T:
        """Run `work` in a unit that may write, commit, and return what it returned; roll back if it raises.

        For what is done often: a database whose connection has a thread of its own runs all of it there at once, and
        one that can runs several side by side. No other unit of work writes meanwhile, but what is transacted may: it
        decides only by rows that it has locked, or that nobody changes. A cancelled call has committed, or not, when
        `CancelledError` is raised.

        Args:
            work: what to do, perhaps in another thread, and perhaps more than once: a try that lost against another
                one was rolled back. It waits for nothing but its unit, and does not commit.
            frees: see `unit_of_work`.
        """
        ...

    def snapshot(self) -> UnitOfWork:
        """Return a unit that only reads, a consistent view, without waiting for writers; it is never committed."""
        ...

    async def close(self) -> None:
        """Close all connections; calling it again is fine."""
        ...
