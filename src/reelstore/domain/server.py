"""Storage servers: places that keep shards."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from reelstore.domain.errors import InvalidInput

SERVERS_MAX = 10_000

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
_ZONE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:-]{0,61}[A-Za-z0-9])?")


class ServerState(StrEnum):
    """What the operator wants of a server."""

    ACTIVE = "active"
    DRAINING = "draining"
    REMOVED = "removed"


class ServerHealth(StrEnum):
    """What the monitor last saw."""

    UP = "up"
    UNREACHABLE = "unreachable"


class Eviction(StrEnum):
    """When a server that is silent for long leaves the ring by itself: `auto` is on from three zones."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Server:
    """A registered storage server.

    Args:
        name: unique and stable; the identifier everywhere outside of rings.
        number: a small integer, never reused; the identifier in rings.
        url: which driver, and where; never holds a secret.
        zone: servers that may fail together share one.
        capacity_bytes: its weight in the ring.
        state: `active`, `draining` or `removed`.
        health: `up` or `unreachable`, with `health_reason` in words when it is not up.
        last_seen_at: when a probe last succeeded.
        used_bytes: bytes of shards at that time.
        unreachable_since: when probes began to fail; None while it is up.
        evicted_at: when the monitor took it out of the ring because it did not answer; None if it did not.
        remove_when_empty: it drains in order to be removed.
    """

    name: str
    number: int
    url: str
    zone: str
    capacity_bytes: int
    state: ServerState = ServerState.ACTIVE
    health: ServerHealth = ServerHealth.UP
    health_reason: str | None = None
    last_seen_at: datetime | None = None
    used_bytes: int = 0
    unreachable_since: datetime | None = None
    evicted_at: datetime | None = None
    remove_when_empty: bool = False


def check_server_name(name: str) -> str:
    """Return the name, or raise `InvalidInput` when it is not one (a retry does not help)."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            "a server's name has 1 to 63 characters: lower-case letters, digits, '.', '_' and '-', "
            "beginning and ending with a letter or digit",
            field="name",
        )
    return name


def check_zone(zone: str) -> str:
    """Return the zone, or raise `InvalidInput` when it is not one (a retry does not help)."""
    if not _ZONE.fullmatch(zone):
        raise InvalidInput("a zone has 1 to 63 letters, digits, '.', '_', ':' and '-'", field="zone")
    return zone


def natural_order(name: str) -> list[tuple[int, str]]:
    """Return what names are sorted by, so that `disk10` comes after `disk9`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
