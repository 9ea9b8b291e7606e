"""A small real HTTP server that answers like a gateway, and goes wrong when it is told to."""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

from blake3 import blake3

CHUNK_BYTES = 1000
API = "/api/v1"

Fault = Callable[["Handler"], bool]
"""Does something to a request; returns whether the ordinary answer is still to be sent."""


@dataclass
class Stored:
    """A video that the gateway has."""

    id: str
    name: str
    body: bytes
    etag: str = '"first"'
    told_bytes: int | None = None

    @property
    def document(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "title": self.name,
            "description": "",
            "tags": [],
            "state": "stored",
            "size_bytes": len(self.body) if self.told_bytes is None else self.told_bytes,
            "etag": '"v1"',
            "content_etag": self.etag,
            "content_type": "video/mp4",
            "policy": "default",
            "created_at": "2026-01-02T03:04:05Z",
            "updated_at": "2026-01-02T03:04:05.250000+00:00",
            "media": None,
            "from_the_future": {"anything": 1},
        }

    @property
    def places(self) -> list[dict[str, Any]]:
        return [
            {
                "position": position,
                "offset_bytes": offset,
                "size_bytes": len(self.body[offset : offset + CHUNK_BYTES]),
                "digest": blake3(self.body[offset : offset + CHUNK_BYTES]).hexdigest(),
                "partition": 7,
                "servers": ["disk1", "disk2"],
                "synced_servers": ["disk1", "disk2"],
            }
            for position, offset in enumerate(range(0, len(self.body), CHUNK_BYTES))
        ]


@dataclass
class Gateway:
    """What the server has, what it was asked, and what goes wrong next."""

    url: str = ""
    videos: dict[str, Stored] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    faults: dict[str, deque[Fault]] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)

    def add(self, body: bytes, *, id: str = "video-1", name: str = "holiday.mp4") -> Stored:  # noqa: A002 - it is the field that it sets
        self.videos[id] = Stored(id, name, body)
        return self.videos[id]

    def fail(self, path: str, *faults: Fault) -> None:
        """Let the next requests whose path ends like this go wrong, one fault each."""
        self.faults.setdefault(path, deque()).extend(faults)

    def asked(self, method: str, path: str) -> list[dict[str, str]]:
        """Return the headers of each such request; `path` is its end."""
        return [headers for sent, asked, headers in self.requests if sent == method and asked.endswith(path)]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    gateway: Gateway

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True

    def route(self) -> None:
        parts = urlsplit(self.path)
        path = parts.path.removeprefix(API)
        self.gateway.requests.append((self.command, path, {key.lower(): value for key, value in self.headers.items()}))
        for ending, faults in self.gateway.faults.items():
            if path.endswith(ending) and faults and not faults.popleft()(self):
                return
        if path in self.gateway.answers:
            self.json(200, self.gateway.answers[path])
        elif path == "/videos" and self.command == "POST":
            self.store(parse_qs(parts.query))
        elif match := re.fullmatch(r"/videos/([^/]+)(|/content|/placement)", path):
            video = self.gateway.videos.get(unquote(match[1]))
            if video is None:
                self.problem(404, "video-not-found")
            elif match[2] == "/content":
                self.content(video)
            elif match[2] == "/placement":
                self.json(200, {"items": video.places, "next_cursor": None})
            else:
                self.json(200, video.document)
        else:
            self.problem(404, "not-found")

    do_GET = do_POST = do_PATCH = do_DELETE = route  # noqa: N815 - http.server looks for these names

    def store(self, query: dict[str, list[str]]) -> None:
        body = self.body()
        if len(body) < int(self.headers.get("Content-Length", 0)):
            self.close_connection = True  # the client left: nothing is kept
            return
        key = self.headers["Idempotency-Key"]
        if key not in self.gateway.keys:
            stored = self.gateway.add(body, id=f"stored-{len(self.gateway.keys)}", name=query["name"][0])
            self.gateway.keys[key] = stored.id
        self.json(201, self.gateway.videos[self.gateway.keys[key]].document)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            whole = b""
            while size := int(self.rfile.readline(), 16):
                whole += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return whole
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def content(self, video: Stored) -> None:
        start, total = 0, len(video.body)
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and self.headers.get("If-Range") == video.etag:
            start = int(asked[1])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        else:
            self.send_response(200)
        self.send_header("ETag", video.etag)
        self.send_header("Content-Length", str(total - start))
        self.end_headers()
        self.wfile.write(video.body[start:])

    def json(self, status: int, document: Any, *, kind: str = "application/json", **headers: str) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def problem(self, status: int, slug: str, *, retryable: bool = False, **headers: str) -> None:
        document = {
            "type": f"/problems/{slug}",
            "title": f"The title of {slug}",
            "status": status,
            "detail": f"the detail of {slug}",
            "retryable": retryable,
            "key": "more",
        }
        self.json(status, document, kind="application/problem+json", **headers)

    def raw(self, answer: bytes) -> None:
        """Send these very bytes and close."""
        self.wfile.write(answer)
        self.close_connection = True


# Faults


def cut(handler: Handler) -> bool:
    """Close the connection without an answer."""
    handler.close_connection = True
    return False


def cut_after_body(handler: Handler) -> bool:
    """Store the upload, and close the connection before the answer."""
    handler.wfile = cast("BufferedIOBase", _Nowhere())
    handler.close_connection = True
    return True


class _Nowhere:
    closed = False

    def write(self, data: bytes) -> int:
        return len(data)

    def flush(self) -> None: ...

    def close(self) -> None: ...


def cut_content_after(size_bytes: int) -> Fault:
    """Send so many bytes of the content, though more were announced."""

    def fault(handler: Handler) -> bool:
        stream: Any = handler.wfile
        write, left = stream.write, size_bytes
        body_begun = False

        def limited(data: Any) -> int:
            nonlocal left, body_begun
            if not body_begun:
                body_begun = True  # the head comes in one write
                return int(write(data))
            write(bytes(data)[:left])
            left = 0
            handler.close_connection = True
            return len(data)

        stream.write = limited
        return True

    return fault


def say(status: int, slug: str, *, retryable: bool = False, **headers: str) -> Fault:
    """Answer with a problem."""

    def fault(handler: Handler) -> bool:
        handler.body()  # or its rest would be taken for the next request
        handler.problem(status, slug, retryable=retryable, **headers)
        return False

    return fault


def raw(answer: bytes) -> Fault:
    """Answer with these very bytes, and close."""

    def fault(handler: Handler) -> bool:
        handler.raw(answer)
        return False

    return fault


@contextmanager
def running(port: int = 0) -> Iterator[Gateway]:
    """Serve on a port of the loopback interface; 0 takes a free one."""
    gateway = Gateway()
    handler = type("OneGateway", (Handler,), {"gateway": gateway})
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        gateway.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield gateway
        finally:
            server.shutdown()
            thread.join()
