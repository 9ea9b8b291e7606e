"""The names of hosts in URLs of servers."""

from __future__ import annotations

import re
import socket
from contextlib import suppress

ZONE_LENGTH_MAX = 63

HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]+")


def same_host(a: str, b: str) -> bool:
    """Tell whether two names lead to one machine, names being resolved; may wait for that."""
    return a == b or not _addresses(a).isdisjoint(_addresses(b))


def _addresses(host: str) -> frozenset[str]:
    with suppress(OSError, UnicodeError):
        return frozenset(str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
    return frozenset()
