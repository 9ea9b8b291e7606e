"""Copies of suspect bytes in a bucket, set aside for an operator to look at.

A copy's key is `quarantine/<policy>.<leaf of the shard>.<when, in nanoseconds, 20 digits>`, by the clock of the gateway
that set it aside; its last part is its id too. What is named otherwise is not ours, and left alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import nlargest

from reelstore.domain.chunk import ShardName
from reelstore.domain.errors import InvalidInput
from reelstore.storage.bucket.connection import BucketConnection, Key
from reelstore.storage.bucket.layout import QUARANTINE, shard_key
from reelstore.storage.interface import QuarantinedCopy

COPIES_MAX = 1000
CAPACITY_PART = 20  # one twentieth: 5 %

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME_DIGITS = 20
_SETTING_ASIDE, _LISTING, _EMPTYING = "set a shard aside", "list the quarantine", "empty the quarantine"


@dataclass(frozen=True, slots=True)
class _Kept:
    key: Key
    name: ShardName
    set_aside_ns: int

    def copy(self) -> QuarantinedCopy:
        at = _EPOCH + timedelta(microseconds=self.set_aside_ns // 1000)
        return QuarantinedCopy(self.key.path.rpartition("/")[2], self.name, self.key.size_bytes, at)

    def has_bytes_of(self, shard: Key) -> bool:
        """Tell whether these are the bytes that the shard has now: of one tag, or copied since they were stored.

        A tag is that of the bytes in some stores, and of the writing in others; times are to the second.
        """
        if self.key.size_bytes != shard.size_bytes:
            return False
        return self.key.e_tag == shard.e_tag or self.key.changed_at >= shard.changed_at


async def set_aside(connection: BucketConnection, name: ShardName, *, capacity_bytes: int) -> None:
    """Keep a copy of what is stored under a name; nothing stored is fine, and so is what is kept already."""
    path = shard_key(name)
    shard = await connection.head(path, _SETTING_ASIDE)
    kept = await _all(connection)
    if shard is None or any(one.name == name and one.has_bytes_of(shard) for one in kept):
        return
    copy = f"{QUARANTINE}/{name.policy}.{name.leaf}.{time.time_ns():0{_TIME_DIGITS}d}"
    await connection.copy(path, copy, _SETTING_ASIDE)
    size_bytes, count = sum(one.key.size_bytes for one in kept) + shard.size_bytes, len(kept) + 1
    for one in kept:  # the oldest first
        if count <= COPIES_MAX and size_bytes <= capacity_bytes // CAPACITY_PART:
            break
        await connection.delete(one.key.path, _EMPTYING)
        size_bytes, count = size_bytes - one.key.size_bytes, count - 1


async def quarantined(connection: BucketConnection, limit: int) -> Sequence[QuarantinedCopy]:
    """Return up to `limit` copies, the newest first."""
    newest = nlargest(limit, await _all(connection), key=lambda kept: kept.set_aside_ns)
    return [kept.copy() for kept in newest]


async def drop_quarantined(connection: BucketConnection, before: datetime) -> Sequence[QuarantinedCopy]:
    """Drop the copies that were set aside before then; return them."""
    dropped = []
    for kept in await _all(connection):
        copy = kept.copy()
        if copy.set_aside_at < before:
            await connection.delete(kept.key.path, _EMPTYING)
            dropped.append(copy)
    return dropped


async def _all(connection: BucketConnection) -> list[_Kept]:
    """Return what is in quarantine, the oldest first."""
    found = [
        kept
        async for page in connection.pages(QUARANTINE, _LISTING)
        for key in page
        if (kept := _parse(key)) is not None
    ]
    return sorted(found, key=lambda kept: kept.set_aside_ns)


def _parse(key: Key) -> _Kept | None:
    shard, _, at = key.path.removeprefix(f"{QUARANTINE}/").rpartition(".")
    if len(at) != _TIME_DIGITS or not (at.isascii() and at.isdigit()):
        return None
    policy, _, leaf = shard.partition(".")
    try:
        return _Kept(key, ShardName.parse(f"{policy}/{leaf}"), int(at))
    except InvalidInput:
        return None
