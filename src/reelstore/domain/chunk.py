"""Chunks and the names of their shards.

A *chunk* is an immutable piece of a file, named by its BLAKE3 digest. A *shard* is what one server keeps of it.
Rule 2 of the storage protocol: a shard's name is used once. It holds the random id of the chunk's row and the tenure
of the server in the partition's row, so that a late delete can never hit bytes that were written anew.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from reelstore.domain.errors import InvalidInput

DIGEST_BYTES = 32

_NAME = re.compile(
    r"(?P<policy>[a-z0-9][a-z0-9_-]{0,62})/"
    r"(?P<digest>[0-9a-f]{64})\.(?P<chunk>[0-9a-f]{32})\.(?P<slot>0|[1-9][0-9]{0,2})\.(?P<tenure>[0-9a-f]{16})"
)


class ChunkState(StrEnum):
    """Whether a chunk has been confirmed: `writing` promises nothing, `live` has `copies_min` shards."""

    WRITING = "writing"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class Chunk:
    """A row of the chunk table: a random id that is never used again, a policy and a digest."""

    id: str
    policy: str
    digest: bytes
    size_bytes: int
    state: ChunkState


@dataclass(frozen=True, slots=True)
class ChunkRef:
    """One place in a file's chunk map: bytes `[offset_bytes, offset_bytes + size_bytes)` of the file."""

    position: int
    offset_bytes: int
    chunk: Chunk

    @property
    def stop_bytes(self) -> int:
        """Return the offset one past the last byte."""
        return self.offset_bytes + self.chunk.size_bytes


@dataclass(frozen=True, slots=True, order=True)
class ShardName:
    """Name one shard: `policy/digest.chunk.slot.tenure`, digest, chunk and tenure in lower-case hexadecimal."""

    policy: str
    digest: bytes
    chunk: str
    slot: int
    tenure: int

    def __str__(self) -> str:
        return f"{self.policy}/{self.leaf}"

    @property
    def leaf(self) -> str:
        """Return the name without the policy; safe as the name of a file on any file system."""
        return f"{self.digest.hex()}.{self.chunk}.{self.slot}.{self.tenure:016x}"

    @classmethod
    def parse(cls, text: str) -> ShardName:
        """Read what `str` wrote.

        Raises:
            InvalidInput: it is not exactly a shard's name; a retry does not help.
        """
        match = _NAME.fullmatch(text)
        if match is None:
            raise InvalidInput(f"not the name of a shard: {text!r}", field="shard")
        return cls(
            policy=match["policy"],
            digest=bytes.fromhex(match["digest"]),
            chunk=match["chunk"],
            slot=int(match["slot"]),
            tenure=int(match["tenure"], 16),
        )
