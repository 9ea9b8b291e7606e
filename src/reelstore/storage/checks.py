"""What every driver checks of its arguments before it acts on them."""

from __future__ import annotations

from reelstore.domain.chunk import DIGEST_BYTES, ShardName
from reelstore.domain.errors import InvalidInput
from reelstore.domain.policy import CHUNK_SIZE_BYTES_MAX

SHARD_SIZE_BYTES_MAX = CHUNK_SIZE_BYTES_MAX  # a full copy is the largest shard


def check_name(name: ShardName) -> ShardName:
    """Return a shard's name that is one; any other must never become a path or a key.

    Raises:
        InvalidInput: it is none; a retry does not help.
    """
    if ShardName.parse(str(name)) != name:
        raise InvalidInput(f"not the name of a shard: {name!r}", field="shard")
    return name


def check_adoption(old: ShardName, new: ShardName) -> None:
    """Check that the bytes of one name can be those of the other: a name never holds other bytes.

    Raises:
        InvalidInput: they are of different policies or digests; a retry does not help.
    """
    if (check_name(old).policy, old.digest) != (check_name(new).policy, new.digest):
        raise InvalidInput(f"the bytes of {old} cannot be those of {new}", field="shard")


def check_policy(policy: str) -> str:
    """Return a policy's name that a shard can be of; any other must never become a path or a key.

    Raises:
        InvalidInput: it is none; a retry does not help.
    """
    check_name(ShardName(policy, bytes(DIGEST_BYTES), "0" * 32, 0, 1))
    return policy


def check_size(size_bytes: int) -> int:
    """Return the size in bytes of a shard, which is at most 64 MiB.

    Raises:
        InvalidInput: it is larger; a retry does not help.
    """
    if size_bytes > SHARD_SIZE_BYTES_MAX:
        raise InvalidInput(f"a shard has at most {SHARD_SIZE_BYTES_MAX} bytes, not {size_bytes}", field="shard")
    return size_bytes


def check_span(start: int, stop: int | None) -> None:
    """Check that `[start, stop)` is a span of bytes (None: to the end).

    Raises:
        InvalidInput: not `0 <= start <= stop`; a retry does not help.
    """
    if start < 0 or (stop is not None and stop < start):
        raise InvalidInput(f"not a span of bytes: [{start}, {stop})", field="range")


def check_capacity(capacity_bytes: int | None) -> int | None:
    """Return a capacity in bytes that is one, or None for none.

    Raises:
        InvalidInput: below 1; a retry does not help.
    """
    if capacity_bytes is not None and capacity_bytes < 1:
        raise InvalidInput("the capacity must be at least 1 byte", field="capacity_bytes")
    return capacity_bytes
