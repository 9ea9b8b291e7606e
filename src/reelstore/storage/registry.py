"""From a server's URL to its driver: the only place that knows every driver.

| URL | Driver |
| --- | --- |
| `memory:` | memory |
| `file:///srv/disk1` | directory; `?reserve_bytes=` sets what is left free on its file system |
| `http://10.0.0.7:5100`, `https://…` | node |
| `s3://bucket/prefix?endpoint=…`, `gs://…`, `az://…` | bucket |

A path is percent-encoded (RFC 8089): a space is `%20`.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote_to_bytes, urlsplit

from reelstore.domain.errors import InvalidInput, InvalidServerUrl
from reelstore.storage.bucket import BucketAccess, BucketServer
from reelstore.storage.bucket.connection import BucketConnection
from reelstore.storage.bucket.url import bucket_address, same_bucket, zone_of_bucket
from reelstore.storage.directory import DirectoryServer
from reelstore.storage.interface import StorageServer
from reelstore.storage.memory import CAPACITY_BYTES_DEFAULT, MemoryServer
from reelstore.storage.node import NodeAccess, NodeServer
from reelstore.storage.node.connection import NodeConnection
from reelstore.storage.node.server import size_of_node
from reelstore.storage.node.url import node_base, same_node, zone_of_node

URL_LENGTH_MAX = 4096

_UNSAFE = re.compile(r"[\x00-\x20\x7f]")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_RESERVE = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Access:
    """What places are reached with; each is None where there is none, and what needs it is refused.

    Args:
        nodes: the secret of the cluster, for the URLs of nodes.
        buckets: the credentials of the environment, for those of buckets.
    """

    nodes: NodeAccess | None = None
    buckets: BucketAccess | None = None


NO_ACCESS = Access()


def connect(url: str, *, name: str, capacity_bytes: int | None = None, access: Access = NO_ACCESS) -> StorageServer:
    """Build the driver for a URL; nothing is opened before `attach`.

    Args:
        url: which driver, and where.
        name: the server's name in the cluster.
        capacity_bytes: what it takes at most; None leaves that to the driver (a directory: its file system).
        access: what places are reached with.

    Returns:
        the server, not yet attached.

    Raises:
        InvalidServerUrl: no driver understands the URL, or an option in it; a retry does not help.
        InvalidInput: a capacity below 1, or none for a bucket.
    """
    parts = _split(url)
    return _DRIVERS[parts.scheme].connect(parts, name, capacity_bytes, access)


def default_zone(url: str) -> str:
    """Return the zone of a server for which none was given: what it surely fails together with.

    A directory's is its file system's device (`disk-254-1`), asked of the nearest parent that exists; a node's is its
    host; a bucket's its endpoint's host, or its service and region; memory's is `memory`.

    Raises:
        InvalidServerUrl: see `connect`.
    """
    parts = _split(url)
    return _DRIVERS[parts.scheme].default_zone(parts)


def default_capacity(url: str, *, access: Access = NO_ACCESS) -> int:
    """Return the capacity of a server for which none was given, in bytes: what its place has, 0 if it has none.

    A directory's is its file system's size, asked of the nearest parent that exists; a node is asked for it; a bucket
    has none. Blocks; not to be called on an event loop.

    Raises:
        InvalidServerUrl: see `connect`.
        ServerUnavailable: the node does not answer, or not to us; a retry can help.
    """
    parts = _split(url)
    return _DRIVERS[parts.scheme].default_capacity(parts, access)


def same_place(url_a: str, url_b: str) -> bool:
    """Tell whether two URLs lead to one place, or one into the other, as they stand now.

    Symbolic links are seen through, and bind mounts of one place; the names of hosts are resolved, which may block. Two
    memories are always two places.

    Raises:
        InvalidServerUrl: see `connect`.
    """
    a, b = _split(url_a), _split(url_b)
    driver = _DRIVERS[a.scheme]
    return driver is _DRIVERS[b.scheme] and driver.same_place(a, b)


@dataclass(frozen=True, slots=True)
class _Driver:
    connect: Callable[[SplitResult, str, int | None, Access], StorageServer]
    default_zone: Callable[[SplitResult], str]
    default_capacity: Callable[[SplitResult, Access], int]
    same_place: Callable[[SplitResult, SplitResult], bool]


def _split(url: str) -> SplitResult:
    if len(url) > URL_LENGTH_MAX:
        raise _invalid(f"it is longer than {URL_LENGTH_MAX} characters")
    if _UNSAFE.search(url):  # `urlsplit` would drop some of them in silence
        raise _invalid("it has a space or a control character; write it percent-encoded, a space as %20")
    try:
        url.encode()  # half of a surrogate pair, which JSON can hold
        parts = urlsplit(url)
    except ValueError as error:
        raise _invalid(str(error)) from None
    if parts.scheme not in _DRIVERS:
        known = ", ".join(f"{scheme}:" for scheme in _DRIVERS)
        raise _invalid(f"unknown scheme {parts.scheme!r} (known: {known}); a directory is file:///absolute/path")
    if parts.fragment or "#" in url:
        raise _invalid("it has a fragment; write '#' in a path as %23")
    return parts


def _invalid(message: str) -> InvalidServerUrl:
    return InvalidServerUrl(f"not a server's URL: {message}", field="url")


def _options(parts: SplitResult, known: Mapping[str, re.Pattern[str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        if key not in known:
            raise _invalid(f"unknown option {key!r} (known: {', '.join(known) or 'none'})")
        if key in found or not known[key].fullmatch(value):
            raise _invalid(f"option {key} is given twice, or is not a number of bytes")
        found[key] = value
    return found


def _check_memory(parts: SplitResult) -> None:
    if parts.netloc or parts.path:
        raise _invalid("memory: has no host and no path")
    _options(parts, {})


def _connect_memory(parts: SplitResult, name: str, capacity_bytes: int | None, _: Access) -> StorageServer:
    _check_memory(parts)
    return MemoryServer(name, capacity_bytes=capacity_bytes)


def _zone_of_memory(parts: SplitResult) -> str:
    _check_memory(parts)
    return "memory"


def _capacity_of_memory(parts: SplitResult, _: Access) -> int:
    _check_memory(parts)
    return CAPACITY_BYTES_DEFAULT


def _same_memory(a: SplitResult, b: SplitResult) -> bool:
    _check_memory(a)
    _check_memory(b)
    return False


def _directory(parts: SplitResult) -> tuple[Path, int | None]:
    """Return the path and the option `reserve_bytes`."""
    if parts.netloc:
        raise _invalid(f"it names the host {parts.netloc!r}; a directory is file:///absolute/path, with three slashes")
    if not parts.path.startswith("/"):
        raise _invalid("the path is missing or relative; a directory is file:///absolute/path")
    if _BROKEN_ESCAPE.search(parts.path):
        raise _invalid("it has a '%' without two hexadecimal digits; write '%' as %25")
    path = unquote_to_bytes(parts.path)
    if b"\0" in path:
        raise _invalid("the path has a NUL")
    reserve = _options(parts, {"reserve_bytes": _RESERVE}).get("reserve_bytes")
    return Path(os.fsdecode(path)), None if reserve is None else int(reserve)


def _connect_directory(parts: SplitResult, name: str, capacity_bytes: int | None, _: Access) -> StorageServer:
    path, reserve_bytes = _directory(parts)
    return DirectoryServer(name, path, capacity_bytes=capacity_bytes, reserve_bytes=reserve_bytes)


def _zone_of_directory(parts: SplitResult) -> str:
    path, _ = _directory(parts)
    for place in (path, *path.parents):
        with suppress(OSError):
            device = place.stat().st_dev
            return f"disk-{os.major(device)}-{os.minor(device)}"
    return "disk"  # not even `/` can be asked


def _capacity_of_directory(parts: SplitResult, _: Access) -> int:
    path = _directory(parts)[0]
    for place in (path, *path.parents):
        with suppress(OSError):
            found = os.statvfs(place)
            return found.f_blocks * found.f_frsize
    return 0


def _same_directory(a: SplitResult, b: SplitResult) -> bool:
    path_a, _ = _directory(a)
    path_b, _ = _directory(b)
    with suppress(OSError):
        if path_a.samefile(path_b):
            return True
    real_a, real_b = Path(os.path.realpath(path_a)), Path(os.path.realpath(path_b))
    return real_a.is_relative_to(real_b) or real_b.is_relative_to(real_a)


def _connect_node(parts: SplitResult, name: str, capacity_bytes: int | None, access: Access) -> StorageServer:
    return NodeServer(name, _node(parts, name, access.nodes), capacity_bytes=capacity_bytes)


def _capacity_of_node(parts: SplitResult, access: Access) -> int:
    return asyncio.run(size_of_node(_node(parts, parts.netloc, access.nodes)))


def _node(parts: SplitResult, name: str, nodes: NodeAccess | None) -> NodeConnection:
    base = node_base(parts)
    if nodes is None:
        raise _invalid("this gateway has no node secret, and reaches no node; node_secret_file names it")
    return NodeConnection(name, base, nodes)


def _connect_bucket(parts: SplitResult, name: str, capacity_bytes: int | None, access: Access) -> StorageServer:
    address = bucket_address(parts)
    if access.buckets is None:
        raise _invalid("this gateway reaches no buckets")
    if capacity_bytes is None:
        raise InvalidInput("a bucket has no size of its own: give its capacity, such as 2TiB", field="capacity_bytes")
    return BucketServer(name, BucketConnection(name, address, access.buckets), capacity_bytes=capacity_bytes)


def _capacity_of_bucket(parts: SplitResult, _: Access) -> int:
    bucket_address(parts)
    return 0


_BUCKET = _Driver(_connect_bucket, zone_of_bucket, _capacity_of_bucket, same_bucket)

_NODE = _Driver(_connect_node, zone_of_node, _capacity_of_node, same_node)

_DRIVERS: Mapping[str, _Driver] = {
    "memory": _Driver(_connect_memory, _zone_of_memory, _capacity_of_memory, _same_memory),
    "file": _Driver(_connect_directory, _zone_of_directory, _capacity_of_directory, _same_directory),
    "http": _NODE,
    "https": _NODE,
    "s3": _BUCKET,
    "gs": _BUCKET,
    "az": _BUCKET,
}
