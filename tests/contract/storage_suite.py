"""What the contract of storage servers is run on, and the shards that it stores."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from blake3 import blake3

from reelstore.domain.chunk import ShardName
from reelstore.storage.bucket.url import bucket_address
from reelstore.storage.directory import DirectoryServer
from reelstore.storage.interface import Marker, ShardEntry, StorageServer
from reelstore.storage.memory import MemoryServer
from tests.faults import CapableFaultyServer, FaultyServer
from tests.live_bucket import LiveBuckets
from tests.live_node import LiveNodes

MARKER = Marker(cluster="c0ffee", server="a", generation="g1", delete_rounds=0)

NODES = LiveNodes()
"""Those that the tests at work have started; stopped after each."""

BUCKETS = LiveBuckets()
"""The store of all tests of buckets; each has a bucket of its own."""

RUN = os.urandom(8).hex()
"""So that nothing which an earlier run left in a given bucket is found."""

Build = Callable[[Path, int | None], StorageServer]


def memory(_: Path, capacity_bytes: int | None) -> StorageServer:
    return MemoryServer("a", capacity_bytes=capacity_bytes)


def directory(path: Path, capacity_bytes: int | None) -> StorageServer:
    return DirectoryServer("a", path / "place", capacity_bytes=capacity_bytes, reserve_bytes=0)


def faulty(path: Path, capacity_bytes: int | None) -> StorageServer:
    return FaultyServer(memory(path, capacity_bytes))


def capable_faulty(path: Path, capacity_bytes: int | None) -> StorageServer:
    return CapableFaultyServer(memory(path, capacity_bytes))


def node(path: Path, capacity_bytes: int | None) -> StorageServer:
    return NODES.start(path / "place").driver("a", capacity_bytes=capacity_bytes)


def bucket(path: Path, capacity_bytes: int | None) -> StorageServer:
    name = BUCKETS.make(hashlib.sha256(str(path).encode()).hexdigest()[:40])
    return BUCKETS.driver(BUCKETS.address(name), "a", capacity_bytes=capacity_bytes)


def given_bucket(path: Path, capacity_bytes: int | None) -> StorageServer:
    address = bucket_address(urlsplit(os.environ["REELSTORE_TEST_S3_URL"]))
    prefix = hashlib.sha256(f"{RUN} {path}".encode()).hexdigest()
    return BUCKETS.driver(
        replace(address, prefix=f"{address.prefix}/{prefix}".strip("/")),
        capacity_bytes=capacity_bytes,
        variables=dict(os.environ),
    )


KINDS: dict[str, Build] = {
    "memory": memory,
    "directory": directory,
    "faulty": faulty,
    "capable-faulty": capable_faulty,
    "node": node,
    "bucket": bucket,
}
if "REELSTORE_TEST_S3_URL" in os.environ:
    KINDS["given-bucket"] = given_bucket


def shard(
    data: bytes = b"", *, digest: bytes | None = None, policy: str = "default", slot: int = 0, tenure: int = 1
) -> ShardName:
    found = blake3(data).digest() if digest is None else digest
    return ShardName(policy, found, hashlib.md5(found, usedforsecurity=False).hexdigest(), slot, tenure)


def digest_at(prefix: str) -> bytes:
    """Return the first digest that begins with these hexadecimal digits."""
    return bytes.fromhex(prefix.ljust(64, "0"))


async def listed(
    server: StorageServer, policy: str = "default", start: bytes = b"", stop: bytes | None = None
) -> list[ShardEntry]:
    return [entry async for entry in server.list(policy, start, stop)]


async def listed_names(
    server: StorageServer, policy: str = "default", start: bytes = b"", stop: bytes | None = None
) -> set[ShardName]:
    entries = await listed(server, policy, start, stop)
    names = {entry.name for entry in entries}
    assert len(names) == len(entries), "each shard is listed once"
    return names
