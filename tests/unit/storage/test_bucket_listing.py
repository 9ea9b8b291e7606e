from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelstore.domain.chunk import ShardName
from reelstore.storage.bucket.books import Books
from reelstore.storage.bucket.connection import BucketConnection, Key
from reelstore.storage.bucket.layout import first_digest, folder_index, key_before, parse_shard, shard_key
from reelstore.storage.bucket.listing import shards
from reelstore.storage.bucket.url import BucketAddress

digests = st.binary(min_size=32, max_size=32)
bounds = st.one_of(st.binary(max_size=3), digests, st.binary(max_size=2).map(lambda b: b.ljust(32, b"\0")))


def name_of(digest: bytes) -> ShardName:
    return ShardName("default", digest, "0" * 32, 0, 1)


class Paths:
    """List sorted paths in pages of two, as a store does."""

    def __init__(self, scheme: str, paths: Sequence[str]) -> None:
        self.address = BucketAddress(scheme, "videos", "")
        self.paths = sorted(paths)
        self.requests = 0

    async def pages(self, folder: str, doing: str, *, after: str | None = None) -> AsyncIterator[Sequence[Key]]:
        self.requests += 1
        found = [path for path in self.paths if path.startswith(f"{folder}/") and path > (after or "")]
        for start in range(0, len(found), 2):
            yield [Key(path, 1, datetime.now(UTC), "tag", None) for path in found[start : start + 2]]


@given(digests, bounds)
def test_a_listing_begins_before_the_first_digest_and_behind_all_lower_ones(digest: bytes, start: bytes) -> None:
    assert (key_before("default", start) < shard_key(name_of(digest))) == (start <= digest)


@given(digests)
def test_a_key_leads_back_to_its_shard(digest: bytes) -> None:
    assert parse_shard(shard_key(name_of(digest))) == name_of(digest)
    assert first_digest(folder_index(digest)) <= digest


@pytest.mark.parametrize("scheme", ["s3", "az"])
@given(found=st.sets(st.integers(0, 0x3FF), max_size=8), first=st.integers(0, 0x3FF), size=st.integers(0, 0x3FF))
async def test_what_is_listed_and_counted_is_what_is_there(scheme: str, found: set[int], first: int, size: int) -> None:
    # Digests whose first 10 bits are the number, each the first of a folder.
    names = {number: name_of((number << 6).to_bytes(2, "big").ljust(32, b"\1")) for number in found}
    connection, books = Paths(scheme, [shard_key(name) for name in names.values()]), Books("a", 100)
    start, stop = (first << 6).to_bytes(2, "big"), ((first + size) << 6).to_bytes(3, "big")[1:]
    bound = None if first + size > 0x3FF else stop
    listing = shards(cast("BucketConnection", connection), books, "default", start, bound)
    seen = [entry.name async for entry in listing]
    expected = [number for number in sorted(found) if first <= number and (bound is None or number < first + size)]
    assert seen == [names[number] for number in expected]
    assert books.usage().used_bytes == len(expected)


async def test_where_a_listing_cannot_begin_anywhere_few_folders_are_listed_singly_and_many_at_once() -> None:
    connection: Any = Paths("az", [])
    for stop, requests in ((b"\x00\x40", 5), (None, 1)):
        connection.requests = 0
        async for _ in shards(connection, Books("a", 1), "default", b"", stop):
            pass
        assert connection.requests == requests
