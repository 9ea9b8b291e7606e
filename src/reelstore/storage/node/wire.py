"""How values travel between a gateway and a node: names as text, all else as JSON; a listing in frames.

A frame is its length in four bytes, its seal in 64 hexadecimal digits, and a JSON document: `{"entries": […]}`, or at
the end `{"end": true}`, or `{"error": …}` where the listing broke off. A listing without a last frame is none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from reelstore.domain.chunk import ShardName
from reelstore.domain.errors import (
    InvalidInput,
    ReelstoreError,
    ServerFull,
    ServerRefused,
    ServerUnauthorized,
    ServerUnavailable,
    ShardCorrupt,
    ShardMissing,
    StorageError,
)
from reelstore.storage.interface import Marker, QuarantinedCopy, ShardEntry, Stray, Usage

SHARDS = "/v1/shards/"
CALLS = "/v1/calls/"

FRAME_HEAD_BYTES = 4 + 64
FRAME_BYTES_MAX = 1024**2
ANSWER_BYTES_MAX = 16 * 1024**2
JSON_BODY_BYTES_MAX = 64 * 1024

STATUS: Mapping[type[ReelstoreError], int] = {
    InvalidInput: 400,
    ServerUnauthorized: 401,
    ShardMissing: 404,
    ServerRefused: 409,
    ShardCorrupt: 422,
    ServerUnavailable: 503,
    ServerFull: 507,
}
"""The status of each error that a storage server may raise, the only ones that travel as they are."""

_STORAGE: Mapping[str, type[StorageError]] = {
    error.__name__: error for error in STATUS if issubclass(error, StorageError)
}


def dump(document: object) -> bytes:
    """Write JSON."""
    return json.dumps(document, separators=(",", ":")).encode()


def dump_error(error: ReelstoreError) -> dict[str, Any]:
    """Return an error as a document; one that no storage server may raise is a `ServerUnavailable`."""
    kind = next((known for known in STATUS if type(error) is known), ServerUnavailable)
    return {"error": kind.__name__, "message": str(error), "field": getattr(error, "field", None)}


def parse_error(document: Any, *, server: str) -> ReelstoreError:  # noqa: ANN401 - whatever the far end wrote
    """Return the error that a document tells, of a server as we name it; total."""
    if not isinstance(document, dict):
        return ServerUnavailable("the node reported an error that cannot be understood", server=server)
    message, field = str(document.get("message", "")), document.get("field")
    if document.get("error") == InvalidInput.__name__:
        return InvalidInput(message, field=field if isinstance(field, str) else None)
    return _STORAGE.get(str(document.get("error")), ServerUnavailable)(message, server=server)


def dump_entry(entry: ShardEntry) -> list[Any]:
    """Return an entry as a short document: its name, size and time of change."""
    return [str(entry.name), entry.size_bytes, entry.changed_ns]


def parse_entry(document: Any) -> ShardEntry:  # noqa: ANN401 - the same
    """Read what `dump_entry` wrote; raises `ValueError`, `TypeError` or `InvalidInput` when it is something else."""
    name, size_bytes, changed_ns = document
    return ShardEntry(ShardName.parse(name), int(size_bytes), None if changed_ns is None else int(changed_ns))


def dump_entries(entries: Iterable[ShardEntry]) -> list[list[Any]]:
    """Return entries as documents."""
    return [dump_entry(entry) for entry in entries]


def parse_entries(documents: Any) -> list[ShardEntry]:  # noqa: ANN401 - the same
    """Read what `dump_entries` wrote."""
    return [parse_entry(document) for document in documents]


def dump_marker(marker: Marker) -> dict[str, Any]:
    """Return a marker as a document."""
    return asdict(marker)


def parse_marker(document: Any) -> Marker:  # noqa: ANN401 - the same
    """Read what `dump_marker` wrote."""
    return Marker(
        str(document["cluster"]), str(document["server"]), str(document["generation"]), int(document["delete_rounds"])
    )


def dump_usage(usage: Usage) -> list[int]:
    """Return how full a server is as a document."""
    return [usage.capacity_bytes, usage.used_bytes, usage.free_bytes]


def parse_usage(document: Any) -> Usage:  # noqa: ANN401 - the same
    """Read what `dump_usage` wrote."""
    capacity_bytes, used_bytes, free_bytes = document
    return Usage(int(capacity_bytes), int(used_bytes), int(free_bytes))


def dump_copies(copies: Iterable[QuarantinedCopy]) -> list[list[Any]]:
    """Return copies in quarantine as documents."""
    return [[copy.id, str(copy.name), copy.size_bytes, copy.set_aside_at.isoformat()] for copy in copies]


def parse_copies(documents: Any) -> list[QuarantinedCopy]:  # noqa: ANN401 - the same
    """Read what `dump_copies` wrote."""
    return [
        QuarantinedCopy(str(id_), ShardName.parse(name), int(size_bytes), parse_time(at))
        for id_, name, size_bytes, at in documents
    ]


def dump_strays(strays: Iterable[Stray]) -> list[list[str]]:
    """Return strays as documents."""
    return [[stray.path, stray.reason] for stray in strays]


def parse_strays(documents: Any) -> list[Stray]:  # noqa: ANN401 - the same
    """Read what `dump_strays` wrote."""
    return [Stray(str(path), str(reason)) for path, reason in documents]


def parse_time(text: Any) -> datetime:  # noqa: ANN401 - the same
    """Read a time with its zone, in ISO 8601."""
    at = datetime.fromisoformat(str(text))
    if at.tzinfo is None:
        raise ValueError("a time without its zone")
    return at.astimezone(UTC)
