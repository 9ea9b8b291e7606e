"""Ports of what runs the cluster: leases, limits, events, plans, counts, samples of fill."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from reelstore.domain.counter import Counter
from reelstore.domain.event import Event, EventKind


@dataclass(frozen=True, slots=True)
class Lease:
    """Say who does something, and until when; it saves double work, and nothing is safe because of it."""

    name: str
    holder: str
    expires_at: datetime


Partition = tuple[str, int]
"""A policy, and the number of one of its partitions."""


@dataclass(frozen=True, slots=True)
class Need:
    """Why a partition is looked at.

    Args:
        verify: read and hash every expected shard, because a bad one was met.
        collect: drop chunks that nothing refers to any more.
        unsettled: its version must be raised first, because a defect was found.
    """

    verify: bool = False
    collect: bool = False
    unsettled: bool = False

    def __or__(self, other: Need) -> Need:
        """Join two needs."""
        return Need(self.verify or other.verify, self.collect or other.collect, self.unsettled or other.unsettled)


@dataclass(frozen=True, slots=True)
class RebalanceControl:
    """How the background may move and mend data; it holds for all workers at once.

    Args:
        paused: nothing is moved or mended.
        bytes_per_second: the most that all workers together move; None for no limit.
        concurrency: shards that are moved at once in the whole cluster; None for the default of each worker.
    """

    paused: bool = False
    bytes_per_second: int | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class KeptPlan:
    """A plan as it is kept: the document is the business of `services.planning`.

    Args:
        id: random.
        base_epoch: of the ring that it starts from.
        created_at: in UTC.
        document: JSON.
        applied_epoch: the epoch that it began, None while it is not applied.
    """

    id: str
    base_epoch: int
    created_at: datetime
    document: Mapping[str, object]
    applied_epoch: int | None = None


@dataclass(frozen=True, slots=True)
class UsageSample:
    """How full a server was at a time: bytes of shards, and its capacity."""

    server: str
    at: datetime
    used_bytes: int
    capacity_bytes: int


class LeaseRepository(Protocol):
    """Keep leases."""

    async def take(self, name: str, *, holder: str, now: datetime, term_seconds: float) -> bool:
        """Take or renew a lease until `now` plus the term; return whether the holder has it now.

        Another's lease is void once it has ended, and when it ends later than twice the term from now: then a clock
        has jumped (rule 13).
        """
        ...

    async def release(self, name: str, *, holder: str) -> bool:
        """Give a lease back; return whether the holder had it."""
        ...

    async def in_force(self, prefix: str, *, now: datetime) -> Sequence[Lease]:
        """Return the leases whose name begins like that and that have not ended, in order of name."""
        ...

    async def drop_ended(self, now: datetime) -> int:
        """Forget leases that ended before; return how many."""
        ...


class NeedRepository(Protocol):
    """Keep what gateways have met until a worker takes it over."""

    async def add(self, needs: Mapping[Partition, Need]) -> None:
        """Keep needs; each is joined with what is kept of its partition already."""
        ...

    async def list(self, *, limit: int) -> Mapping[Partition, Need]:
        """Return up to `limit`, in order of policy and partition."""
        ...

    async def drop(self, partitions: Collection[Partition]) -> None:
        """Forget those of these partitions."""
        ...


class ControlRepository(Protocol):
    """Keep the one row that steers the background."""

    async def get(self) -> RebalanceControl:
        """Return it; the default if it was never set."""
        ...

    async def set(self, control: RebalanceControl) -> None:
        """Replace it."""
        ...


class EventRepository(Protocol):
    """Keep events in the order in which they are committed."""

    async def add(self, event: Event) -> int:
        """Keep an event and return its id: larger by one than that of the event committed before."""
        ...

    async def after(self, event_id: int, *, limit: int) -> Sequence[Event]:
        """Return up to `limit` events with a larger id, in order."""
        ...

    async def latest(
        self, *, limit: int, before: int | None = None, subject: str | None = None, kinds: Sequence[EventKind] = ()
    ) -> Sequence[Event]:
        """Return up to `limit` events, the newest first.

        Args:
            limit: 1 or more.
            before: only events with a smaller id.
            subject: only events of this subject.
            kinds: only events of these kinds; all if empty.
        """
        ...

    async def last_id(self) -> int:
        """Return the id of the newest event, 0 if there never was one."""
        ...

    async def drop_before(self, at: datetime) -> int:
        """Forget events that happened before; return how many. Their ids are never used again."""
        ...


class PlanRepository(Protocol):
    """Keep plans."""

    async def add(self, plan: KeptPlan) -> None:
        """Keep a new plan; its id must be new."""
        ...

    async def get(self, plan_id: str) -> KeptPlan | None:
        """Return the plan or None."""
        ...

    async def mark_applied(self, plan_id: str, *, epoch: int) -> bool:
        """Record that the plan began an epoch, if it is there and not applied; return whether it was."""
        ...

    async def latest(self, *, limit: int) -> Sequence[KeptPlan]:
        """Return up to `limit` plans, the newest first."""
        ...

    async def drop_before(self, at: datetime) -> int:
        """Forget plans that were made before and not applied; return how many."""
        ...


class CounterRepository(Protocol):
    """Keep counts that only grow."""

    async def add(self, counts: Mapping[Counter, int]) -> None:
        """Add to these counts."""
        ...

    async def get(self) -> Mapping[Counter, int]:
        """Return every count; 0 where nothing was ever added."""
        ...


class UsageRepository(Protocol):
    """Keep samples of how full servers were."""

    async def add(self, samples: Sequence[UsageSample]) -> None:
        """Keep samples; one of the same server and time is replaced."""
        ...

    async def since(self, at: datetime) -> Sequence[UsageSample]:
        """Return the samples from then on, in order of time, then of server."""
        ...

    async def drop_before(self, at: datetime) -> int:
        """Forget older samples; return how many."""
        ...

    async def drop(self, moments: Sequence[datetime]) -> int:
        """Forget the samples of exactly these times; return how many."""
        ...
