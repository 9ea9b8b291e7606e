"""What a node does besides giving and taking bytes: each operation is a small document in, and one out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from reelstore.domain.chunk import DIGEST_BYTES, ShardName
from reelstore.domain.errors import InvalidInput
from reelstore.node.folder import NodeFolder
from reelstore.node.gate import Admitted
from reelstore.storage.interface import Marker
from reelstore.storage.node import wire

Operation = Callable[[NodeFolder, Admitted, Mapping[str, Any]], Awaitable[Any]]

ENTRIES_MAX = 1000
"""Copies or strays that one answer tells."""


async def _attach(folder: NodeFolder, admitted: Admitted, given: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    marker = Marker(admitted.cluster, admitted.server, str(given["generation"]), int(given["delete_rounds"]))
    return wire.dump_marker(await folder.attach(admitted, marker, claim=bool(given["claim"])))


async def _check(folder: NodeFolder, admitted: Admitted, _: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    return wire.dump_marker(await folder.check(admitted))


async def _size(folder: NodeFolder, _: Admitted, __: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    return await asyncio.to_thread(folder.size_bytes)


async def _record_delete_rounds(folder: NodeFolder, admitted: Admitted, given: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    generation = given.get("generation")
    await folder.served(admitted).record_delete_rounds(
        int(given["rounds"]), generation=None if generation is None else str(generation)
    )


async def _stat(folder: NodeFolder, admitted: Admitted, given: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    entry = await folder.served(admitted).stat(_shard(given))
    return None if entry is None else wire.dump_entry(entry)


async def _delete(folder: NodeFolder, admitted: Admitted, given: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    return await folder.served(admitted).delete(_shard(given))


async def _find(folder: NodeFolder, admitted: Admitted, given: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    digest = bytes.fromhex(given["digest"])
    if len(digest) > DIGEST_BYTES:
        raise InvalidInput("not a digest", field="digest")
    return wire.dump_entries(await folder.served(admitted).find(str(given["policy"]), digest))


async def _usage(folder: NodeFolder, admitted: Admitted, _: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    return wire.dump_usage(await folder.served(admitted).usage())


async def _set_aside(folder: NodeFolder, admitted: Admitted, given: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    await folder.served(admitted).set_aside(_shard(given))


async def _quarantined(folder: NodeFolder, admitted: Admitted, given: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    return wire.dump_copies(await folder.served(admitted).quarantined(_limit(given)))


async def _drop_quarantined(folder: NodeFolder, admitted: Admitted, given: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    return wire.dump_copies(await folder.served(admitted).drop_quarantined(wire.parse_time(given["before"])))


async def _adopt(folder: NodeFolder, admitted: Admitted, given: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    return await folder.served(admitted).adopt(ShardName.parse(given["old"]), ShardName.parse(given["new"]))


async def _release(folder: NodeFolder, admitted: Admitted, _: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    return await folder.release(admitted)


async def _digest(folder: NodeFolder, admitted: Admitted, given: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    return (await folder.served(admitted).digest(_shard(given))).hex()


async def _strays(folder: NodeFolder, admitted: Admitted, given: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    return wire.dump_strays(await folder.served(admitted).strays(_limit(given)))


OPERATIONS: Mapping[str, Operation] = {
    "attach": _attach,
    "check": _check,
    "size": _size,
    "record_delete_rounds": _record_delete_rounds,
    "stat": _stat,
    "delete": _delete,
    "find": _find,
    "usage": _usage,
    "set_aside": _set_aside,
    "quarantined": _quarantined,
    "drop_quarantined": _drop_quarantined,
    "adopt": _adopt,
    "release": _release,
    "digest": _digest,
    "strays": _strays,
}


def _shard(given: Mapping[str, Any]) -> ShardName:
    return ShardName.parse(given["shard"])


def _limit(given: Mapping[str, Any]) -> int:
    return max(0, min(int(given["limit"]), ENTRIES_MAX))
