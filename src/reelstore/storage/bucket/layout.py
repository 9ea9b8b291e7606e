"""Where things lie in a bucket, below the prefix of the server's URL.

```
reelstore.json                          the marker: whose place this is
shards/<policy>/<3 hex digits>/<leaf>   a shard; the digits are the first of its digest
quarantine/<policy>.<leaf>.<when>       copies of suspect bytes
trial/<random>                          what a claim tries the store with; deleted at once
```

The names of the directory driver, so that one tool reads both. The keys of a policy sort as the digests do, so that a
listing can begin anywhere; by digest and never by partition, so that another number of partitions moves no key.
"""

from __future__ import annotations

from reelstore.domain.chunk import DIGEST_BYTES, ShardName
from reelstore.domain.errors import InvalidInput
from reelstore.storage.checks import check_name

MARKER = "reelstore.json"
SHARDS = "shards"
QUARANTINE = "quarantine"
TRIAL = "trial"

FOLDERS = 16**3
FOLDER_DIGITS = 3


def shard_key(name: ShardName) -> str:
    """Return where a shard lies.

    Raises:
        InvalidInput: see `check_name`.
    """
    check_name(name)
    return f"{folder_of(name.policy, folder_index(name.digest))}/{name.leaf}"


def folder_of(policy: str, index: int) -> str:
    """Return the folder of all digests that begin with these 12 bits."""
    return f"{policy_folder(policy)}/{index:0{FOLDER_DIGITS}x}"


def policy_folder(policy: str) -> str:
    """Return the folder of all shards of a policy."""
    return f"{SHARDS}/{policy}"


def folder_index(digest: bytes) -> int:
    """Return the first 12 bits, with zeros for what is not there."""
    return int.from_bytes(digest[:2].ljust(2, b"\0"), "big") >> 4


def key_before(policy: str, start: bytes) -> str:
    """Return a key that sorts before those of all digests from `start` on, and after those of all lower ones."""
    return f"{folder_of(policy, folder_index(start))}/{start.hex()[: 2 * DIGEST_BYTES]}"


def parse_shard(key: str) -> ShardName | None:
    """Read a shard's name from its key; None where it is no shard's, or lies in another's folder."""
    folder, _, leaf = key.rpartition("/")
    try:
        name = ShardName.parse(f"{folder.removeprefix(SHARDS + '/').rpartition('/')[0]}/{leaf}")
    except InvalidInput:
        return None
    return name if shard_key(name) == key else None


def first_digest(index: int) -> bytes:
    """Return the lowest digest that lies in a folder."""
    return (index << 4).to_bytes(2, "big").ljust(DIGEST_BYTES, b"\0")
