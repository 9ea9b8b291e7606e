"""The port of a storage server, and its optional capabilities.

`tests/contract/test_storage.py` is the definition: every driver and every stand-in passes it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from reelstore.domain.chunk import ShardName

ByteString = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Marker:
    """Say whose a place is (rule 12 of the storage protocol); kept inside the place itself.

    Args:
        cluster: the cluster's id.
        server: the server's name in that cluster.
        generation: the identity of the metadata database that owns it.
        delete_rounds: how many rounds of deletes that database had begun when it last wrote here.
    """

    cluster: str
    server: str
    generation: str
    delete_rounds: int


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """One shard of a listing.

    Args:
        name: the shard.
        size_bytes: what is stored, which a torn or truncated shard has wrong.
        changed_ns: a time at which the stored bytes were last touched, on the server's own clock and comparable only
            with other values of the same server; None where the server cannot tell.
    """

    name: ShardName
    size_bytes: int
    changed_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Say how full a server is, in bytes.

    Args:
        capacity_bytes, used_bytes: of its shards.
        free_bytes: what it would still take, above its reserve.
        disk_free_bytes: what its disk has left, which other servers on it take too; None where nobody shares.
    """

    capacity_bytes: int
    used_bytes: int
    free_bytes: int
    disk_free_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Stray:
    """Something in a server's place that is not a shard; it is left alone."""

    path: str
    reason: str


class StorageServer(Protocol):
    """Keep shards of at most 64 MiB under names that are used once.

    All methods may raise `ServerUnavailable` (a retry can help) and `ServerRefused` (the place is not, or no longer,
    the one that was attached; a retry alone does not help), and `InvalidInput` where an argument is no shard's or
    policy's name, or the shard is too large. No other error of a library or of the system leaves a driver.
    """

    @property
    def name(self) -> str:
        """Return the server's name in the cluster."""
        ...

    async def attach(self, marker: Marker, *, claim: bool) -> Marker:
        """Open the place and prove whose it is, before anything else is called.

        Args:
            marker: whose it should be: its cluster and server are compared.
            claim: take a place without a marker by writing this one. Without it such a place is refused, so that an
                unmounted disk is never filled. A place that already bears the same cluster and server is accepted
                either way, so that a claim that crashed can be repeated.

        Returns:
            the marker found (or just written), with its generation and delete rounds.

        Raises:
            ServerRefused: the marker is missing, unreadable or another's.
            ServerUnavailable: the place cannot be opened, or another process holds it.
            ServerFull: a claim finds no room for its marker.
        """
        ...

    async def check(self) -> Marker:
        """Prove that the attached place is still there and still ours; return its marker as it is now."""
        ...

    async def record_delete_rounds(self, rounds: int, *, generation: str | None = None) -> None:
        """Write the count of delete rounds into the marker, durably; never lowers it.

        Args:
            rounds: the count.
            generation: of the metadata that an operator has accepted; None leaves that of the marker.

        Raises:
            ServerFull: no room for the new marker; the old one stays.
        """
        ...

    async def put(self, name: ShardName, data: ByteString) -> None:
        """Store a shard whole, or not at all; durable on return. The same name again replaces the bytes atomically.

        Raises:
            ServerFull: no room above the reserve; nothing was changed.
        """
        ...

    async def get(self, name: ShardName, start: int = 0, stop: int | None = None) -> bytes:
        """Return bytes `[start, stop)` of a shard, unverified; fewer when the shard is shorter.

        Raises:
            ShardMissing: the server answers and has no such shard.
            ShardCorrupt: the medium cannot give the bytes back (a bad sector): a retry does not help, a repair does.
            InvalidInput: not `0 <= start <= stop`.
        """
        ...

    async def stat(self, name: ShardName) -> ShardEntry | None:
        """Return the shard's entry, or None when the server answers and has no such shard."""
        ...

    async def delete(self, name: ShardName) -> bool:
        """Remove a shard; return whether it was there. Deleting what is not there is fine."""
        ...

    def list(self, policy: str, start: bytes, stop: bytes | None) -> AsyncIterator[ShardEntry]:
        """Yield the policy's shards whose digest is in `[start, stop)` (None: to the end), each once, in no order.

        A shard that is stored before the call and not deleted during it is in the listing (a bucket may fall short of
        this; nothing relies on it for safety). Files that are no shards are passed over.
        """
        ...

    async def find(self, policy: str, digest: bytes) -> Sequence[ShardEntry]:
        """Return all shards of one digest, whatever their chunk, slot and tenure."""
        ...

    async def usage(self) -> Usage:
        """Return how full the server is; cheap enough to be called every few seconds."""
        ...

    async def close(self) -> None:
        """Give back what the driver holds; calling it again is fine."""
        ...


@dataclass(frozen=True, slots=True)
class QuarantinedCopy:
    """A copy of suspect bytes that was set aside.

    Args:
        id: names the copy on its server.
        name: the shard whose bytes they were.
        size_bytes: of the copy.
        set_aside_at: by the server's clock, in UTC.
    """

    id: str
    name: ShardName
    size_bytes: int
    set_aside_at: datetime


@runtime_checkable
class Quarantining(Protocol):
    """Can set a copy of suspect bytes aside (rule 9: a copy, never a move)."""

    async def set_aside(self, name: ShardName) -> None:
        """Keep a copy of what is stored under the name for an operator to look at; bounded, oldest dropped first.

        What is kept already is not kept again, so that a repair which is tried over and over pushes nothing else out.
        """
        ...

    async def quarantined(self, limit: int) -> Sequence[QuarantinedCopy]:
        """Return up to `limit` copies that are set aside, the newest first."""
        ...

    async def drop_quarantined(self, before: datetime) -> Sequence[QuarantinedCopy]:
        """Drop the copies that were set aside before then; return them."""
        ...


@runtime_checkable
class Adopting(Protocol):
    """Can give the bytes of one name to another without sending them (rule 2)."""

    async def adopt(self, old: ShardName, new: ShardName) -> bool:
        """Store the bytes of `old` under `new` too, atomically and durably, over whatever is there; `old` stays.

        A crash leaves `old` alone, or both, whole. The caller has verified the bytes, and deletes `old` when rule 6
        allows it. Both count as used until then, although they may share their room.

        Returns:
            whether `old` was there.

        Raises:
            ServerFull: the place cannot share bytes between names, and has no room for a copy.
            ShardCorrupt: it had to copy them, and the medium cannot give them back.
            InvalidInput: the names are of different policies or digests.
        """
        ...


@runtime_checkable
class Releasing(Protocol):
    """Can give up its place, so that it may be claimed as another server's."""

    async def release(self) -> bool:
        """Take the marker, the last thing, away from a place that keeps no shard; what is in quarantine goes before.

        Durable. Afterwards the server is closed, as the place is nobody's. A crash half-way leaves the marker, and the
        call can be repeated.

        Returns:
            whether it was done; where a shard is left, or anything that is not ours lies among them, it is not.
        """
        ...


@runtime_checkable
class Resizable(Protocol):
    """Can be told at any time how much it may take."""

    def resize(self, capacity_bytes: int) -> None:
        """Take at most that much from now on; what is there stays, even if it is more. Waits for nothing.

        Raises:
            InvalidInput: a capacity below 1.
        """
        ...


@runtime_checkable
class Presigning(Protocol):
    """Can let others read a shard from where it lies, without credentials and without us."""

    async def presign(self, name: ShardName, seconds: int) -> str:
        """Return a URL with which anybody may read the shard's bytes, unverified, for so long; there may be none.

        Raises:
            InvalidInput: not 1 second to 7 days.
        """
        ...


@runtime_checkable
class Verifying(Protocol):
    """Can hash a shard where it lies, so that its bytes need not travel."""

    async def digest(self, name: ShardName) -> bytes:
        """Return the BLAKE3 digest of the stored bytes, read from the medium anew.

        Raises:
            ShardMissing: the server answers and has no such shard.
            ShardCorrupt: the medium cannot give the bytes back.
        """
        ...


@runtime_checkable
class StrayReporting(Protocol):
    """Can tell what lies in its place that is not a shard."""

    async def strays(self, limit: int) -> Sequence[Stray]:
        """Return up to `limit` files that are ignored, each with the reason."""
        ...
