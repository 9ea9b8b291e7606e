"""What a body comes to that its app receives past the parser, on both loops and over a real connection."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from reelstore.web.receiving import RECEIVE, BodyReceiver
from reelstore.web.server import uvicorn_config

MIB = 1024 * 1024
BODY = random.Random(5).randbytes(3 * MIB + 123)
PATIENCE_SECONDS = 30.0

Link = tuple[asyncio.StreamReader, asyncio.StreamWriter]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Scenario = Callable[[], Coroutine[Any, Any, None]]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Scenario], None]:
    return lambda scenario: request.param(asyncio.wait_for(scenario(), PATIENCE_SECONDS))


@asynccontextmanager
async def connected(app: App) -> AsyncIterator[Link]:
    """Serve the app as the gateway is served, and connect to it."""
    server = uvicorn.Server(uvicorn_config(app, port=0, shutdown_timeout_seconds=1))
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.servers[0].sockets[0].getsockname()[1])
    try:
        yield reader, writer
    finally:
        writer.close()
        await server.shutdown()


async def first_of(scope: Scope, receive: Receive) -> tuple[bytes, BodyReceiver | None]:
    """Return the first message's bytes, and who receives the rest."""
    message = await receive()
    return message["body"], scope["extensions"][RECEIVE]()


async def answer(send: Send, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def answered(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    return await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))


def post(size_bytes: int) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size_bytes


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the body, received in memory of an odd size."""
    received, rest = await first_of(scope, receive)
    memory = memoryview(bytearray(100_003))
    while rest is not None and rest.left_bytes:
        count = await rest.read_into(memory, idle_timeout_seconds=PATIENCE_SECONDS)
        received += memory[:count]
    await answer(send, received)


@pytest.mark.parametrize("step_bytes", [1000, 65_537, len(BODY)])
def test_bodies_come_as_they_were_sent_and_the_requests_behind_them_too(
    run: Callable[[Scenario], None], step_bytes: int
) -> None:
    async def scenario() -> None:
        async with connected(echo) as (reader, writer):
            stream = post(len(BODY)) + BODY + post(MIB) + BODY[:MIB] + post(0) + post(3) + b"end"

            async def send() -> None:
                for start in range(0, len(stream), step_bytes):
                    writer.write(stream[start : start + step_bytes])
                    await writer.drain()

            sending = asyncio.create_task(send())
            assert [await answered(reader) for _ in range(4)] == [BODY, BODY[:MIB], b"", b"end"]
            await sending

    run(scenario)


def test_what_an_answer_did_not_wait_for_is_thrown_away_and_the_next_request_served(
    run: Callable[[Scenario], None],
) -> None:
    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        first, rest = await first_of(scope, receive)
        if rest is not None:
            await rest.read_into(memoryview(bytearray(MIB)), idle_timeout_seconds=PATIENCE_SECONDS)
        await answer(send, first[:3])

    async def scenario() -> None:
        async with connected(early) as (reader, writer):
            writer.write(post(len(BODY)) + BODY + post(3) + b"end")
            assert [await answered(reader) for _ in range(2)] == [BODY[:3], b"end"]

    run(scenario)


def test_an_app_may_go_back_to_messages(run: Callable[[Scenario], None]) -> None:
    async def changeable(scope: Scope, receive: Receive, send: Send) -> None:
        received, rest = await first_of(scope, receive)
        assert rest is not None
        memory = memoryview(bytearray(MIB))
        received += memory[: await rest.read_into(memory, idle_timeout_seconds=PATIENCE_SECONDS)]
        more = True
        while more:
            message = await receive()
            received += message["body"]
            more = message["more_body"]
        await answer(send, received)

    async def scenario() -> None:
        async with connected(changeable) as (reader, writer):
            writer.write(post(len(BODY)) + BODY)
            assert await answered(reader) == BODY

    run(scenario)


def test_a_client_that_pauses_or_leaves_is_told_from_one_that_is_done(run: Callable[[Scenario], None]) -> None:
    seen: list[tuple[int, bool]] = []

    async def scenario() -> None:
        paused, over = asyncio.Event(), asyncio.Event()

        async def watchful(scope: Scope, receive: Receive, _send: Send) -> None:
            first, rest = await first_of(scope, receive)
            assert (first, rest is None) == (b"first", False)
            assert rest is not None
            memory = memoryview(bytearray(MIB))
            for patience_seconds in (0.01, PATIENCE_SECONDS, PATIENCE_SECONDS):
                seen.append((await rest.read_into(memory, idle_timeout_seconds=patience_seconds), rest.is_over))
                paused.set()
            over.set()

        async with connected(watchful) as (_, writer):
            writer.write(post(100) + b"first")
            await paused.wait()
            writer.write(b"second")
            writer.write_eof()
            await over.wait()

    run(scenario)
    assert seen == [(0, False), (6, True), (0, True)]


def test_only_a_body_of_announced_length_that_is_not_here_yet_is_received_so(run: Callable[[Scenario], None]) -> None:
    async def telling(scope: Scope, receive: Receive, send: Send) -> None:
        _, rest = await first_of(scope, receive)
        await answer(send, b"none" if rest is None else b"some")

    chunked = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"

    async def scenario() -> None:
        async with connected(telling) as (reader, writer):
            # The parser is in the second request's body already when the first one's app asks.
            writer.write(post(3) + b"abc" + post(10) + b"begun")
            assert await answered(reader) == b"none"
            assert await answered(reader) == b"some"
            writer.write(b"ended" + chunked)
            assert await answered(reader) == b"none"

    run(scenario)
