"""A bucket store that really listens: moto's S3, in threads of the tests' process, and what stands before it."""

from __future__ import annotations

import itertools
import os
import re
import socket
import threading
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import S3Backend, s3_backends
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from reelstore.storage.bucket import BucketAccess, BucketServer
from reelstore.storage.bucket.connection import BucketConnection
from reelstore.storage.bucket.url import BucketAddress

REGION = "us-east-1"
CAPACITY_BYTES = 1024**4
KEYS = {"REELSTORE_SERVER_A_ACCESS_KEY_ID": "test", "REELSTORE_SERVER_A_SECRET_ACCESS_KEY": "a secret of the tests"}

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]
EVERY = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE"})
Fault = Callable[[Application, dict[str, Any], Any], Iterable[bytes]]
"""Answers a request in the store's place, or hands it on."""


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - the name is werkzeug's
        """Say nothing."""


@dataclass
class LiveBuckets:
    """One store with as many buckets as are asked for; `fault` stands before all requests until it is taken away."""

    fault: Fault | None = None
    _server: BaseWSGIServer | None = None
    _thread: threading.Thread | None = None

    @property
    def endpoint(self) -> str:
        if self._server is None:
            store: Application = DomainDispatcherApplication(create_backend_app)

            def handle(environment: dict[str, Any], start_response: Any) -> Iterable[bytes]:
                fault = self.fault
                return (
                    store(environment, start_response) if fault is None else fault(store, environment, start_response)
                )

            self._server = make_server("127.0.0.1", 0, handle, threaded=True, request_handler=_Quiet)
            self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="buckets")
            self._thread.start()
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def backend(self) -> S3Backend:
        return s3_backends["123456789012"]["aws"]

    def make(self, name: str | None = None) -> str:
        """Make a bucket if it is not there, and return its name."""
        name = name or os.urandom(16).hex()
        if name not in self.backend.buckets:
            self.backend.create_bucket(name, REGION)
        return name

    def address(self, bucket: str | None = None, prefix: str = "place") -> BucketAddress:
        return BucketAddress("s3", self.make() if bucket is None else bucket, prefix, self.endpoint, REGION)

    def driver(
        self,
        address: BucketAddress | None = None,
        name: str = "a",
        *,
        capacity_bytes: int | None = None,
        retries: int = 0,
        variables: dict[str, str] | None = None,
        **options: Any,
    ) -> BucketServer:
        access = BucketAccess(KEYS if variables is None else variables, retries)
        connection = BucketConnection(name, address or self.address(), access, **options)
        return BucketServer(name, connection, capacity_bytes=capacity_bytes or CAPACITY_BYTES)

    def close(self) -> None:
        server, self._server = self._server, None
        if server is not None and self._thread is not None:
            server.shutdown()
            self._thread.join(30)
            server.server_close()


def refusing(status: str, body: bytes = b"", *, methods: Container[str] = EVERY, times: int | None = None) -> Fault:
    """Answer so, instead of the store: all requests of these methods, or the first few of them."""
    left = itertools.count() if times is None else iter(range(times))

    def answer(store: Application, environment: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environment["REQUEST_METHOD"] not in methods or next(left, None) is None:
            return store(environment, start_response)
        environment["wsgi.input"].read(int(environment.get("CONTENT_LENGTH") or 0))
        start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body if environment["REQUEST_METHOD"] != "HEAD" else b""]

    return answer


def saying(code: str, message: str = "in the store's words") -> bytes:
    """Return the body of an error of S3."""
    return f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


def dying(*, methods: Container[str] = EVERY, carried_out: bool = False, after: int = 0) -> Fault:
    """Close the connection instead of answering, after so many requests; what was asked is carried out, or not."""
    requests = itertools.count()

    def answer(store: Application, environment: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environment["REQUEST_METHOD"] not in methods or next(requests) < after:
            return store(environment, start_response)
        if carried_out:
            b"".join(store(environment, lambda *_: None))
        else:
            environment["wsgi.input"].read(min(10, int(environment.get("CONTENT_LENGTH") or 0)))  # in mid-body
        connection: socket.socket = environment["werkzeug.socket"]
        connection.shutdown(socket.SHUT_RDWR)
        return []

    return answer


def lagging(hidden: str) -> Fault:
    """Leave a key out of all listings, as if it were not known yet to whoever makes them."""

    def answer(store: Application, environment: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if "list-type" not in environment["QUERY_STRING"]:
            return store(environment, start_response)
        head: list[Any] = []
        body = b"".join(store(environment, lambda *arguments: head.extend(arguments)))
        for entry in re.findall(rb"<Contents>.*?</Contents>", body, re.DOTALL):
            if hidden.encode() in entry:
                body = body.replace(entry, b"")
        start_response(head[0], [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]

    return answer
