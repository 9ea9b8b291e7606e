"""`BucketServer`: a `StorageServer` on a bucket of S3, Google Cloud Storage or Azure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import datetime

from reelstore.domain.chunk import ShardName
from reelstore.domain.errors import (
    InvalidInput,
    ServerFull,
    ServerRefused,
    ServerUnavailable,
    ShardMissing,
    StorageError,
)
from reelstore.storage.bucket import listing, quarantine
from reelstore.storage.bucket.books import Books, Folder
from reelstore.storage.bucket.connection import BucketConnection
from reelstore.storage.bucket.layout import folder_index, shard_key
from reelstore.storage.bucket.place import BucketPlace
from reelstore.storage.bucket.turns import Turns
from reelstore.storage.checks import (
    SHARD_SIZE_BYTES_MAX,
    check_adoption,
    check_capacity,
    check_policy,
    check_size,
    check_span,
)
from reelstore.storage.interface import ByteString, Marker, QuarantinedCopy, ShardEntry, Usage

COUNT_WAIT_SECONDS = 1.0
PRESIGN_SECONDS_MAX = 7 * 86_400
_STORING, _READING, _LOOKING, _DELETING = "store a shard", "read a shard", "look for a shard", "delete a shard"

log = logging.getLogger(__name__)


class BucketServer:
    """Keep shards below a prefix of a bucket.

    See `StorageServer`, `Quarantining`, `Adopting`, `Releasing`, `Resizable` and `Presigning`. What differs, or is
    decided here:

    - Any number of gateways use the bucket at once. To attach is to prove whose the prefix is; a miss, and the end of a
      listing, count only after the marker was seen again, so that a bucket that is gone is never taken for empty.
    - A shard is one put in one request. A put that is cancelled, or whose answer is lost, has stored all or nothing.
    - The used bytes are an estimate; see `Books`. The count that begins with `attach` is waited for one second.
    - A listing may fall short where the store's own does. No time of change is told: nothing but us writes there, and
      reading back what was just stored costs money.
    - Copies, into quarantine and of adopted shards, are made by the store: no byte travels.
    - Versioned buckets refuse every put: what is deleted there would go on taking room.

    Args:
        name: the server's name in the cluster.
        connection: how the bucket is reached; closed with this.
        capacity_bytes: what all shards may take together; a bucket has no size of its own.

    Raises:
        InvalidInput: a capacity below 1.
    """

    def __init__(self, name: str, connection: BucketConnection, *, capacity_bytes: int) -> None:
        self._name = name
        self._connection = connection
        check_capacity(capacity_bytes)
        self._capacity_bytes = capacity_bytes
        self._opened: _Opened | None = None
        self._absence: tuple[type[StorageError], str] = (ServerUnavailable, "the server is not attached")

    @property
    def name(self) -> str:
        """See `StorageServer`."""
        return self._name

    def resize(self, capacity_bytes: int) -> None:
        """See `Resizable`."""
        check_capacity(capacity_bytes)
        self._capacity_bytes = capacity_bytes
        if self._opened is not None:
            self._opened.books.resize(capacity_bytes)

    async def attach(self, marker: Marker, *, claim: bool) -> Marker:
        """See `StorageServer`. A claim refuses a prefix that holds anything, and a store that ignores conditions."""
        place = BucketPlace(self._connection, self._name, marker)
        found = await place.claim() if claim else await place.prove()
        if self._opened is None:
            opened = _Opened(place, Books(self._name, self._capacity_bytes), Turns())
            self._opened = opened
            opened.counting = asyncio.create_task(self._count(opened.books), name=f"counting {self._name}")
            await asyncio.wait({opened.counting}, timeout=COUNT_WAIT_SECONDS)
        return found

    async def check(self) -> Marker:
        """See `StorageServer`."""
        return await self._require_opened().place.prove()

    async def record_delete_rounds(self, rounds: int, *, generation: str | None = None) -> None:
        """See `StorageServer`."""
        await self._require_opened().place.record_delete_rounds(rounds, generation)

    async def put(self, name: ShardName, data: ByteString) -> None:
        """See `StorageServer`."""
        opened, path = self._require_opened(), shard_key(name)
        size_bytes = check_size(memoryview(data).nbytes)
        body = data if isinstance(data, bytes) else bytes(data)  # its own: a caller that gives up may reuse the buffer
        async with opened.turns.of(name):
            self._require(opened)
            books, replaced_bytes = opened.books, 0
            if not books.has_room(size_bytes):
                replaced_bytes = await self._size_of(path, _STORING)
            with books.changing(_folder(name), size_bytes - replaced_bytes) as room:
                # Nearly always the name is new, and one request tells that and stores it.
                if not await self._connection.create(path, body, _STORING):
                    replaced_bytes = await self._size_of(path, _STORING)
                    await self._connection.overwrite(path, body, _STORING)
                books.settle(room, size_bytes - replaced_bytes)

    async def get(self, name: ShardName, start: int = 0, stop: int | None = None) -> bytes:
        """See `StorageServer`."""
        opened, path = self._require_opened(), shard_key(name)
        check_span(start, stop)
        if start == stop:  # a range that no store can be asked for
            found = None if await self._connection.head(path, _READING) is None else b""
        else:
            found = await self._connection.get(path, start, stop, size_bytes_max=SHARD_SIZE_BYTES_MAX, doing=_READING)
        if found is None:
            await opened.place.prove()
            raise ShardMissing(f"no shard {name}", server=self._name)
        return found

    async def stat(self, name: ShardName) -> ShardEntry | None:
        """See `StorageServer`."""
        opened = self._require_opened()
        found = await self._connection.head(shard_key(name), _LOOKING)
        if found is None:
            await opened.place.prove()
            return None
        return ShardEntry(name, found.size_bytes)

    async def delete(self, name: ShardName) -> bool:
        """See `StorageServer`."""
        opened, path = self._require_opened(), shard_key(name)
        async with opened.turns.of(name):
            self._require(opened)
            found = await self._connection.head(path, _DELETING)
            if found is None:
                await opened.place.prove()
                return False
            with opened.books.changing(_folder(name)) as room:
                await self._connection.delete(path, _DELETING)
                opened.books.settle(room, -found.size_bytes)
            return True

    async def list(self, policy: str, start: bytes, stop: bytes | None) -> AsyncIterator[ShardEntry]:
        """See `StorageServer`. Fetched while it is gone through; memory does not grow with its length."""
        opened = self._require_opened()
        check_policy(policy)
        async with aclosing(listing.shards(self._connection, opened.books, policy, start, stop)) as found:
            async for entry in found:
                yield entry
                self._require(opened)
        await opened.place.prove()

    async def find(self, policy: str, digest: bytes) -> Sequence[ShardEntry]:
        """See `StorageServer`."""
        return [entry async for entry in self.list(policy, digest, digest + b"\0")]

    async def usage(self) -> Usage:
        """See `StorageServer`. Asks nobody."""
        return self._require_opened().books.usage()

    async def close(self) -> None:
        """See `StorageServer`. The server may be attached again."""
        await self._let_go(ServerUnavailable, "the server was closed")

    async def set_aside(self, name: ShardName) -> None:
        """See `Quarantining`. At most 1,000 copies, and 5 % of the capacity."""
        self._require_opened()
        await quarantine.set_aside(self._connection, name, capacity_bytes=self._capacity_bytes)

    async def quarantined(self, limit: int) -> Sequence[QuarantinedCopy]:
        """See `Quarantining`."""
        self._require_opened()
        return await quarantine.quarantined(self._connection, limit)

    async def drop_quarantined(self, before: datetime) -> Sequence[QuarantinedCopy]:
        """See `Quarantining`."""
        self._require_opened()
        return await quarantine.drop_quarantined(self._connection, before)

    async def adopt(self, old: ShardName, new: ShardName) -> bool:
        """See `Adopting`."""
        opened = self._require_opened()
        check_adoption(old, new)
        old_path, new_path, doing = shard_key(old), shard_key(new), "adopt a shard"
        async with opened.turns.of(new):
            self._require(opened)
            found = await self._connection.head(old_path, doing)
            if found is None:
                await opened.place.prove()
                return False
            if old == new:  # a store refuses to copy a key to itself
                return True
            replaced_bytes = await self._size_of(new_path, doing)
            with opened.books.changing(_folder(new), found.size_bytes - replaced_bytes, may_overfill=True) as room:
                if not await self._connection.copy(old_path, new_path, doing):
                    return False
                opened.books.settle(room, found.size_bytes - replaced_bytes)
        return True

    async def release(self) -> bool:
        """See `Releasing`. Changes of this process end first; the marker is gone before another begins."""
        opened = self._require_opened()
        async with opened.turns.alone():
            self._require(opened)
            if not await opened.place.release():
                return False
            await self._let_go(ServerRefused, f"the place {self._connection.address} was given up")
        return True

    async def presign(self, name: ShardName, seconds: int) -> str:
        """See `Presigning`. Made here, with our credentials; the store is not asked."""
        self._require_opened()
        if not 1 <= seconds <= PRESIGN_SECONDS_MAX:
            raise InvalidInput(f"a URL is good for 1 to {PRESIGN_SECONDS_MAX} seconds, not {seconds}", field="seconds")
        return await self._connection.presign(shard_key(name), seconds, "sign a URL")

    async def _size_of(self, path: str, doing: str) -> int:
        found = await self._connection.head(path, doing)
        return 0 if found is None else found.size_bytes

    async def _count(self, books: Books) -> None:
        try:
            await listing.count_all(self._connection, books)
        except (ServerUnavailable, ServerFull) as error:  # the next survey counts
            log.warning("server %s: counting what it holds ended early: %s", self._name, error)

    async def _let_go(self, kind: type[StorageError], message: str) -> None:
        self._absence = (kind, message)
        opened, self._opened = self._opened, None
        if opened is not None and opened.counting is not None:
            opened.counting.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait({opened.counting})
        await self._connection.close()

    def _require_opened(self) -> _Opened:
        if self._opened is None:
            kind, message = self._absence
            raise kind(message, server=self._name)
        return self._opened

    def _require(self, opened: _Opened) -> None:
        """Refuse to go on with what was closed, or given up, meanwhile."""
        if self._require_opened() is not opened:
            raise ServerUnavailable("the server was closed", server=self._name)


@dataclass(slots=True)
class _Opened:
    """What is there between an attach and a close."""

    place: BucketPlace
    books: Books
    turns: Turns
    counting: asyncio.Task[None] | None = None


def _folder(name: ShardName) -> Folder:
    return name.policy, folder_index(name.digest)
