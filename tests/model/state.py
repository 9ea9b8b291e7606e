"""The values that a world is made of: names, messages, rows of the metadata, rings, and what a run may use up.

All are immutable and hashable, so that a world is cloned by copying references and compared by its key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

SERVER_COUNT = 4

Slot = tuple[int, str]
"""A place in a partition's row: the server, and its tenure there."""


class ShardName(NamedTuple):
    """What a server stores a shard under. An ablated rule leaves its part of the name the same for all."""

    digest: str
    chunk: str
    tenure: str


Listing = frozenset[ShardName]
"""All names that one server had at one moment."""


class Message(NamedTuple):
    """A request on its way to a server. It may arrive at any later time, also after its sender's death."""

    verb: Literal["put", "delete"]
    server: int
    name: ShardName
    sender: str
    number: int
    """Counts the requests whose answer the sender awaits, from 1; 0 where nobody awaits one."""


class ChunkRow(NamedTuple):
    """A row of the table of chunks."""

    digest: str
    state: Literal["writing", "live", "deleting"]
    references: int
    """How many files refer to it. The real metadata does not count: there the foreign key decides."""


class File(NamedTuple):
    """A row of the table of files, with the chunks that it refers to."""

    state: Literal["open", "acknowledged", "expired", "purged"]
    references: frozenset[str]
    chunk_map: tuple[str, ...]
    disks_lost_before: int
    """How many disks had been lost when the upload began: those lost later excuse missing copies."""


class Ring(NamedTuple):
    """One epoch: the partition's row, and the servers that may take handoffs."""

    row: tuple[Slot, ...]
    members: frozenset[int]


class Change(NamedTuple):
    """A topology change: the servers of the new row, and the server that is drained, if one is."""

    servers: tuple[int, ...]
    drained: int | None = None


class Plan(NamedTuple):
    """A change that was planned and not yet applied."""

    base_epoch: int
    change: Change
    synced_epoch: int
    """The synced epoch as it was when the plan was made, from which an ablated apply takes the tenures."""


class Violation(NamedTuple):
    """A broken invariant, and how it shows."""

    kind: Literal["LOSS", "below copies_min", "dangling", "LIE", "unreadable", "stuck", "not healed", "LEAK"]
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What a world begins with, and how often each thing may happen in it.

    The counts bound an exhaustive exploration; each is how often the action of that name may occur.
    """

    copies: int = 2
    """The policy is `replicated(copies)`."""
    preloaded: bool = True
    """One file with chunk x is stored at the start, whole, on the first servers."""
    uploads: tuple[tuple[str, ...], ...] = ()
    """For each upload, the digests of its chunks."""
    changes: tuple[Change, ...] = ()
    """The topology changes that may be planned and applied, in this order."""

    purge: int = 0
    collect: int = 0
    reconcile: int = 0
    crash: int = 0
    down: int = 0
    wipe: int = 0
    expire: int = 0
    timeout: int = 0
    remove: int = 0
    read: int = 0
    stale: int = 0
    duplicate: int = 0

    # Assumptions about timing, which the protocol does without. The design that was not taken needed them.
    perfect_leases: bool = False
    """At most one collector or worker at a time."""
    long_grace: bool = False
    """Nothing is collected that is younger than the longest upload."""
    no_late_deletes: bool = False
    """No delete is still on its way when a collector or worker begins."""

    only_loss: bool = False
    """Overlook fewer copies than `copies_min`, and a false 'clean', so that the loss behind them is found."""

    @property
    def copies_min(self) -> int:
        """Return how many servers must acknowledge a chunk: the default of the policy."""
        return min(self.copies, max(2, self.copies - 1))


COUNTED_ACTIONS = (
    "purge",
    "collect",
    "reconcile",
    "crash",
    "down",
    "wipe",
    "expire",
    "timeout",
    "remove",
    "read",
    "stale",
    "duplicate",
)
