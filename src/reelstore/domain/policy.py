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
FRAGMENTS_MAX = 32
"""Fragments of a chunk that the erasure code can make (liberasurecode's `EC_MAX_FRAGMENTS`)."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class PolicyKind(StrEnum):
    """The families of redundancy."""

    REPLICATED = "replicated"
    ERASURE = "erasure"


@dataclass(frozen=True, slots=True)
class Policy:
    """Say how many shards a chunk has, how many must be durable before it counts, and how large chunks are.

    Make one with `replicated` or `erasure`, which know the usual `copies_min`.

    Args:
        name: lower-case, at most 63 characters; part of every shard's name.
        kind: `replicated`: each shard is a full copy; `erasure`: each is another fragment.
        width: shards of each chunk, one for each slot of a partition's row.
        needed: shards of different slots that make a chunk whole: 1 copy, or k fragments.
        copies_min: distinct servers that must have acknowledged before a write is.
        chunk_size_bytes: the size at which a body is cut.

    Raises:
        InvalidInput: a value out of its range; a retry does not help.
    """

    name: str
    kind: PolicyKind
    width: int
    needed: int
    copies_min: int
    chunk_size_bytes: int = CHUNK_SIZE_BYTES_DEFAULT

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InvalidInput(
                "a policy's name has 1 to 63 lower-case letters, digits, - and _, and begins with a letter or a digit; "
                f"this is none: {self.name[:80]!r}",
                field="name",
            )
        match self.kind:
            case PolicyKind.REPLICATED:
                self._check_copies()
            case PolicyKind.ERASURE:
                self._check_fragments()
        if not self.needed <= self.copies_min <= self.width:
            raise InvalidInput(
                f"copies_min must be {self.needed} to {self.width}, not {self.copies_min}", field="copies_min"
            )
        if not CHUNK_SIZE_BYTES_MIN <= self.chunk_size_bytes <= CHUNK_SIZE_BYTES_MAX:
            raise InvalidInput(
                f"chunk_size_bytes must be {CHUNK_SIZE_BYTES_MIN} to {CHUNK_SIZE_BYTES_MAX}",
                field="chunk_size_bytes",
            )

    def _check_copies(self) -> None:
        if not 1 <= self.width <= COPIES_MAX:
            raise InvalidInput(f"copies must be 1 to {COPIES_MAX}, not {self.width}", field="copies")
        if self.needed != 1:
            raise InvalidInput("any one copy is the whole chunk", field="needed")

    def _check_fragments(self) -> None:
        data, parity = self.needed, self.width - self.needed
        if not 2 <= data < FRAGMENTS_MAX:
            raise InvalidInput(f"k must be 2 to {FRAGMENTS_MAX - 1}, not {data}; one piece is a copy", field="k")
        if not 1 <= parity <= FRAGMENTS_MAX - data:
            raise InvalidInput(f"with k = {data}, m must be 1 to {FRAGMENTS_MAX - data}, not {parity}", field="m")

    @classmethod
    def replicated(
        cls,
        name: str,
        copies: int,
        *,
        copies_min: int | None = None,
        chunk_size_bytes: int = CHUNK_SIZE_BYTES_DEFAULT,
    ) -> Policy:
        """Make a policy of `copies` full copies; `copies_min` is min(n, max(2, n − 1)) unless it is given."""
        usual = min(copies, max(2, copies - 1))
        return cls(
            name,
            PolicyKind.REPLICATED,
            width=copies,
            needed=1,
            copies_min=usual if copies_min is None else copies_min,
            chunk_size_bytes=chunk_size_bytes,
        )

    @classmethod
    def erasure(
        cls,
        name: str,
        k: int,
        m: int,
        *,
        copies_min: int | None = None,
        chunk_size_bytes: int = CHUNK_SIZE_BYTES_DEFAULT,
    ) -> Policy:
        """Make a policy of k fragments of data and m of parity, any k of which make a chunk whole.

        `copies_min` is k + max(1, m − 1) unless it is given: what was acknowledged survives the loss of a server.
        """
        usual = k + max(1, m - 1)
        return cls(
            name,
            PolicyKind.ERASURE,
            width=k + m,
            needed=k,
            copies_min=usual if copies_min is None else copies_min,
            chunk_size_bytes=chunk_size_bytes,
        )

    @property
    def losses_tolerated(self) -> int:
        """Return how many shards of a chunk may be lost at once without losing the chunk."""
        return self.width - self.needed

    def __str__(self) -> str:
        if self.kind is PolicyKind.ERASURE:
            return f"{self.kind}({self.needed}, {self.losses_tolerated})"
        return f"{self.kind}({self.width})"
