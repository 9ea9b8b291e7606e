"""Go through the shards of a bucket by digest, page by page, and count what they take."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator

from reelstore.storage.bucket.books import Books
from reelstore.storage.bucket.connection import BucketConnection
from reelstore.storage.bucket.layout import (
    FOLDERS,
    SHARDS,
    first_digest,
    folder_index,
    folder_of,
    key_before,
    parse_shard,
    policy_folder,
)
from reelstore.storage.interface import ShardEntry

DOING = "list shards"

_SKIPPING = frozenset({"s3", "gs"})
"""Where a listing can begin behind a key without going through what is before it."""
FOLDERS_SINGLY_MAX = 256
"""Elsewhere so many folders at most are listed one by one; more of them, all of the policy at once."""


async def shards(
    connection: BucketConnection, books: Books, policy: str, start: bytes, stop: bytes | None
) -> AsyncGenerator[ShardEntry, None]:
    """Yield the shards whose digest is in `[start, stop)`; what lies there and is none is passed over.

    Each folder that was gone through from its beginning to its end is counted. No more than a page is held.
    """
    if stop is not None and stop <= start:
        return
    count = _Count(books, policy, start)
    for folder, after, end in _sections(connection.address.scheme, policy, start, stop):
        pages = connection.pages(folder, DOING, after=after)
        while True:
            count.asks()
            page = await anext(pages, None)
            if page is None:
                break
            for key in page:
                name = parse_shard(key.path)
                if name is None or name.policy != policy or name.digest < start:
                    continue
                count.reaches(folder_index(name.digest))
                if stop is not None and name.digest >= stop:
                    return
                count.finds(key.size_bytes)
                yield ShardEntry(name, key.size_bytes)
        count.reaches(end)


async def count_all(connection: BucketConnection, books: Books) -> None:
    """Count what all policies take."""
    for policy in await connection.folders(SHARDS, DOING):
        async for _ in shards(connection, books, policy, b"", None):
            pass


def _sections(scheme: str, policy: str, start: bytes, stop: bytes | None) -> Iterator[tuple[str, str | None, int]]:
    """Yield what to list one after the other: below which folder, behind which key, and before which folder it ends."""
    first = folder_index(start)
    last = FOLDERS - 1 if stop is None else folder_index(stop)
    if scheme in _SKIPPING or last - first >= FOLDERS_SINGLY_MAX:
        yield policy_folder(policy), key_before(policy, start), FOLDERS
    else:
        for index in range(first, last + 1):
            yield folder_of(policy, index), None, index + 1


class _Count:
    """Count one listing, folder by folder, each as of the moment at which its first page was asked for."""

    def __init__(self, books: Books, policy: str, start: bytes) -> None:
        self._books = books
        self._policy = policy
        self._folder = folder_index(start)
        self._is_whole = start <= first_digest(self._folder)
        self._size_bytes = 0
        self._since = self._asked = books.moment()

    def asks(self) -> None:
        """Note that a page is about to be asked for."""
        self._asked = self._books.moment()

    def finds(self, size_bytes: int) -> None:
        """Note a shard of the folder that was reached."""
        self._size_bytes += size_bytes

    def reaches(self, folder: int) -> None:
        """Note that everything before this folder was gone through."""
        if folder <= self._folder:
            return
        for passed in range(self._folder, folder):
            if self._is_whole:
                self._books.count((self._policy, passed), self._size_bytes, self._since)
            self._is_whole, self._size_bytes = True, 0
        self._folder, self._since = folder, self._asked
