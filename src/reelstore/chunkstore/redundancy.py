"""Redundancy: how a chunk becomes the shards of a row, and which shards make it whole again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from blake3 import blake3

from reelstore.chunkstore.erasure import ErasureCoding
from reelstore.domain.policy import Policy, PolicyKind
from reelstore.storage.interface import ByteString


class Redundancy(Protocol):
    """Encode and decode chunks. Slot *j* of a row keeps shard *j*; all methods are pure and may be run in a thread."""

    @property
    def width(self) -> int:
        """Return how many shards a chunk has."""
        ...

    @property
    def needed(self) -> int:
        """Return how many good shards of different slots make the chunk whole; a row keeps at least one more."""
        ...

    @property
    def alike(self) -> bool:
        """Return whether the shards of all slots are the same bytes, so that one stands for another at no cost."""
        ...

    def shard_size_bytes(self, chunk_size_bytes: int) -> int:
        """Return the stored size of each shard of a chunk of that size."""
        ...

    def encode(self, data: ByteString, *, digest: bytes) -> Sequence[ByteString]:
        """Return the shards by slot; where they are alike, they share memory with `data`."""
        ...

    def is_good(self, shard: ByteString, *, digest: bytes, slot: int) -> bool:
        """Return whether these are the bytes of that slot of the chunk with that digest."""
        ...

    def shard_digest(self, digest: bytes, slot: int) -> bytes | None:
        """Return the stored shard's digest where the chunk's tells it, so that it can be verified in place."""
        ...

    def decode(self, shards: Mapping[int, ByteString], *, digest: bytes) -> ByteString | None:
        """Return the chunk from at least `needed` good shards by slot, verified against its digest.

        None when they do not make it, though each is good by itself: somebody made them from other bytes.
        """
        ...


class Replication:
    """Keep full copies: any shard is the chunk."""

    needed = 1
    alike = True

    def __init__(self, copies: int) -> None:
        self.width = copies

    def shard_size_bytes(self, chunk_size_bytes: int) -> int:
        """See `Redundancy`."""
        return chunk_size_bytes

    def encode(self, data: ByteString, *, digest: bytes) -> Sequence[ByteString]:  # noqa: ARG002 - nothing is added
        """See `Redundancy`: the same bytes for every slot, not copied."""
        return [data] * self.width

    def is_good(self, shard: ByteString, *, digest: bytes, slot: int) -> bool:  # noqa: ARG002 - every slot is the same
        """See `Redundancy`."""
        return digest_of(shard) == digest

    def shard_digest(self, digest: bytes, slot: int) -> bytes | None:  # noqa: ARG002 - every slot is the same
        """See `Redundancy`."""
        return digest

    def decode(self, shards: Mapping[int, ByteString], *, digest: bytes) -> ByteString:  # noqa: ARG002 - checked before
        """See `Redundancy`."""
        return next(iter(shards.values()))


def redundancy_of(policy: Policy) -> Redundancy:
    """Return what a policy asks for."""
    match policy.kind:
        case PolicyKind.REPLICATED:
            return Replication(policy.width)
        case PolicyKind.ERASURE:
            return ErasureCoding(policy.needed, policy.losses_tolerated)


async def encoded(redundancy: Redundancy, data: ByteString, *, digest: bytes) -> Sequence[ByteString]:
    """Encode, in a thread where that is work; `data` may be changed once this returns, unless the shards are alike."""
    if redundancy.alike:
        return redundancy.encode(data, digest=digest)
    return await asyncio.to_thread(redundancy.encode, data, digest=digest)


async def decoded(redundancy: Redundancy, shards: Mapping[int, ByteString], *, digest: bytes) -> ByteString | None:
    """Decode, in a thread where that is work."""
    if redundancy.alike:
        return redundancy.decode(shards, digest=digest)
    return await asyncio.to_thread(redundancy.decode, shards, digest=digest)


def digest_of(data: ByteString) -> bytes:
    """Return the BLAKE3 digest; 7 GB/s on one core, without holding the interpreter's lock."""
    return blake3(data).digest()
