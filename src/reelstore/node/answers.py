"""Answers of a node: signed documents, the bytes of a shard, and listings whose end is proved."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing

from starlette.types import Receive, Send

from reelstore.domain.errors import ReelstoreError
from reelstore.node.limits import FRAME_ENTRIES, SEND_IDLE_TIMEOUT_SECONDS, SEND_PIECE_BYTES
from reelstore.storage.interface import ShardEntry
from reelstore.storage.node import wire
from reelstore.storage.node.secret import ClusterSecret
from reelstore.storage.node.signing import SIGNATURE, answer_parts, digest_of, frame_parts, span_of

log = logging.getLogger(__name__)


class Answering:
    """Answer one request.

    Args:
        secret: seals the answer.
        nonce: the request's.
        send: sends a part of the answer, as ASGI has it.
    """

    def __init__(self, secret: ClusterSecret, nonce: str, send: Send) -> None:
        self._secret = secret
        self._nonce = nonce
        self._send = send

    async def document(self, document: object, status: int = 200) -> None:
        """Send a small document."""
        body = wire.dump(document)
        await self._start(status, digest_of(body), b"application/json", len(body))
        await self._body(body, more=False)

    async def error(self, error: ReelstoreError) -> None:
        """Send what went wrong."""
        document = wire.dump_error(error)
        status = next(status for kind, status in wire.STATUS.items() if kind.__name__ == document["error"])
        await self.document(document, status)

    async def shard(self, data: bytes) -> None:
        """Send the bytes of a shard, as quickly as they are taken."""
        await self._start(200, span_of(len(data)), b"application/octet-stream", len(data))
        view = memoryview(data)
        for start in range(0, len(view), SEND_PIECE_BYTES):
            await self._body(view[start : start + SEND_PIECE_BYTES], more=start + SEND_PIECE_BYTES < len(view))
        if not view:
            await self._body(b"", more=False)

    async def listing(self, entries: AsyncIterator[ShardEntry], receive: Receive) -> None:
        """Send a listing in frames; when it breaks off, the last frame says so, and is not an end.

        It stops when the gateway leaves.
        """
        leaving = asyncio.ensure_future(_left(receive))
        number, batch = 0, []
        try:
            async with aclosing(entries) as listed:  # type: ignore[type-var]  # every driver writes it as a generator
                first = await anext(listed, None)  # an error before the first entry is an ordinary answer
                await self._start(200, "listing", b"application/octet-stream", None)
                if first is not None:
                    batch.append(first)
                    try:
                        async for entry in listed:
                            batch.append(entry)
                            if len(batch) >= FRAME_ENTRIES:
                                await self._frame(number, {"entries": wire.dump_entries(batch)})
                                number, batch = number + 1, []
                            if leaving.done():
                                return
                    except ReelstoreError as error:
                        log.warning("a listing broke off: %s", error)
                        await self._frame(number, {"error": wire.dump_error(error)}, more=False)
                        return
                if batch:
                    await self._frame(number, {"entries": wire.dump_entries(batch)})
                    number += 1
                await self._frame(number, {"end": True}, more=False)
        finally:
            leaving.cancel()

    async def _frame(self, number: int, document: object, *, more: bool = True) -> None:
        payload = wire.dump(document)
        seal = self._secret.seal(*frame_parts(self._nonce, number, payload))
        await self._body(len(payload).to_bytes(4, "big") + seal.encode() + payload, more=more)

    async def _start(self, status: int, content: str, media_type: bytes, size_bytes: int | None) -> None:
        seal = self._secret.seal(*answer_parts(self._nonce, status, content))
        headers = [(SIGNATURE.encode(), seal.encode()), (b"content-type", media_type)]
        if size_bytes is not None:
            headers.append((b"content-length", str(size_bytes).encode()))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _body(self, body: bytes | memoryview, *, more: bool) -> None:
        async with asyncio.timeout(SEND_IDLE_TIMEOUT_SECONDS):
            await self._send({"type": "http.response.body", "body": body, "more_body": more})


async def _left(receive: Receive) -> None:
    """Return when the gateway has closed its end."""
    while (await receive())["type"] != "http.disconnect":
        pass
