"""Content answers, seen from the ASGI server's side: whatever happens, the reader is closed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest

from reelstore.domain.errors import ChunkUnavailable
from reelstore.web.content import StreamedContent, parts
from reelstore.web.ranges import MultipartRanges, Span

SCOPE: dict[str, Any] = {"type": "http", "path": "/content"}
HEADERS = {"content-length": "4", "content-type": "video/mp4"}


class Reader:
    """Pieces that remember whether they were closed."""

    def __init__(self, *pieces: bytes, error: Exception | None = None, hang: bool = False) -> None:
        self._pieces = self._generate(pieces, error, hang)
        self.closed = False
        self.given = 0

    async def _generate(
        self, pieces: tuple[bytes, ...], error: Exception | None, hang: bool
    ) -> AsyncGenerator[memoryview, None]:
        for piece in pieces:
            self.given += 1
            yield memoryview(piece)
        if error is not None:
            raise error
        if hang:
            await asyncio.Event().wait()

    def __aiter__(self) -> AsyncIterator[memoryview]:
        return self._pieces

    async def aclose(self) -> None:
        self.closed = True
        await self._pieces.aclose()


class Client:
    """The other side: collects what is sent, and leaves when told."""

    def __init__(self, *, takes: int | None = None) -> None:
        self.messages: list[dict[str, Any]] = []
        self.left = asyncio.Event()
        self.reading = asyncio.Event()
        self._takes = takes

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if self._takes is not None and len(self.messages) > self._takes:
            await asyncio.Event().wait()
        self.messages.append(message)
        if message.get("body"):
            self.reading.set()

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)

    @property
    def complete(self) -> bool:
        return self.messages[-1]["type"] == "http.response.body" and not self.messages[-1].get("more_body")


async def answer(reader: Reader, client: Client, **options: Any) -> None:
    await StreamedContent(reader, status_code=200, headers=HEADERS, **options)(SCOPE, client.receive, client.send)


async def test_pieces_are_sent_without_a_copy_and_the_reader_is_closed() -> None:
    reader, client = Reader(b"ab", b"cd"), Client()
    await answer(reader, client)
    assert client.messages[0]["status"] == 200
    assert all(type(message["body"]) is memoryview for message in client.messages[1:-1])
    assert (client.body, client.complete, reader.closed) == (b"abcd", True, True)


async def test_a_failure_after_the_first_byte_leaves_the_answer_short_and_one_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reader, client = Reader(b"ab", error=ChunkUnavailable("gone", digest="d")), Client()
    with caplog.at_level(logging.WARNING):
        await answer(reader, client)
    assert (client.body, client.complete, reader.closed) == (b"ab", False, True)
    (record,) = caplog.records
    assert "gone" in record.getMessage()
    assert record.exc_info is None


async def test_a_client_that_leaves_while_a_piece_is_awaited_ends_the_reading_at_once() -> None:
    reader, client = Reader(b"ab", hang=True), Client()
    answering = asyncio.create_task(answer(reader, client))
    await client.reading.wait()
    client.left.set()
    await answering
    assert (client.complete, reader.closed) == (False, True)


async def test_a_client_that_takes_nothing_is_not_read_ahead_for_and_is_cut_off() -> None:
    reader, client = Reader(*[b"x"] * 100), Client(takes=1)
    await answer(reader, client, idle_timeout_seconds=0.05)
    assert (client.complete, reader.closed) == (False, True)
    assert reader.given <= 2


async def test_a_server_that_stops_closes_the_reader() -> None:
    reader, client = Reader(b"ab", hang=True), Client()
    answering = asyncio.create_task(answer(reader, client))
    await client.reading.wait()
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    assert reader.closed


@pytest.mark.parametrize("leave_after", [1, 2, 3, 4])
async def test_parts_are_opened_one_after_the_other_and_each_is_closed(leave_after: int) -> None:
    layout = MultipartRanges((Span(0, 1), Span(2, 3), Span(4, 5)), 10, "video/mp4", "b")
    readers = {0: Reader(b"0"), 2: Reader(b"2"), 4: Reader(b"4")}
    opened = [0]

    async def open_span(span: Span) -> Reader:
        opened.append(span.start)
        return readers[span.start]

    pieces = parts(open_span, layout, readers[0])
    for _ in range(leave_after):
        await anext(pieces)
    await pieces.aclose()
    assert opened == [0, 2, 4][: (leave_after + 1) // 2]
    assert all(readers[start].closed for start in opened)
