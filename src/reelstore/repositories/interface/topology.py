"""Ports of the cluster's shape: its row, servers, policies, rings, partitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from reelstore.domain.policy import Policy
from reelstore.domain.server import Server
from reelstore.placement.ring import RingSet


@dataclass(frozen=True, slots=True)
class Cluster:
    """The one row that says which cluster this is.

    Args:
        id: random; written into every server's marker.
        generation: the identity of this metadata database over the servers' lifetime.
        delete_rounds: how many rounds of deletes were begun.
        default_policy: for videos stored without naming one.
        created_at: in UTC.
        home: where the database was when it was last accepted; see `ClusterRepository.whereabouts`. None until a
            worker notes it.
        deletes_stopped: why no shard may be deleted until an operator accepts (rule 12); None while all is well.
    """

    id: str
    generation: str
    delete_rounds: int
    default_policy: str
    created_at: datetime
    home: str | None = None
    deletes_stopped: str | None = None


@dataclass(frozen=True, slots=True)
class PartitionState:
    """How far one partition is proved to lie where it should.

    Args:
        policy: the policy's name.
        index: the partition, 0 to 2^partition_bits − 1.
        version: raised by anything unsettling.
        synced_epoch: the ring to which the partition was last proved.
        synced_version: the version at which it was; the partition is clean when it equals `version` and the epoch is
            the newest.
        scrubbed_at: when every expected shard was last read and verified; None if never.
    """

    policy: str
    index: int
    version: int
    synced_epoch: int
    synced_version: int
    scrubbed_at: datetime | None = None

    def is_synced_to(self, epoch: int) -> bool:
        """Return whether the partition is proved to lie as the ring of that epoch says, and nothing unsettled it."""
        return (self.synced_epoch, self.synced_version) == (epoch, self.version)


@dataclass(frozen=True, slots=True)
class ScrubTimes:
    """When a policy's partitions were last scrubbed.

    Args:
        partitions: how many there are.
        never: how many of them never were.
        due: how many were before the time asked about, or never.
        oldest: the earliest time of those that ever were; None if none was.
    """

    partitions: int
    never: int
    due: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class RingRecord:
    """Say why and when an epoch began."""

    epoch: int
    reason: str
    created_at: datetime


class ServerRepository(Protocol):
    """Keep the registered servers."""

    async def add(self, server: Server) -> None:
        """Keep a new server; its name and its number must be new."""
        ...

    async def get(self, name: str) -> Server | None:
        """Return the server, removed or not, or None."""
        ...

    async def list(self) -> Sequence[Server]:
        """Return all servers, removed ones too, in order of number."""
        ...

    async def update(self, server: Server) -> None:
        """Replace the server of this name and number.

        Raises:
            ServerNotFound: there is none.
        """
        ...

    async def next_number(self) -> int:
        """Return a number that no server ever had; 0 for the first."""
        ...


class PolicyRepository(Protocol):
    """Keep the policies: created, never edited."""

    async def add(self, policy: Policy) -> None:
        """Keep a new policy."""
        ...

    async def list(self) -> Sequence[Policy]:
        """Return all, in order of name."""
        ...


class RingRepository(Protocol):
    """Keep the ring sets by epoch, and the ring head: which is the newest."""

    async def head(self, *, lock: bool = False) -> int:
        """Return the newest epoch, 0 before the first; with `lock` no other epoch begins until this unit ends."""
        ...

    async def history(self, *, limit: int) -> Sequence[RingRecord]:
        """Return up to `limit` epochs, the newest first."""
        ...

    async def add(self, rings: RingSet, *, reason: str, at: datetime) -> None:
        """Keep a ring set and make it the head; its epoch must be the head's plus one.

        Raises:
            Conflict: it is not; plan again from the newest.
        """
        ...

    async def get(self, epoch: int) -> RingSet | None:
        """Return the ring set of an epoch, validated, or None."""
        ...


class PartitionRepository(Protocol):
    """Keep each partition's version and how far it is synced (rules 3 and 7)."""

    async def add(self, policy: str, count: int, *, epoch: int) -> None:
        """Make the partitions 0 to count − 1 of a new policy, version 0, clean at the epoch: they are empty."""
        ...

    async def get(self, policy: str, index: int) -> PartitionState | None:
        """Return one, or None."""
        ...

    async def list(self, policy: str, start: int = 0, stop: int | None = None) -> Sequence[PartitionState]:
        """Return the partitions `[start, stop)` of a policy (None: to the end), in order of index."""
        ...

    async def unsettled(self, policy: str, *, epoch: int) -> Sequence[int]:
        """Return, in order, the partitions that are not synced to that epoch at their present version."""
        ...

    async def raise_versions(self, policy: str, indexes: Sequence[int]) -> None:
        """Add one to the version of these; an index given twice counts once."""
        ...

    async def swap_synced(self, policy: str, versions: Mapping[int, int], *, epoch: int) -> frozenset[int]:
        """Record that partitions are synced to the epoch, each at its version here, if that is still its version.

        The caller holds the ring head's lock and has compared the epoch with it.

        Returns:
            those whose version was still the same; nothing changes for the others.
        """
        ...

    async def split(self, policy: str) -> None:
        """Make two partitions, 2i and 2i + 1, of each partition i of a policy (rule 7).

        Both take over what it was synced to and when it was scrubbed, and a version that is one higher: nothing that
        was read of a partition before holds for the halves, and no reconcile that began before may call one clean.
        """
        ...

    async def set_scrubbed(self, policy: str, indexes: Sequence[int], *, at: datetime | None) -> None:
        """Record when these partitions were scrubbed; None when they do not count as scrubbed any more."""
        ...

    async def scrub_times(self, policy: str, *, before: datetime) -> ScrubTimes:
        """Sum up when the partitions of a policy were last scrubbed, and which of them before a time."""
        ...


class ClusterRepository(Protocol):
    """Keep the cluster's own row."""

    async def get(self) -> Cluster | None:
        """Return it, or None in a database that was never used."""
        ...

    async def add(self, cluster: Cluster) -> None:
        """Make it; there is exactly one."""
        ...

    async def raise_delete_rounds(self) -> int:
        """Add one to the count of delete rounds and return it."""
        ...

    async def update(self, cluster: Cluster) -> None:
        """Replace it; its id and its time of creation stay."""
        ...

    async def whereabouts(self) -> str:
        """Return what tells this database from a copy of it: another file, server or timeline has another one.

        A backup that is restored, a dump that is loaded elsewhere and a standby that is promoted are copies.
        """
        ...

    async def set_default_policy(self, name: str) -> None:
        """Replace the policy of videos that name none."""
        ...
