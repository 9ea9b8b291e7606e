"""The marker's written form: JSON with a version and a checksum, the same in every kind of place.

```json
{"reelstore_marker": 1, "cluster": "…", "server": "…", "generation": "…", "delete_rounds": 0, "checksum": "…"}
```

`checksum` is the BLAKE3 of the other members, sorted by name, without spaces.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

from blake3 import blake3

from reelstore.storage.interface import Marker

MARKER_VERSION = 1
MARKER_SIZE_BYTES_MAX = 64 * 1024

_VERSION_KEY = "reelstore_marker"


def recorded(marker: Marker, rounds: int, generation: str | None) -> Marker:
    """Return a marker after `StorageServer.record_delete_rounds`."""
    return replace(
        marker,
        delete_rounds=max(rounds, marker.delete_rounds),
        generation=marker.generation if generation is None else generation,
    )


def dump_marker(marker: Marker) -> bytes:
    """Write a marker as UTF-8 text of one line."""
    members: dict[str, Any] = {_VERSION_KEY: MARKER_VERSION, **asdict(marker)}
    return json.dumps({**members, "checksum": _checksum(members)}).encode() + b"\n"


def parse_marker(text: bytes) -> Marker:
    """Read what `dump_marker` wrote, strictly: a marker that was cut or edited says nothing.

    Raises:
        ValueError: it is not a whole marker of a version that this program knows; the message says what is wrong.
    """
    try:
        members = json.loads(text.decode())
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if not isinstance(members, dict) or _VERSION_KEY not in members:
        raise ValueError("it is not a marker of Reelstore")
    if members[_VERSION_KEY] != MARKER_VERSION:
        raise ValueError(f"its version is {members[_VERSION_KEY]!r}; this program knows version {MARKER_VERSION}")
    if members.pop("checksum", None) != _checksum(members):
        raise ValueError("its checksum does not match")
    del members[_VERSION_KEY]
    rounds = members.pop("delete_rounds", None)
    names = [members.pop(key, None) for key in ("cluster", "server", "generation")]
    if members or type(rounds) is not int or rounds < 0 or not all(isinstance(name, str) for name in names):
        raise ValueError("its members are not those of a marker")
    return Marker(names[0], names[1], names[2], rounds)


def _checksum(members: dict[str, Any]) -> str:
    return blake3(json.dumps(members, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
