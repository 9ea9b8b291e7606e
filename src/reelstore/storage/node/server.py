"""`NodeServer`: a `StorageServer` on a folder of another machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, TypeVar

from reelstore.domain.chunk import ShardName
from reelstore.domain.errors import InvalidInput, ServerUnavailable
from reelstore.storage.checks import (
    SHARD_SIZE_BYTES_MAX,
    check_adoption,
    check_capacity,
    check_name,
    check_policy,
    check_size,
    check_span,
)
from reelstore.storage.interface import ByteString, Marker, QuarantinedCopy, ShardEntry, Stray, Usage
from reelstore.storage.node import wire
from reelstore.storage.node.connection import NodeConnection, Place

T = TypeVar("T")


class NodeServer:
    """Keep shards on a node, `reelstore node`, which is a `DirectoryServer` over HTTP.

    See `StorageServer`, `Quarantining`, `Adopting`, `Releasing`, `Resizable`, `Verifying` and `StrayReporting`. What
    differs, or is decided here:

    - The node holds the folder and its lock, for all gateways of the cluster; to attach is to prove whose it is, and
      each request names the cluster and the server that are meant, so that a node at a wrong address refuses.
    - A put is streamed: the node writes while it receives, and stores nothing but all of the bytes that were signed.
    - A request that came to nothing is repeated, at most twice, where that is harmless; the caller's time limit holds.
      After five failures in a row the node is left alone for a growing time, at most eight seconds.
    - A listing is an error unless its end was received and proved.
    - The capacity travels with each request; a restarted node learns it from the first.
    - Secrets that differ, and clocks more than five minutes apart, are `ServerUnauthorized`: the shards are there.

    Args:
        name: the server's name in the cluster.
        connection: how the node is reached; closed with this.
        capacity_bytes: what all shards may take together; None: what the node's file system has.

    Raises:
        InvalidInput: a capacity below 1.
    """

    def __init__(self, name: str, connection: NodeConnection, *, capacity_bytes: int | None = None) -> None:
        self._name = name
        self._connection = connection
        self._capacity_bytes = check_capacity(capacity_bytes)
        self._cluster: str | None = None
        self._absence = "the server is not attached"

    @property
    def name(self) -> str:
        """See `StorageServer`."""
        return self._name

    def resize(self, capacity_bytes: int) -> None:
        """See `Resizable`. The node learns it from the next request."""
        self._capacity_bytes = check_capacity(capacity_bytes)

    async def attach(self, marker: Marker, *, claim: bool) -> Marker:
        """See `StorageServer`."""
        place = Place(marker.cluster, marker.server, self._capacity_bytes)
        arguments = {"generation": marker.generation, "delete_rounds": marker.delete_rounds, "claim": claim}
        answer = await self._connection.call("attach", arguments, place, again=True)
        found = self._understood(wire.parse_marker, answer)
        self._cluster = marker.cluster
        return found

    async def check(self) -> Marker:
        """See `StorageServer`."""
        return await self._ask("check", wire.parse_marker)

    async def record_delete_rounds(self, rounds: int, *, generation: str | None = None) -> None:
        """See `StorageServer`."""
        await self._ask("record_delete_rounds", _nothing, rounds=rounds, generation=generation)

    async def put(self, name: ShardName, data: ByteString) -> None:
        """See `StorageServer`. The bytes are sent from where they are; they must not change before this returns."""
        view = memoryview(data).cast("B")
        check_size(len(view))
        await self._connection.put(str(check_name(name)), view, self._place())

    async def get(self, name: ShardName, start: int = 0, stop: int | None = None) -> bytes:
        """See `StorageServer`."""
        check_span(start, stop)
        return await self._connection.get(
            str(check_name(name)), start, stop, self._place(), size_bytes_max=SHARD_SIZE_BYTES_MAX
        )

    async def stat(self, name: ShardName) -> ShardEntry | None:
        """See `StorageServer`."""
        return await self._ask("stat", _optional(wire.parse_entry), shard=str(check_name(name)))

    async def delete(self, name: ShardName) -> bool:
        """See `StorageServer`. Not repeated: the second answer would say that it was not there."""
        return await self._ask("delete", bool, again=False, shard=str(check_name(name)))

    async def list(self, policy: str, start: bytes, stop: bytes | None) -> AsyncIterator[ShardEntry]:
        """See `StorageServer`. Fetched while it is gone through; memory does not grow with its length."""
        target = f"{wire.SHARDS}{check_policy(policy)}?start={start.hex()}"
        target += "" if stop is None else f"&stop={stop.hex()}"
        async with aclosing(self._connection.frames(target, self._place())) as documents:
            async for document in documents:
                for entry in self._understood(wire.parse_entries, document.get("entries")):
                    yield entry

    async def find(self, policy: str, digest: bytes) -> Sequence[ShardEntry]:
        """See `StorageServer`."""
        return await self._ask("find", wire.parse_entries, policy=check_policy(policy), digest=digest.hex())

    async def usage(self) -> Usage:
        """See `StorageServer`."""
        return await self._ask("usage", wire.parse_usage)

    async def close(self) -> None:
        """See `StorageServer`. The node keeps the folder; the server may be attached again."""
        self._cluster, self._absence = None, "the server was closed"
        await self._connection.close()

    async def set_aside(self, name: ShardName) -> None:
        """See `Quarantining`."""
        await self._ask("set_aside", _nothing, shard=str(check_name(name)))

    async def quarantined(self, limit: int) -> Sequence[QuarantinedCopy]:
        """See `Quarantining`."""
        return await self._ask("quarantined", wire.parse_copies, limit=limit)

    async def drop_quarantined(self, before: datetime) -> Sequence[QuarantinedCopy]:
        """See `Quarantining`. Not repeated: the second answer would leave out what the first dropped."""
        return await self._ask("drop_quarantined", wire.parse_copies, again=False, before=before.isoformat())

    async def adopt(self, old: ShardName, new: ShardName) -> bool:
        """See `Adopting`."""
        check_adoption(old, check_name(new))
        return await self._ask("adopt", bool, old=str(old), new=str(new))

    async def release(self) -> bool:
        """See `Releasing`. Not repeated: the second would find a place that is nobody's."""
        return await self._ask("release", bool, again=False)

    async def digest(self, name: ShardName) -> bytes:
        """See `Verifying`."""
        return await self._ask("digest", bytes.fromhex, shard=str(check_name(name)))

    async def strays(self, limit: int) -> Sequence[Stray]:
        """See `StrayReporting`."""
        return await self._ask("strays", wire.parse_strays, limit=limit)

    async def _ask(self, operation: str, parse: Callable[[Any], T], *, again: bool = True, **arguments: Any) -> T:  # noqa: ANN401 - JSON
        answer = await self._connection.call(operation, arguments, self._place(), again=again)
        return self._understood(parse, answer)

    def _understood(self, parse: Callable[[Any], T], document: Any) -> T:  # noqa: ANN401 - JSON
        try:
            return parse(document)
        except (ValueError, TypeError, KeyError, InvalidInput) as error:
            raise ServerUnavailable(
                f"the node answered what cannot be understood ({error}): is it of another version?", server=self._name
            ) from None

    def _place(self) -> Place:
        if self._cluster is None:
            raise ServerUnavailable(self._absence, server=self._name)
        return Place(self._cluster, self._name, self._capacity_bytes)


async def size_of_node(connection: NodeConnection) -> int:
    """Return the size of a node's file system in bytes, whoever its folder belongs to; closes the connection.

    Raises:
        ServerUnavailable: see `StorageServer`.
    """
    try:
        return int(await connection.call("size", {}, Place("", "", None), again=True))
    finally:
        await connection.close()


def _nothing(_: object) -> None:
    """Take an answer that says only that it was done."""


def _optional(parse: Callable[[Any], T]) -> Callable[[Any], T | None]:
    return lambda document: None if document is None else parse(document)
