"""Where things lie in a server's folder.

```
reelstore.json                          the marker: whose folder this is
shards/<policy>/<3 hex digits>/<leaf>   a shard; the digits are the first of its digest
quarantine/                             copies of suspect bytes
.<pid>.<random>.<count>.tmp             being written, beside its final name
```

By digest and never by partition, so that another number of partitions moves no file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import count

from reelstore.domain.chunk import DIGEST_BYTES, ShardName
from reelstore.domain.errors import InvalidInput
from reelstore.storage.checks import check_name

MARKER = "reelstore.json"
SHARDS = "shards"
QUARANTINE = "quarantine"
LOST_AND_FOUND = "lost+found"  # what a fresh ext file system holds

PREFIXES = 16**3

_PREFIX = re.compile(r"[0-9a-f]{3}")
_TEMPORARY = re.compile(r"\.[0-9]+\.[0-9a-f]{16}\.[0-9]+\.tmp")


def subdirectory(name: ShardName) -> tuple[str, str, str]:
    """Return the way to a shard's folder, from the root.

    Raises:
        InvalidInput: see `check_name`.
    """
    check_name(name)
    return SHARDS, name.policy, name.digest.hex()[:3]


def prefixes(start: bytes, stop: bytes | None) -> Iterator[str]:
    """Yield the folders that digests in `[start, stop)` lie in, in order."""
    first, last = _leading_bits(start), PREFIXES - 1
    if stop is not None:
        last = _leading_bits(stop)
        if bytes.fromhex(f"{last:03x}".ljust(2 * DIGEST_BYTES, "0")) >= stop:  # its first digest is too far already
            last -= 1
    for prefix in range(first, last + 1):
        yield f"{prefix:03x}"


def parse_leaf(policy: str, prefix: str, leaf: str) -> ShardName:
    """Read a shard's name from where its file lies.

    Raises:
        InvalidInput: it is no shard's, or lies in another's folder; the message says which.
    """
    name = ShardName.parse(f"{policy}/{leaf}")
    if not leaf.startswith(prefix):
        raise InvalidInput("it lies in the folder of other digests", field="shard")
    return name


def is_prefix(name: str) -> bool:
    """Tell whether a folder of a policy is one that shards lie in."""
    return _PREFIX.fullmatch(name) is not None


def is_temporary(name: str) -> bool:
    """Tell whether a file is one that was being written."""
    return _TEMPORARY.fullmatch(name) is not None


class Temporaries:
    """Name the files that one opening of a folder writes, apart from all that others left behind."""

    def __init__(self) -> None:
        self._stem = f".{os.getpid()}.{os.urandom(8).hex()}."
        self._numbers = count()

    def draw(self) -> str:
        """Return a name that was never used."""
        return f"{self._stem}{next(self._numbers)}.tmp"

    def owns(self, name: str) -> bool:
        """Tell whether `draw` may have returned it."""
        return name.startswith(self._stem)


def _leading_bits(digest: bytes) -> int:
    """Return the first 12 bits, with zeros for what is not there."""
    return int.from_bytes(digest[:2].ljust(2, b"\0"), "big") >> 4
