"""HTTP by hand over raw sockets, so that the client costs little and the same whatever the server is."""

from __future__ import annotations

import json
import multiprocessing
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NoReturn

HEAD_END = b"\r\n\r\n"
RECEIVE_BYTES = 1024 * 1024
TIMEOUT_SECONDS = 300.0


class AnswerError(Exception):
    """An answer that is not the expected one: the measurement is void."""


@dataclass(frozen=True)
class Site:
    """Where a server listens, and the path of what is asked for."""

    port: int
    path: str


def connect(port: int) -> socket.socket:
    """Return a connection to a server on this machine."""
    return socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS)


def request(port: int, method: str, path: str, document: Any = None) -> Any:
    """Send a JSON document, if there is one, and return the one that the server answers with; None if with nothing."""
    body = b"" if document is None else json.dumps(document).encode()
    fields = ["Content-Type: application/json", f"Content-Length: {len(body)}"] if body else []
    with connect(port) as link:
        link.sendall(_head(method, path, *fields, "Connection: close") + body)
        return _document(link)


def upload(port: int, name: str, body: Iterable[memoryview], size_bytes: int) -> Any:
    """Store a video, and return the JSON document that describes it."""
    with connect(port) as link:
        link.sendall(_head("POST", f"/api/v1/videos?name={name}", f"Content-Length: {size_bytes}", "Connection: close"))
        for piece in body:
            link.sendall(piece)
        return _document(link)


def download(site: Site) -> int:
    """Read the whole of it, throw it away, and return how many bytes there were."""
    return sum(len(piece) for piece in _body(site))


def fingerprint(site: Site) -> bytes:
    """Read the whole of it, and return a hash, to compare what two servers give."""
    digest = blake2b()
    for piece in _body(site):
        digest.update(piece)
    return digest.digest()


def download_at_once(sites: Sequence[Site]) -> tuple[int, float]:
    """Read every site at the same time, each in a process of its own.

    Returns:
        the bytes of all together, and the seconds from the common start to the end of the last.
    """
    processes = multiprocessing.get_context("fork")
    start = processes.Barrier(len(sites) + 1)
    results: multiprocessing.SimpleQueue[tuple[int, float]] = processes.SimpleQueue()

    def read(site: Site) -> None:
        start.wait()
        try:
            size_bytes = download(site)
        except (OSError, AnswerError):
            size_bytes = -1
        results.put((size_bytes, time.monotonic()))  # one clock for all processes of a machine

    readers = [processes.Process(target=read, args=(site,)) for site in sites]
    for reader in readers:
        reader.start()
    start.wait()
    began = time.monotonic()
    ended = [results.get() for _ in readers]
    for reader in readers:
        reader.join()
    if any(size_bytes < 0 for size_bytes, _ in ended):
        raise AnswerError("a reader's connection failed")
    return sum(size_bytes for size_bytes, _ in ended), max(when for _, when in ended) - began


class RangeClient:
    """Ask for one range after the other on a connection that stays open."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._link = connect(site.port)
        self._link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._memory = bytearray(RECEIVE_BYTES)

    def first_byte_seconds(self, start: int, stop: int) -> float:
        """Return the time from sending a request for `[start, stop)` to the body's first byte; read the rest too."""
        asked = _head("GET", self._site.path, f"Range: bytes={start}-{stop - 1}")
        began = time.perf_counter()
        self._link.sendall(asked)
        received = b""
        while HEAD_END not in received or received.endswith(HEAD_END):
            received += _received(self._link)
        seconds = time.perf_counter() - began
        head, _, body = received.partition(HEAD_END)
        if not head.startswith(b"HTTP/1.1 206 "):
            raise AnswerError(head.decode("latin-1"))
        left = stop - start - len(body)
        while left:
            left -= _receive_into(self._link, self._memory, min(left, RECEIVE_BYTES))
        return seconds

    def close(self) -> None:
        """Close the connection."""
        self._link.close()


def _head(method: str, path: str, *fields: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *fields, "", ""]).encode("ascii")


def _body(site: Site) -> Iterable[memoryview]:
    """Yield the body of an answer in pieces that are valid until the next one."""
    memory = bytearray(RECEIVE_BYTES)
    view = memoryview(memory)
    with connect(site.port) as link:
        link.sendall(_head("GET", site.path, "Connection: close"))
        received = b""
        while HEAD_END not in received:
            received += _received(link)
        head, _, begun = received.partition(HEAD_END)
        left = _length_bytes(head) - len(begun)
        yield memoryview(begun)
        while left:
            count = _receive_into(link, memory, RECEIVE_BYTES)
            left -= count
            yield view[:count]


def _length_bytes(head: bytes) -> int:
    """Return what an answer of 200 announces."""
    status, *lines = head.decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if not status.startswith("HTTP/1.1 200 ") or "content-length" not in fields:
        raise AnswerError(status)
    return int(fields["content-length"])


def _document(link: socket.socket) -> Any:
    received = b""
    while piece := link.recv(RECEIVE_BYTES):
        received += piece
    head, _, body = received.partition(HEAD_END)
    if not head.startswith(b"HTTP/1.1 2"):
        raise AnswerError(received.decode("latin-1"))
    return json.loads(body) if body else None


def _received(link: socket.socket) -> bytes:
    """Return what is there of the head of an answer, and what came with it."""
    return link.recv(4096) or _too_short()


def _receive_into(link: socket.socket, memory: bytearray, size_bytes: int) -> int:
    return link.recv_into(memory, size_bytes) or _too_short()


def _too_short() -> NoReturn:
    raise AnswerError("the connection ended before the answer did")
