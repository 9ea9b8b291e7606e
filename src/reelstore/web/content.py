"""Answers that stream a video's content straight from the chunk store to the socket.

After the first byte there is no error response: a failure then cuts the connection, which the client sees because
fewer bytes arrive than `Content-Length` announced.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from reelstore.web.leaving import client_left
from reelstore.web.limits import SEND_IDLE_TIMEOUT_SECONDS
from reelstore.web.problems import REQUEST_ID
from reelstore.web.ranges import MultipartRanges, Span

logger = logging.getLogger(__name__)


class Pieces(Protocol):
    """Bytes in order, to be iterated over once and closed."""

    def __aiter__(self) -> AsyncIterator[bytes | memoryview]:
        """Return itself."""
        ...

    def aclose(self) -> Awaitable[object]:
        """Give back what is held; calling it again is fine."""
        ...


OpenSpan = Callable[[Span], Awaitable[Pieces]]


class StreamedContent(Response):
    """Send pieces as they come, no faster than the client takes them, and stop as soon as it leaves.

    At most one piece waits in the socket's buffer while the next one is being fetched. Pieces are closed whatever
    happens. The answer ends early, without its announced length, when a piece cannot be had or the client takes
    nothing for `idle_timeout_seconds`; the server then closes the connection.

    Args:
        pieces: of the body; together exactly as long as the header `content-length` says, if there is one.
        status_code: 200 or 206.
        headers: with `content-type`, and `content-length` unless nobody knows the end.
        idle_timeout_seconds: how long the client may leave a piece untaken.
    """

    def __init__(
        self,
        pieces: Pieces,
        *,
        status_code: int,
        headers: Mapping[str, str],
        idle_timeout_seconds: float = SEND_IDLE_TIMEOUT_SECONDS,
    ) -> None:
        super().__init__(status_code=status_code, headers=headers)
        if "content-length" not in headers:
            del self.headers["content-length"]  # Starlette's, of no body at all
        self._pieces = pieces
        self._idle_timeout_seconds = idle_timeout_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks."""
        sending = asyncio.create_task(self._send(scope, send))
        leaving = asyncio.create_task(client_left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send(self, scope: Scope, send: Send) -> None:
        """Send everything, or log in one line why not."""
        try:
            async with aclosing(self._pieces) as pieces:
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                async for piece in pieces:
                    async with asyncio.timeout(self._idle_timeout_seconds):
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except Exception as error:  # noqa: BLE001 -- there is nobody left to raise it to: the answer has begun
            stalled = f"the client took nothing for {self._idle_timeout_seconds:g} seconds"
            reason = stalled if isinstance(error, TimeoutError) else repr(error)
            logger.warning("content cut off: %s path=%s id=%s", reason, scope["path"], scope.get(REQUEST_ID))


async def parts(
    open_span: OpenSpan, layout: MultipartRanges, first: Pieces
) -> AsyncGenerator[bytes | memoryview, None]:
    """Frame several parts; the first one is open already, the others are opened one after the other."""
    opened: Pieces | None = first
    for span in layout.spans:
        async with aclosing(opened or await open_span(span)) as pieces:
            opened = None
            yield layout.head(span)
            async for piece in pieces:
                yield piece
    yield layout.tail


async def whole(pieces: Iterable[bytes]) -> AsyncGenerator[bytes, None]:
    """Give what is at hand already."""
    for piece in pieces:
        yield piece
