"""Requests to one bucket: bounded in time, repeated where that is harmless, their errors ours."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

from reelstore.domain.errors import ReelstoreError, ServerRefused, ServerUnavailable, ShardCorrupt, StorageError
from reelstore.storage.breaker import Breaker
from reelstore.storage.bucket.access import BucketAccess, Store, open_store
from reelstore.storage.bucket.store_errors import is_missing, is_past_the_end, store_error
from reelstore.storage.bucket.url import BucketAddress

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult, ObjectMeta, PutMode, PutResult, UpdateVersion

IDLE_SECONDS = 30.0
"""After which a store that says nothing counts as not answering."""
SLOWEST_BYTES_PER_SECOND = 256 * 1024
"""A transfer is given up when it moves more slowly than this, on top of that time."""
PAGE_KEYS = 1000
LETTING_GO_SECONDS = 0.02
"""A thread of the library that still holds an answer when the interpreter ends aborts the process.

10 of 60 processes that ended right after an answer did, and none that waited for a millisecond.
"""

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Key:
    """What a store says of a key.

    Args:
        path: below the server's prefix.
        size_bytes: of its value.
        changed_at: by the store's clock, often to the second only.
        e_tag, version: what a later change can be bound to; no version where the store has none.
    """

    path: str
    size_bytes: int
    changed_at: datetime
    e_tag: str
    version: str | None


class BucketConnection:
    """Speak to a bucket; all paths are below the server's prefix.

    Requests are repeated by the library: after a connection that failed, an answer of 5xx or one that asks to slow
    down, with growing pauses, and never where the first may have been carried out and the second would mean more.
    All methods raise `ServerUnavailable` (also as `ServerRefused` and `ServerUnauthorized`) and `ServerFull`, and
    nothing of the library.

    Args:
        server: the server's name, for errors.
        address: where the bucket is.
        access: how it is opened.
        idle_seconds: after which a store that says nothing counts as not answering.
    """

    def __init__(
        self, server: str, address: BucketAddress, access: BucketAccess, *, idle_seconds: float = IDLE_SECONDS
    ) -> None:
        self._server = server
        self._address = address
        self._access = access
        self._idle_seconds = idle_seconds
        self._breaker = Breaker(server)
        self._store: Store | None = None

    @property
    def address(self) -> BucketAddress:
        """Return where the bucket is."""
        return self._address

    async def create(self, path: str, data: bytes, doing: str) -> bool:
        """Store a value under a path that has none, whole or not at all; return whether it had none."""
        try:
            await self._put(path, data, "create", doing)
        except AlreadyExistsError:
            return False
        return True

    async def overwrite(self, path: str, data: bytes, doing: str) -> None:
        """Store a value, whole or not at all, over whatever is there."""
        await self._put(path, data, "overwrite", doing)

    async def replace(self, key: Key, data: bytes, doing: str) -> bool:
        """Store a value over this one; return False where it has become another, or none, since it was seen."""
        seen: UpdateVersion = {"e_tag": key.e_tag}
        if key.version is not None:  # the library takes no None
            seen["version"] = key.version
        try:
            await self._put(key.path, data, seen, doing)
        except (AlreadyExistsError, PreconditionError):
            return False
        return True

    async def head(self, path: str, doing: str) -> Key | None:
        """Return what the store says of a path; None when it says that there is none."""
        found = await self._run(doing, 0, lambda store: obstore.head_async(store, path))
        return None if found is None else self._key(found)

    async def fetch(self, path: str, *, size_bytes_max: int, doing: str) -> tuple[Key, bytes] | None:
        """Return a whole value, and what the store says of it; None when there is none.

        Raises:
            ShardCorrupt: it is larger than `size_bytes_max`.
        """

        async def read(store: Store) -> tuple[Key, bytes]:
            found = await obstore.get_async(store, path)
            return self._key(found.meta), await self._body(found, size_bytes_max)

        return await self._run(doing, size_bytes_max, read)

    async def get(self, path: str, start: int, stop: int | None, *, size_bytes_max: int, doing: str) -> bytes | None:
        """Return a value's bytes `[start, stop)`, fewer when it is shorter; None when there is none.

        Raises:
            ShardCorrupt: they would be more than `size_bytes_max`.
        """
        span: GetOptions = {"range": {"offset": start} if stop is None else (start, stop)}

        async def read(store: Store) -> bytes:
            try:
                found = await obstore.get_async(store, path, options=span if start or stop is not None else None)
            except BaseError as error:
                if is_past_the_end(error):
                    return b""
                raise
            return await self._body(found, size_bytes_max)

        expected = size_bytes_max if stop is None else min(stop - start, size_bytes_max)
        return await self._run(doing, expected, read)

    async def _body(self, found: GetResult, size_bytes_max: int) -> bytes:
        self._key(found.meta)
        first, last = found.range
        if last - first > size_bytes_max:
            raise ShardCorrupt(f"{found.meta['path']} has more bytes than it can have", server=self._server)
        return bytes(await found.bytes_async())

    async def copy(self, old: str, new: str, doing: str) -> bool:
        """Store one path's value under another too, over whatever is there; return whether there was one."""

        async def work(store: Store) -> bool:
            await obstore.copy_async(store, old, new)
            return True

        return await self._run(doing, 0, work) is not None

    async def delete(self, path: str, doing: str) -> None:
        """Remove a path; one that is not there is fine."""
        await self._run(doing, 0, lambda store: obstore.delete_async(store, path))

    async def pages(self, folder: str, doing: str, *, after: str | None = None) -> AsyncIterator[Sequence[Key]]:
        """Yield what is below a folder ('' for all), in order of path where the store keeps to it, page by page.

        Args:
            folder: whole steps of a path.
            doing: what for, in words.
            after: a path; only what sorts behind it.
        """
        stream = self._opened().list(folder or None, offset=after, chunk_size=PAGE_KEYS)

        async def next_page(_: Store) -> Sequence[ObjectMeta]:
            try:
                return await anext(stream)
            except StopAsyncIteration:
                return ()

        while page := await self._run(doing, 0, next_page):
            yield [self._key(found) for found in page]

    async def folders(self, folder: str, doing: str) -> Sequence[str]:
        """Return the names of the folders in a folder."""
        found = await self._run(doing, 0, lambda store: obstore.list_with_delimiter_async(store, folder))
        return [] if found is None else [path.rpartition("/")[2] for path in found["common_prefixes"]]

    async def presign(self, path: str, seconds: int, doing: str) -> str:
        """Return a URL with which anybody may read a value for so long."""
        signed = await self._run(
            doing, 0, lambda store: obstore.sign_async(store, "GET", path, timedelta(seconds=seconds))
        )
        assert signed is not None
        return signed

    async def close(self) -> None:
        """Let go of the connections; a later request makes new ones."""
        store, self._store = self._store, None
        if store is not None:
            await asyncio.sleep(LETTING_GO_SECONDS)

    async def _put(self, path: str, data: bytes, mode: PutMode, doing: str) -> None:
        # `use_multipart=False`: a value is sent in one request, and is whole or not there.
        result: PutResult | None = await self._run(
            doing,
            len(data),
            lambda store: obstore.put_async(store, path, data, mode=mode, use_multipart=False),
            passing=(AlreadyExistsError, PreconditionError),
        )
        if result is None:  # a put does not miss its key, only its bucket
            raise ServerRefused(f"there is no bucket {self._address}: make it, or correct the URL", server=self._server)
        if self._address.scheme != "gs" and result["version"] not in {None, "null"}:
            raise ServerRefused(
                f"the bucket {self._address} keeps versions: what is deleted there goes on taking room. Use a bucket "
                "without versioning, object lock and legal hold",
                server=self._server,
            )

    async def _run(
        self,
        doing: str,
        size_bytes: int,
        work: Callable[[Store], Awaitable[T]],
        *,
        passing: tuple[type[Exception], ...] = (),
    ) -> T | None:
        """Do something within a time that allows for so many bytes; None when the store says that a key is missing."""
        store = self._opened()
        self._breaker.admit()
        try:
            async with asyncio.timeout(self._idle_seconds + size_bytes / SLOWEST_BYTES_PER_SECOND):
                result = await work(store)
        except TimeoutError:
            failure: StorageError = ServerUnavailable(
                f"{self._address}: cannot {doing}: no answer in time", server=self._server
            )
        except passing:
            self._breaker.succeeded()
            raise
        except ReelstoreError:
            raise
        except Exception as error:  # noqa: BLE001 - of the library, whose errors have no common root; panics too
            if is_missing(error):
                self._breaker.succeeded()
                return None
            failure = store_error(error, server=self._server, where=str(self._address), doing=doing)
        else:
            self._breaker.succeeded()
            return result
        if isinstance(failure, ServerUnavailable) and failure.retryable:
            self._breaker.failed(failure)
        else:
            self._breaker.succeeded()
        log.debug("server %s: %s", self._server, failure)
        raise failure

    def _key(self, found: ObjectMeta) -> Key:
        """Take what was said of a key, from a store: what stands in its place, a proxy's page say, gives no tag."""
        if found["e_tag"] is None:
            message = f"{self._address}: what answers there does not answer as a store does"
            raise ServerUnavailable(message, server=self._server)
        return Key(found["path"], found["size"], found["last_modified"], found["e_tag"], found["version"])

    def _opened(self) -> Store:
        if self._store is None:
            try:
                self._store = open_store(self._address, self._server, self._access)
            except ReelstoreError:
                raise
            except Exception as error:  # noqa: BLE001 - a variable of the environment that the library cannot use
                raise store_error(error, server=self._server, where=str(self._address), doing="open it") from None
        return self._store
