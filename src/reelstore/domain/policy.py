"""Policies: how a chunk is made redundant. Created, never edited once used."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from reelstore.domain.errors import InvalidInput

CHUNK_SIZE_BYTES_DEFAULT = 4 * 1024 * 1024
CHUNK_SIZE_BYTES_MIN = 4 * 1024
CHUNK_SIZE_BYTES_MAX = 64 * 1024 * 1024
COPIES_MAX = 9

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class PolicyKind(StrEnum):
    """The families of redundancy."""

    REPLICATED = "replicated"


@dataclass(frozen=True, slots=True)
class Policy:
    """Say how many shards a chunk has, how many must be durable before it counts, and how large chunks are.

    Args:
        name: lower-case, at most 63 characters; part of every shard's name.
        kind: `replicated`: each shard is a full copy.
        copies: shards for each chunk, 1 to 9.
        copies_min: distinct servers that must have acknowledged before a write is; by default
            min(n, max(2, n − 1)).
        chunk_size_bytes: the size at which a body is cut.

    Raises:
        InvalidInput: a value out of its range; a retry does not help.
    """

    name: str
    kind: PolicyKind
    copies: int
    copies_min: int
    chunk_size_bytes: int = CHUNK_SIZE_BYTES_DEFAULT

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InvalidInput(f"not a policy's name: {self.name!r}", field="policy")
        if not 1 <= self.copies <= COPIES_MAX:
            raise InvalidInput(f"copies must be 1 to {COPIES_MAX}, not {self.copies}", field="copies")
        if not 1 <= self.copies_min <= self.copies:
            raise InvalidInput(f"copies_min must be 1 to {self.copies}, not {self.copies_min}", field="copies_min")
        if not CHUNK_SIZE_BYTES_MIN <= self.chunk_size_bytes <= CHUNK_SIZE_BYTES_MAX:
            raise InvalidInput(
                f"chunk_size_bytes must be {CHUNK_SIZE_BYTES_MIN} to {CHUNK_SIZE_BYTES_MAX}",
                field="chunk_size_bytes",
            )

    @classmethod
    def replicated(
        cls,
        name: str,
        copies: int,
        *,
        copies_min: int | None = None,
        chunk_size_bytes: int = CHUNK_SIZE_BYTES_DEFAULT,
    ) -> Policy:
        """Make a policy of `copies` full copies, with the usual `copies_min` unless one is given."""
        usual = min(copies, max(2, copies - 1))
        return cls(
            name,
            PolicyKind.REPLICATED,
            copies,
            usual if copies_min is None else copies_min,
            chunk_size_bytes,
        )

    @property
    def width(self) -> int:
        """Return the number of shards of a chunk: the slots of a partition's row."""
        return self.copies

    @property
    def losses_tolerated(self) -> int:
        """Return how many shards of a chunk may be lost at once without losing the chunk."""
        return self.copies - 1

    def __str__(self) -> str:
        return f"{self.kind}({self.copies})"
