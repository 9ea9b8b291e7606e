"""A storage server that fails on demand: any server, wrapped.

With no fault armed it passes the contract suite of storage servers, so that what a test builds on it holds for the
real ones. Faults are armed by setting attributes and by calling methods; nothing here sleeps or draws at random.

| Knob | Effect |
| --- | --- |
| `down = True` | every call raises `ServerUnavailable` |
| `full = True` | every put raises `ServerFull` |
| `fail_next(operation, times, error)` | the next calls of that operation raise it |
| `hold(operation)` | calls of that operation wait until the returned event is set |
| `lose_puts = n` | the next n puts are acknowledged, and nothing is stored |
| `flip(name)`, `truncate(name, size)`, `replace(name, data)` | the stored bytes are others |
| `calls`, `log` | how often each operation was called; each call with its argument, in order |
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime

from reelstore.domain.chunk import ShardName
from reelstore.domain.errors import ServerFull, ServerUnavailable
from reelstore.storage.interface import (
    Adopting,
    ByteString,
    Marker,
    QuarantinedCopy,
    Quarantining,
    Releasing,
    Resizable,
    ShardEntry,
    StorageServer,
    Usage,
    Verifying,
)


class FaultyServer:
    """Pass every call on to another server, unless a fault is armed."""

    def __init__(self, inner: StorageServer) -> None:
        self.inner = inner
        self.down = False
        self.full = False
        self.lose_puts = 0
        self.calls: Counter[str] = Counter()
        self.log: list[tuple[str, object]] = []
        self._failing: dict[str, list[Exception]] = {}
        self._held: dict[str, asyncio.Event] = {}

    def fail_next(self, operation: str, times: int = 1, error: Callable[[], Exception] | None = None) -> None:
        make = error or (lambda: ServerUnavailable("a fault of the test", server=self.name))
        self._failing.setdefault(operation, []).extend(make() for _ in range(times))

    def hold(self, operation: str) -> asyncio.Event:
        self._held[operation] = asyncio.Event()
        return self._held[operation]

    async def flip(self, name: ShardName, position: int = 0) -> None:
        data = bytearray(await self.inner.get(name))
        data[position] ^= 1
        await self.inner.put(name, data)

    async def truncate(self, name: ShardName, size_bytes: int) -> None:
        await self.inner.put(name, await self.inner.get(name, 0, size_bytes))

    async def replace(self, name: ShardName, data: bytes) -> None:
        await self.inner.put(name, data)

    async def _meet(self, operation: str, argument: object = None) -> None:
        self.calls[operation] += 1
        self.log.append((operation, argument))
        if operation in self._held:
            await self._held[operation].wait()
        if self.down:
            raise ServerUnavailable("down, says the test", server=self.name)
        if self._failing.get(operation):
            raise self._failing[operation].pop(0)

    @property
    def name(self) -> str:
        return self.inner.name

    async def attach(self, marker: Marker, *, claim: bool) -> Marker:
        await self._meet("attach", marker)
        return await self.inner.attach(marker, claim=claim)

    async def check(self) -> Marker:
        await self._meet("check")
        return await self.inner.check()

    async def record_delete_rounds(self, rounds: int, *, generation: str | None = None) -> None:
        await self._meet("record_delete_rounds", rounds)
        await self.inner.record_delete_rounds(rounds, generation=generation)

    async def put(self, name: ShardName, data: ByteString) -> None:
        await self._meet("put", name)
        if self.full:
            raise ServerFull("full, says the test", server=self.name)
        if self.lose_puts > 0:
            self.lose_puts -= 1
            return
        await self.inner.put(name, data)

    async def get(self, name: ShardName, start: int = 0, stop: int | None = None) -> bytes:
        await self._meet("get", name)
        return await self.inner.get(name, start, stop)

    async def stat(self, name: ShardName) -> ShardEntry | None:
        await self._meet("stat", name)
        return await self.inner.stat(name)

    async def delete(self, name: ShardName) -> bool:
        await self._meet("delete", name)
        return await self.inner.delete(name)

    async def list(self, policy: str, start: bytes, stop: bytes | None) -> AsyncIterator[ShardEntry]:
        await self._meet("list", (policy, start, stop))
        async for entry in self.inner.list(policy, start, stop):
            yield entry

    async def find(self, policy: str, digest: bytes) -> Sequence[ShardEntry]:
        await self._meet("find", (policy, digest))
        return await self.inner.find(policy, digest)

    async def usage(self) -> Usage:
        await self._meet("usage")
        return await self.inner.usage()

    async def close(self) -> None:
        await self.inner.close()


class CapableFaultyServer(FaultyServer):
    """Pass on the optional capabilities too; the server inside must have them."""

    async def set_aside(self, name: ShardName) -> None:
        await self._meet("set_aside", name)
        assert isinstance(self.inner, Quarantining)
        await self.inner.set_aside(name)

    async def quarantined(self, limit: int) -> Sequence[QuarantinedCopy]:
        await self._meet("quarantined", limit)
        assert isinstance(self.inner, Quarantining)
        return await self.inner.quarantined(limit)

    async def drop_quarantined(self, before: datetime) -> Sequence[QuarantinedCopy]:
        await self._meet("drop_quarantined", before)
        assert isinstance(self.inner, Quarantining)
        return await self.inner.drop_quarantined(before)

    async def adopt(self, old: ShardName, new: ShardName) -> bool:
        await self._meet("adopt", (old, new))
        assert isinstance(self.inner, Adopting)
        return await self.inner.adopt(old, new)

    def resize(self, capacity_bytes: int) -> None:
        assert isinstance(self.inner, Resizable)
        self.inner.resize(capacity_bytes)

    async def release(self) -> bool:
        await self._meet("release")
        assert isinstance(self.inner, Releasing)
        return await self.inner.release()

    async def digest(self, name: ShardName) -> bytes:
        await self._meet("digest", name)
        assert isinstance(self.inner, Verifying)
        return await self.inner.digest(name)
