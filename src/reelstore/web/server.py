"""How uvicorn serves the app: limits and timeouts that its fast HTTP parser does not bring along."""

from __future__ import annotations

import asyncio
import json
from asyncio import TimerHandle
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httptools
import uvicorn
from starlette.types import ASGIApp
from uvicorn._types import HTTPScope
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from reelstore.domain.errors import ReelstoreError
from reelstore.web.errors import HeadTooLarge, MalformedRequest
from reelstore.web.limits import (
    HEAD_TIMEOUT_SECONDS,
    KEEP_ALIVE_TIMEOUT_SECONDS,
    LINGER_TIMEOUT_SECONDS,
    REQUEST_HEAD_BYTES_MAX,
    SHUTDOWN_TIMEOUT_SECONDS,
)
from reelstore.web.middleware.envelope import CLOSING, CUT, ENDING
from reelstore.web.problems import MEDIA_TYPE, describe
from reelstore.web.receiving import RECEIVE, BodyReceiver

BACKLOG = 2048

_MALFORMED = (
    "the request cannot be understood as HTTP/1.1; characters beyond ASCII, and blanks, in a path or query must be "
    "percent-encoded, as `curl --get --data-urlencode` does"
)


def uvicorn_config(
    app: ASGIApp,
    *,
    host: str = "127.0.0.1",
    port: int = 5000,
    log_level: str | int | None = None,
    shutdown_timeout_seconds: int = SHUTDOWN_TIMEOUT_SECONDS,
    tls_certificate: Path | None = None,
    tls_key: Path | None = None,
) -> uvicorn.Config:
    """Return the configuration to serve the app with: `uvicorn.Server(config).serve(…)`.

    httptools parses, uvloop runs where it is installed. The app logs its own accesses, so uvicorn does not; logging
    is not configured here. The app has no lifespan: whoever made the application starts and stops it.

    Args:
        app: what to serve.
        host: the address to listen on.
        port: 0 for a free one.
        log_level: of uvicorn's own loggers; None leaves them as they are.
        shutdown_timeout_seconds: how long a shutdown waits for answers in progress.
        tls_certificate: a file in PEM form; None serves plain HTTP.
        tls_key: the certificate's key, in the same form.
    """
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=BoundedHttpProtocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level=log_level,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_TIMEOUT_SECONDS,
        timeout_graceful_shutdown=shutdown_timeout_seconds,
        ssl_certfile=tls_certificate,
        ssl_keyfile=tls_key,
    )


class BoundedHttpProtocol(HttpToolsProtocol):
    """Limit a request's line and headers in bytes and in time, and answer malformed ones with a problem.

    llhttp, the parser, has no limit of its own: one endless header, trailer or chunk extension would take all memory,
    and headers that trickle in keep their connection for ever.

    An app may read a body of announced length past the parser (`RECEIVE`). What it leaves of it, because its answer
    came first, is counted here and thrown away.
    """

    _steps = 0
    _unparsed_bytes = 0
    _parsed_bytes = 0
    _too_large = False
    _body_bytes = 0
    _past_parser_bytes = 0
    """What is still to come of a body of which the parser no longer knows."""
    _head_timer: TimerHandle | None = None
    _linger_timer: TimerHandle | None = None
    _at_the_end: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._disarm()
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Begin to end: the answer in progress goes on to its end, and one without an end is told to have one."""
        if self._at_the_end is not None:
            self._at_the_end()
        super().shutdown()

    def data_received(self, data: bytes) -> None:
        """Count bytes that bring the parser no step further: they are the middle of something long."""
        if self._past_parser_bytes:
            piece, data = data[: self._past_parser_bytes], data[self._past_parser_bytes :]
            self.on_body(piece)
            self._passed(len(piece))
            if not data:
                return
        steps = self._steps
        super().data_received(data)
        if self._steps != steps:
            self._unparsed_bytes = 0
        elif not self.transport.is_closing():
            self._unparsed_bytes += len(data)
            if self._unparsed_bytes > REQUEST_HEAD_BYTES_MAX:
                self._too_large = True
                self.send_400_response("")

    def on_message_begin(self) -> None:
        """Begin to count and to wait."""
        super().on_message_begin()
        extensions: dict[str, Any] = {
            CUT: self._cut,
            CLOSING: self.transport.is_closing,
            ENDING: self._call_at_the_end,
            RECEIVE: partial(self._receive_past_parser, self.scope),
        }
        self.scope["extensions"] = extensions
        self._steps += 1
        self._parsed_bytes = self._body_bytes = 0
        if self._head_timer is None:
            self._arm()

    def on_url(self, url: bytes) -> None:
        """Count a part of the request's line."""
        self._count_parsed(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header, or a trailer."""
        self._count_parsed(len(name) + len(value) + len(b": \r\n"))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop waiting."""
        self._steps += 1
        self._disarm()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Hand a piece of the body on as it is where uvicorn would copy it into a buffer and out again."""
        self._steps += 1
        self._body_bytes += len(body)
        if self.cycle.body or self.cycle.response_complete:
            super().on_body(body)
            return
        self.cycle.body = body  # type: ignore[assignment]  # `receive` makes bytes of it, which is the same object
        if len(body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        self.cycle.message_event.set()

    def _receive_past_parser(self, scope: HTTPScope) -> BodyReceiver | None:
        """Return who receives what is left of a request's body, if there is something and its end is known."""
        cycle: RequestResponseCycle = self.cycle
        length = dict(scope["headers"]).get(b"content-length")  # the parser refuses it beside Transfer-Encoding
        whole = cycle.scope is not scope or not cycle.more_body  # the parser may be in the next request
        if whole or length is None or cycle.body or cycle.response_complete or self._past_parser_bytes:
            return None
        left_bytes = self._past_parser_bytes = int(length) - self._body_bytes
        self.parser = httptools.HttpRequestParser(self)  # for the request after this one
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        return BodyReceiver(self, self.transport, self.flow, left_bytes=left_bytes, on_received=self._passed)

    def _passed(self, size_bytes: int) -> None:
        """Count what came of a body past the parser."""
        self._past_parser_bytes -= size_bytes
        if size_bytes and not self._past_parser_bytes:
            self.on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 -- uvicorn's words say less
        """Answer with a problem, unless another answer is on its way, and close."""
        self._disarm()
        error: ReelstoreError = MalformedRequest(_MALFORMED)
        if self._too_large:
            limit = REQUEST_HEAD_BYTES_MAX
            error = HeadTooLarge(f"request line and headers have more than {limit} bytes", limit=limit)
        cycle: RequestResponseCycle | None = self.cycle
        if not self.pipeline and (cycle is None or cycle.response_complete or not cycle.response_started):
            self.transport.write(_raw_answer(describe(error, instance="")))
        self.transport.close()

    def _count_parsed(self, size_bytes: int) -> None:
        """Refuse a head that is too large although it arrived in one piece."""
        self._parsed_bytes += size_bytes
        if self._parsed_bytes > REQUEST_HEAD_BYTES_MAX:
            self._too_large = True
            raise ValueError("head too large")  # ends the parsing: uvicorn calls send_400_response

    def _call_at_the_end(self, call: Callable[[], None]) -> None:
        self._at_the_end = call

    def _cut(self, *, at_once: bool) -> None:
        """Close the connection; a client that does not even take what was sent is not waited for without end."""
        if at_once:
            self.transport.abort()
        else:
            self.transport.close()
            self._linger_timer = self.loop.call_later(LINGER_TIMEOUT_SECONDS, self.transport.abort)

    def _arm(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_SECONDS, self._head_late)

    def _disarm(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_late(self) -> None:
        """Close a connection whose request does not come, unless an answer to an earlier one is in progress."""
        self._head_timer = None
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            self._arm()
        else:
            self.transport.close()


def _raw_answer(document: dict[str, Any]) -> bytes:
    """Return a whole HTTP answer for a request that no app has seen."""
    body = json.dumps(document).encode("ascii")
    status = HTTPStatus(document["status"])
    head = (
        f"HTTP/1.1 {status} {status.phrase}\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
        "cache-control: no-store\r\nconnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
