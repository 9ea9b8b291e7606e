"""The memory driver: shards in a dictionary, for tests, simulations and `--memory`."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count, islice

from blake3 import blake3

from reelstore.domain.chunk import ShardName
from reelstore.domain.errors import ServerFull, ServerRefused, ServerUnavailable, ShardMissing
from reelstore.storage.checks import check_adoption, check_capacity, check_name, check_policy, check_size, check_span
from reelstore.storage.interface import ByteString, Marker, QuarantinedCopy, ShardEntry, Usage
from reelstore.storage.marker import recorded

CAPACITY_BYTES_DEFAULT = 4 * 1024**3
QUARANTINED_MAX = 100


@dataclass(frozen=True, slots=True)
class _Stored:
    data: bytes
    changed_ns: int


@dataclass(frozen=True, slots=True)
class _SetAside:
    copy: QuarantinedCopy
    data: bytes


def _utc() -> datetime:
    return datetime.now(UTC)


class MemoryServer:
    """Keep shards in this process; they are gone when it ends.

    See `StorageServer`, `Quarantining`, `Adopting`, `Releasing`, `Resizable` and `Verifying`. Differs in that nothing
    is durable, and that no call waits: each one happens at once, so that a simulation alone decides what overlaps. Its
    time is a count of changes, but for what is set aside. Closing keeps the shards: the server may be attached again,
    like a machine that comes back.

    Args:
        name: the server's name in the cluster.
        capacity_bytes: what it takes at most, 4 GiB by default.
        clock: tells when something is set aside, in UTC.

    Raises:
        InvalidInput: a capacity below 1.
    """

    def __init__(self, name: str, *, capacity_bytes: int | None = None, clock: Callable[[], datetime] = _utc) -> None:
        self._name = name
        self._capacity_bytes = check_capacity(capacity_bytes) or CAPACITY_BYTES_DEFAULT
        self._marker: Marker | None = None
        self._attached = False
        self._stored: dict[ShardName, _Stored] = {}
        self._names: list[ShardName] = []  # sorted: by policy, then digest, so that a listing costs what it yields
        self._used_bytes = 0
        self._changes = count(1)
        self._clock = clock
        self._quarantine: deque[_SetAside] = deque(maxlen=QUARANTINED_MAX)

    @property
    def name(self) -> str:
        """See `StorageServer`."""
        return self._name

    @property
    def quarantine(self) -> Sequence[tuple[ShardName, bytes]]:
        """Return the copies that were set aside, oldest first."""
        return tuple((kept.copy.name, kept.data) for kept in self._quarantine)

    def resize(self, capacity_bytes: int) -> None:
        """See `Resizable`."""
        self._capacity_bytes = check_capacity(capacity_bytes) or CAPACITY_BYTES_DEFAULT

    async def attach(self, marker: Marker, *, claim: bool) -> Marker:
        """See `StorageServer`."""
        if self._marker is None:
            if not claim:
                raise ServerRefused("the memory has no marker: it is empty, as after a restart", server=self._name)
            self._marker = marker
        if (self._marker.cluster, self._marker.server) != (marker.cluster, marker.server):
            raise ServerRefused(
                f"the marker is that of server {self._marker.server!r} of cluster {self._marker.cluster}",
                server=self._name,
            )
        self._attached = True
        return self._marker

    async def check(self) -> Marker:
        """See `StorageServer`."""
        return self._require_attached()

    async def record_delete_rounds(self, rounds: int, *, generation: str | None = None) -> None:
        """See `StorageServer`."""
        marker = self._require_attached()
        self._marker = recorded(marker, rounds, generation)

    async def put(self, name: ShardName, data: ByteString) -> None:
        """See `StorageServer`."""
        self._require_attached()
        check_size(memoryview(data).nbytes)
        copied = bytes(data)
        present = self._stored.get(check_name(name))
        growth_bytes = len(copied) - (len(present.data) if present else 0)
        if growth_bytes > 0 and self._used_bytes + growth_bytes > self._capacity_bytes:
            raise ServerFull(f"the capacity of {self._capacity_bytes} bytes is used up", server=self._name)
        self._keep(name, copied)

    async def get(self, name: ShardName, start: int = 0, stop: int | None = None) -> bytes:
        """See `StorageServer`."""
        check_span(start, stop)
        return self._require_shard(name).data[start:stop]

    async def stat(self, name: ShardName) -> ShardEntry | None:
        """See `StorageServer`."""
        self._require_attached()
        return self._entry(check_name(name))

    async def delete(self, name: ShardName) -> bool:
        """See `StorageServer`."""
        self._require_attached()
        stored = self._stored.pop(check_name(name), None)
        if stored is None:
            return False
        del self._names[bisect_left(self._names, name)]
        self._used_bytes -= len(stored.data)
        return True

    async def list(self, policy: str, start: bytes, stop: bytes | None) -> AsyncIterator[ShardEntry]:
        """See `StorageServer`."""
        self._require_attached()
        for name in self._slice(check_policy(policy), start, stop):
            entry = self._entry(name)
            if entry is not None:
                yield entry

    async def find(self, policy: str, digest: bytes) -> Sequence[ShardEntry]:
        """See `StorageServer`."""
        self._require_attached()
        entries = (self._entry(name) for name in self._slice(check_policy(policy), digest, digest + b"\0"))
        return [entry for entry in entries if entry is not None]

    async def usage(self) -> Usage:
        """See `StorageServer`."""
        self._require_attached()
        return Usage(self._capacity_bytes, self._used_bytes, max(0, self._capacity_bytes - self._used_bytes))

    async def close(self) -> None:
        """See `StorageServer`."""
        self._attached = False

    async def set_aside(self, name: ShardName) -> None:
        """See `Quarantining`. At most 100 copies."""
        self._require_attached()
        stored = self._stored.get(check_name(name))
        if stored is not None and (name, stored.data) not in self.quarantine:
            copy = QuarantinedCopy(str(next(self._changes)), name, len(stored.data), self._clock())
            self._quarantine.append(_SetAside(copy, stored.data))

    async def quarantined(self, limit: int) -> Sequence[QuarantinedCopy]:
        """See `Quarantining`."""
        self._require_attached()
        return [kept.copy for kept in islice(reversed(self._quarantine), limit)]

    async def drop_quarantined(self, before: datetime) -> Sequence[QuarantinedCopy]:
        """See `Quarantining`."""
        self._require_attached()
        dropped = [kept for kept in self._quarantine if kept.copy.set_aside_at < before]
        for kept in dropped:
            self._quarantine.remove(kept)
        return [kept.copy for kept in dropped]

    async def adopt(self, old: ShardName, new: ShardName) -> bool:
        """See `Adopting`."""
        self._require_attached()
        check_adoption(old, new)
        stored = self._stored.get(old)
        if stored is not None:
            self._keep(new, stored.data)
        return stored is not None

    async def release(self) -> bool:
        """See `Releasing`."""
        self._require_attached()
        if self._stored:
            return False
        self._quarantine.clear()
        self._marker = None
        self._attached = False
        return True

    async def digest(self, name: ShardName) -> bytes:
        """See `Verifying`."""
        return blake3(self._require_shard(name).data).digest()

    def _keep(self, name: ShardName, data: bytes) -> None:
        present = self._stored.get(name)
        if present is None:
            insort(self._names, name)
        self._stored[name] = _Stored(data, next(self._changes))
        self._used_bytes += len(data) - (len(present.data) if present else 0)

    def _require_attached(self) -> Marker:
        if not self._attached or self._marker is None:
            raise ServerUnavailable("the server is not attached", server=self._name)
        return self._marker

    def _require_shard(self, name: ShardName) -> _Stored:
        self._require_attached()
        try:
            return self._stored[check_name(name)]
        except KeyError:
            raise ShardMissing(f"no shard {name}", server=self._name) from None

    def _entry(self, name: ShardName) -> ShardEntry | None:
        stored = self._stored.get(name)
        return None if stored is None else ShardEntry(name, len(stored.data), stored.changed_ns)

    def _slice(self, policy: str, start: bytes, stop: bytes | None) -> Sequence[ShardName]:
        first = bisect_left(self._names, (policy, start), key=_by_digest)
        if stop is None:
            last = bisect_left(self._names, policy + "\0", key=_by_policy)
        else:
            last = bisect_left(self._names, (policy, stop), key=_by_digest)
        return self._names[first:last]


def _by_digest(name: ShardName) -> tuple[str, bytes]:
    return name.policy, name.digest


def _by_policy(name: ShardName) -> str:
    return name.policy
