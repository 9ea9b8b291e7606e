"""Requests to one node: signed, bounded in time, tried again where that is harmless, their answers proved."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
from yarl import URL

from reelstore.domain.errors import ReelstoreError, ServerUnauthorized, ServerUnavailable
from reelstore.storage.breaker import Breaker
from reelstore.storage.interface import ByteString
from reelstore.storage.node import wire
from reelstore.storage.node.access import NodeAccess
from reelstore.storage.node.network_errors import NETWORK_ERRORS, network_error
from reelstore.storage.node.signing import (
    NONCE_BYTES,
    SIGNATURE,
    Signed,
    answer_parts,
    digest_of,
    frame_parts,
    span_of,
)

CONNECTIONS_MAX = 64
CONNECT_SECONDS = 5.0
IDLE_SECONDS = 30.0
"""Without one byte of an answer that is expected: a disk that hangs at the far end."""
SLOWEST_BYTES_PER_SECOND = 256 * 1024
"""A body is given up when it moves more slowly than this, on top of the time without a byte."""
KEEP_ALIVE_SECONDS = 10.0
"""Less than the far end keeps an idle connection, so that hardly a request meets one that is closing."""
TRIES = 3
PIECE_BYTES = 256 * 1024
HASH_ELSEWHERE_BYTES = 256 * 1024
MESSAGE_LENGTH_MAX = 500

T = TypeVar("T")

_PROBES = frozenset({f"{wire.CALLS}attach", f"{wire.CALLS}check"})
"""Asked whether or not the node is left alone: the monitor has a pace of its own, and finds out that it is back."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Whose place is meant, and how much it may take: named in each request."""

    cluster: str
    server: str
    capacity_bytes: int | None


class NodeConnection:
    """Speak to a node over a pool of connections, made when the first request is.

    Args:
        server: the server's name, for errors.
        base: where the node is, `scheme://host:port`.
        access: the secret, and whose certificates are trusted.
        idle_seconds: after which a node that says nothing counts as not answering.
        clock: tells the seconds since 1970, which are signed.
    """

    def __init__(
        self,
        server: str,
        base: str,
        access: NodeAccess,
        *,
        idle_seconds: float = IDLE_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._server = server
        self._base = base
        self._access = access
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._breaker = Breaker(server)
        self._session: aiohttp.ClientSession | None = None

    async def call(self, operation: str, arguments: dict[str, Any], place: Place, *, again: bool) -> Any:  # noqa: ANN401 - JSON
        """Have the node do something; return what it answers.

        Args:
            operation: its name; `reelstore.node.operations` lists them.
            arguments: a small document.
            place: whose place is meant.
            again: whether a request that came to nothing may be repeated.

        Raises:
            ServerUnavailable: no answer that counts; a retry can help, unless it is `ServerRefused`.
            StorageError, InvalidInput: what the node says.
        """
        body = wire.dump(arguments)

        async def once() -> Any:  # noqa: ANN401 - the same
            async with self._exchange("POST", wire.CALLS + operation, place, body) as (answer, nonce):
                return await self._document(answer, nonce)

        return await self._bounded(len(body), once, again=again)

    async def put(self, name: str, data: memoryview, place: Place) -> None:
        """Store a shard; tried again with all of its bytes."""

        async def once() -> None:
            async with self._exchange("PUT", wire.SHARDS + name, place, data) as (answer, nonce):
                await self._document(answer, nonce)

        await self._bounded(len(data), once, again=True)

    async def get(self, name: str, start: int, stop: int | None, place: Place, *, size_bytes_max: int) -> bytes:
        """Return bytes of a shard."""
        target = f"{wire.SHARDS}{name}?start={start}" + ("" if stop is None else f"&stop={stop}")

        async def once() -> bytes:
            async with self._exchange("GET", target, place, b"") as (answer, nonce):
                if answer.status != 200:
                    await self._document(answer, nonce)
                size_bytes = answer.content_length
                if size_bytes is None or not 0 <= size_bytes <= size_bytes_max:
                    raise self._strange("it does not say how many bytes it sends, or too many")
                self._prove(answer, nonce, span_of(size_bytes))
                data = await answer.read()
                if len(data) != size_bytes:
                    raise ServerUnavailable(f"{self._base}: the answer broke off", server=self._server)
                return data

        return await self._bounded(
            size_bytes_max if stop is None else min(stop - start, size_bytes_max), once, again=True
        )

    async def frames(self, target: str, place: Place) -> AsyncGenerator[Any, None]:
        """Yield the documents of a listing, to its proved end; only its beginning is tried again.

        Raises:
            ServerUnavailable: it broke off; what was yielded is not all.
        """
        for attempt in range(1, TRIES + 1):
            number = 0
            try:
                async with self._exchange("GET", target, place, b"") as (answer, nonce):
                    if answer.status != 200:
                        await self._document(answer, nonce)
                    while "end" not in (document := await self._frame(answer, nonce, number)):
                        number += 1
                        yield document
                    return
            except ServerUnavailable as error:
                if number or attempt == TRIES or not _may_try_again(error):
                    raise
                await _pause(attempt)

    async def close(self) -> None:
        """Close all connections; again is fine."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    @asynccontextmanager
    async def _exchange(
        self, method: str, target: str, place: Place, body: ByteString
    ) -> AsyncIterator[tuple[aiohttp.ClientResponse, str]]:
        """Send one request and give its answer, not yet proved, and its nonce; every error of the network is ours."""
        if target not in _PROBES:
            self._breaker.admit()
        content = digest_of(body) if len(body) < HASH_ELSEWHERE_BYTES else await asyncio.to_thread(digest_of, body)
        signed = Signed(
            method=method,
            target=target,
            cluster=place.cluster,
            server=place.server,
            capacity="" if place.capacity_bytes is None else str(place.capacity_bytes),
            time=str(int(self._clock() * 1000)),
            nonce=os.urandom(NONCE_BYTES).hex(),
            length=str(len(body)),
            content=content,
        )
        headers = signed.headers(self._access.secret) | {"content-length": signed.length, "x-request-id": signed.nonce}
        answered = False
        try:
            async with self._opened().request(
                method,
                URL(self._base + target, encoded=True),
                data=_pieces(body) if len(body) else None,
                headers=headers,
                allow_redirects=False,
            ) as answer:
                answered = True
                yield answer, signed.nonce
                self._breaker.succeeded()
        except NETWORK_ERRORS as error:
            failure = network_error(error, server=self._server, where=self._base)
            self._breaker.failed(failure)
            log.debug("server %s: %s %s failed: %s", self._server, method, target, failure)
            raise failure from error
        except ReelstoreError:
            if answered:
                self._breaker.succeeded()
            raise

    async def _document(self, answer: aiohttp.ClientResponse, nonce: str) -> Any:  # noqa: ANN401 - JSON
        """Read an answer that is a document, prove it, and raise the error that it may be."""
        body = await self._read(answer, wire.ANSWER_BYTES_MAX)
        if answer.status == 401:  # the one answer that need not be proved: the secrets may differ
            raise ServerUnauthorized(self._words(body), server=self._server)
        self._prove(answer, nonce, digest_of(body))
        try:
            document = json.loads(body)
        except ValueError:
            raise self._strange("its answer is no JSON") from None
        if answer.status != 200:
            raise wire.parse_error(document, server=self._server)
        return document

    def _prove(self, answer: aiohttp.ClientResponse, nonce: str, content: str) -> None:
        signature = answer.headers.get(SIGNATURE, "")
        if not self._access.secret.has_sealed(signature, *answer_parts(nonce, answer.status, content)):
            if answer.status == 503:
                raise ServerUnavailable(f"{self._base}: the node has too much to do, or is ending", server=self._server)
            raise self._strange(f"its answer (HTTP {answer.status}) is not signed with the cluster secret")

    async def _frame(self, answer: aiohttp.ClientResponse, nonce: str, number: int) -> dict[str, Any]:
        head = await answer.content.readexactly(wire.FRAME_HEAD_BYTES)
        size_bytes = int.from_bytes(head[:4], "big")
        if size_bytes > wire.FRAME_BYTES_MAX:
            raise self._strange("a part of its listing is too large")
        payload = await answer.content.readexactly(size_bytes)
        seal = head[4:].decode("ascii", "replace")
        if not self._access.secret.has_sealed(seal, *frame_parts(nonce, number, payload)):
            raise self._strange("a part of its listing is not signed with the cluster secret")
        document = json.loads(payload)
        if "error" in document:
            raise wire.parse_error(document["error"], server=self._server)
        return dict(document)

    async def _read(self, answer: aiohttp.ClientResponse, size_bytes_max: int) -> bytes:
        pieces, size_bytes = [], 0
        async for piece in answer.content.iter_any():
            pieces.append(piece)
            size_bytes += len(piece)
            if size_bytes > size_bytes_max:
                raise self._strange("its answer is too large")
        return b"".join(pieces)

    def _words(self, body: bytes) -> str:
        """Return what an answer that nobody has proved says, fit to be shown."""
        try:
            said = str(json.loads(body)["message"])
        except (ValueError, KeyError, TypeError):
            said = "it did not accept the request"
        shown = "".join(character for character in said[:MESSAGE_LENGTH_MAX] if character.isprintable())
        return f"{self._base}: {shown}"

    def _strange(self, message: str) -> ServerUnavailable:
        return ServerUnavailable(
            f"{self._base} does not answer as a node of this cluster: {message}", server=self._server
        )

    async def _bounded(self, size_bytes: int, once: Callable[[], Awaitable[T]], *, again: bool) -> T:
        """Do something within a time that allows for so many bytes, up to three times where that is harmless."""
        for attempt in range(1, TRIES + 1):
            try:
                async with asyncio.timeout(self._idle_seconds + size_bytes / SLOWEST_BYTES_PER_SECOND):
                    return await once()
            except TimeoutError:
                late = ServerUnavailable(f"{self._base}: no answer in time", server=self._server)
                self._breaker.failed(late)
                raise late from None
            except ServerUnavailable as error:
                if not again or attempt == TRIES or not _may_try_again(error):
                    raise
            await _pause(attempt)
        raise AssertionError("unreachable: the last try returns or raises")

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=CONNECTIONS_MAX, ssl=self._access.tls, keepalive_timeout=KEEP_ALIVE_SECONDS
                ),
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=CONNECT_SECONDS, sock_read=self._idle_seconds, connect=None
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                read_bufsize=1024**2,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            )
        return self._session


async def _pieces(body: ByteString) -> AsyncIterator[ByteString]:
    """Hand a body on in pieces, from where it lies."""
    view = memoryview(body)
    for start in range(0, len(view), PIECE_BYTES):
        yield view[start : start + PIECE_BYTES]


def _may_try_again(error: ServerUnavailable) -> bool:
    """Tell whether at once trying again can help: a connection broke off; but not where time has passed already."""
    cause = error.__cause__
    return isinstance(cause, NETWORK_ERRORS) and not isinstance(cause, TimeoutError) and error.retryable


async def _pause(attempt: int) -> None:
    await asyncio.sleep(random.uniform(0.02, 0.06) * 2**attempt)  # noqa: S311 - spreads load, guards nothing
