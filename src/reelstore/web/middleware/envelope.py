"""The outermost layer: the request's id, the access log, careful headers, a limit, and no error without an answer."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reelstore.domain.errors import Overloaded, ReelstoreError
from reelstore.web.errors import NotReady
from reelstore.web.limits import CONCURRENT_REQUESTS_MAX, REQUEST_ID_LENGTH_MAX
from reelstore.web.metrics import NO_ROUTE, ROUTE, RequestMetrics
from reelstore.web.problems import REQUEST_ID, problem_response

logger = logging.getLogger(__name__)
access_logger = logging.getLogger("reelstore.access")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,%d}" % REQUEST_ID_LENGTH_MAX)

CUT = "reelstore.cut"
"""The key, among the extensions of an ASGI scope, of what closes the connection of an answer that ended early.

It is called with `at_once`: whether without waiting for the client to take what was sent already.
"""

CLOSING = "reelstore.closing"
"""The key, among the same, of what says whether the connection is closed or closing already."""

ENDING = "reelstore.ending"
"""The key, among the same, of what takes a function to be called when the server begins to end.

It is for answers that have no end of their own.
"""

SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"SAMEORIGIN"),
)


class Envelope:
    """Give each request an id and a line in the log, and each failure an answer.

    - `X-Request-ID`: the client's if it is well-formed, else a random one; in the answer, in problems, in the log.
    - Each request in the metrics: by route, method, status.
    - One line for each request on the logger `reelstore.access`: client, method, path (never the query), status,
      bytes, milliseconds, and `cut` when the answer did not get to its end.
    - Headers that make browsers careful.
    - Beyond `concurrent_requests_max` requests in progress, 503 `overloaded`.
    - An exception that nobody expected: logged with its traceback, answered as 500 `internal` without its words.
    - A request that a shutdown does not wait for any longer: 503 `not-ready`, or a cut answer.
    - A client that waits with `Expect: 100-continue` and is answered without being asked for the body: the
      connection closes, since nobody can tell whether the next bytes are that body (RFC 9110, section 10.1.1).
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: RequestMetrics,
        concurrent_requests_max: int = CONCURRENT_REQUESTS_MAX,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._concurrent_requests_max = concurrent_requests_max
        self._in_progress = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI asks."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send)
        self._in_progress += 1
        try:
            if self._in_progress > self._concurrent_requests_max:
                raise Overloaded(f"more than {self._concurrent_requests_max} requests are in progress")  # noqa: TRY301 -- answered like any other
            await self._app(exchange.scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            # uvicorn ends what outlives a shutdown; the task ends here, so that it need not log where it was.
            await exchange.fail(NotReady("the gateway is ending"))
            exchange.cut(at_once=True)
        except Exception as error:  # noqa: BLE001 -- the last layer: whatever happened gets an answer
            await exchange.fail(error)
        finally:
            self._in_progress -= 1
            exchange.cut(at_once=False)
            exchange.log()
            exchange.count(self._metrics)


class _Exchange:
    """One request and its answer, observed."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        told = headers.get(b"x-request-id", b"")
        self.request_id = told.decode("ascii") if _REQUEST_ID.fullmatch(told) else uuid.uuid4().hex
        self._routed: dict[str, str] = {}
        self.scope = {**scope, REQUEST_ID: self.request_id, ROUTE: self._routed}
        self._awaits_continue = headers.get(b"expect", b"").lower() == b"100-continue"
        self._receive = receive
        self._send = send
        self._begun = time.perf_counter()
        self._status = 0
        self._bytes = 0
        self._complete = False

    async def receive(self) -> Message:
        self._awaits_continue = False
        return await self._receive()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), *self._headers()]}
        elif message["type"] == "http.response.body":
            self._bytes += len(message.get("body", b""))
            self._complete = not message.get("more_body", False)
        await self._send(message)

    def _headers(self) -> list[tuple[bytes, bytes]]:
        headers = [*SECURITY_HEADERS, (b"x-request-id", self.request_id.encode("ascii"))]
        if self._awaits_continue:
            headers.append((b"connection", b"close"))
        return headers

    async def fail(self, error: Exception) -> None:
        """Answer with the problem if nothing was answered yet; else leave the answer short, which cuts it."""
        closing = self.scope.get("extensions", {}).get(CLOSING)
        if closing is not None and closing():  # uvloop refuses to write to a client that has left: no error of ours
            logger.info("the client had left: %r id=%s", error, self.request_id)
            return
        if not isinstance(error, ReelstoreError):
            logger.error("unexpected error, id=%s", self.request_id, exc_info=error)
            error = ReelstoreError(f"an unexpected error; the log has it under the request's id {self.request_id}")
        if not self._status:
            await problem_response(error, self.scope)(self.scope, self.receive, self.send)

    def cut(self, *, at_once: bool) -> None:
        """Close the connection of an answer that ended early, if the server knows how to."""
        close = self.scope.get("extensions", {}).get(CUT)
        if close is not None and self._status and not self._complete:
            close(at_once=at_once)

    def count(self, metrics: RequestMetrics) -> None:
        metrics.observe(
            method=self.scope["method"],
            route=self._routed.get(ROUTE, NO_ROUTE),
            status=self._status,
            seconds=time.perf_counter() - self._begun,
        )

    def log(self) -> None:
        client = self.scope.get("client")
        raw_path: bytes = self.scope.get("raw_path") or self.scope["path"].encode()
        access_logger.info(
            '%s "%s %s" %d %d bytes %.1f ms id=%s%s',
            client[0] if client else "-",
            self.scope["method"],
            raw_path.partition(b"?")[0].decode("ascii", "backslashreplace"),
            self._status,
            self._bytes,
            (time.perf_counter() - self._begun) * 1000,
            self.request_id,
            "" if self._complete else " cut",
        )
