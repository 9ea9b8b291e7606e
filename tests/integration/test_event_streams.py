"""Streams of events over real sockets: no event twice, none left out, and no stream outlives its client or its end."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from reelstore.domain.event import Event, EventKind
from reelstore.services import live_feed
from tests.integration.live_gateway import LiveGateway, live_gateway

EVENTS = "/api/v1/events"
EVENTS_COUNT = 3000
"""Of 4 KiB each: more than all buffers between two sockets take."""


@dataclass
class Frame:
    """One frame of a stream."""

    id: str | None = None
    event: str | None = None
    data: Any = None
    comment: bool = False
    fields: dict[str, str] = field(default_factory=dict)


@dataclass
class Stream:
    """A stream as a client reads it."""

    response: httpx.Response
    lines: Iterator[str]

    def frame(self) -> Frame:
        """Return the next frame, whatever it is."""
        read = Frame()
        for line in self.lines:
            if not line:
                break
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if not name:
                read.comment = True
            else:
                read.fields[name] = value
        else:
            raise EOFError
        read.id, read.event = read.fields.get("id"), read.fields.get("event")
        read.data = json.loads(read.fields["data"]) if "data" in read.fields else None
        return read

    def kept(self, count: int) -> list[int]:
        """Return the ids of the next events that are kept."""
        ids: list[int] = []
        while len(ids) < count:
            frame = self.frame()
            if frame.event is not None and "." in frame.event:
                assert frame.data["id"] == int(frame.id or "")
                ids.append(frame.data["id"])
        return ids


@contextmanager
def stream(gateway: LiveGateway, path: str = EVENTS, **headers: str) -> Iterator[Stream]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    with gateway.client() as client, client.stream("GET", path, headers=sent) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream"
        yield Stream(response, response.iter_lines())


def store(gateway: LiveGateway, count: int = 1) -> None:
    with gateway.client() as client:
        for _ in range(count):
            client.post("/api/v1/videos?name=a.mp4", content=b"x").raise_for_status()


async def keep(gateway: LiveGateway, count: int, message: str) -> None:
    async with gateway.application.metadata.unit_of_work() as uow:
        for _ in range(count):
            await uow.events.add(Event(EventKind.SERVER_CHANGED, "", message, at=await uow.now()))
        await uow.commit()


def until(condition: Callable[[], object]) -> None:
    while not condition():
        time.sleep(0.005)


@pytest.fixture(scope="module")
def gateway() -> Iterator[LiveGateway]:
    with live_gateway() as live:
        yield live


def test_a_stream_says_where_it_begins_and_how_the_rebalancing_is_and_then_what_happens(gateway: LiveGateway) -> None:
    with stream(gateway) as read:
        opening = read.frame()
        assert opening.fields.keys() == {"retry", "id"}
        rebalance = read.frame()
        assert (rebalance.event, rebalance.id) == ("rebalance", None)
        with gateway.client() as client:
            assert rebalance.data == client.get("/api/v1/rebalance").json()
        store(gateway, 2)
        begun = int(opening.id or "")
        assert read.kept(2) == [begun + 1, begun + 2]


def test_each_event_reaches_a_client_before_the_next_one_happens(gateway: LiveGateway) -> None:
    with stream(gateway) as read:
        begun = int(read.frame().id or "")
        for index in range(3):
            store(gateway)
            assert read.kept(1) == [begun + index + 1]  # which waits for ever if anything holds it back


def test_a_client_resumes_on_another_process_without_losing_or_repeating_an_event(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"memory": False, "data": tmp_path, "partition_bits": 2}
    with live_gateway(**settings) as first, stream(first, f"{EVENTS}?after=0") as read:
        store(first, 5)
        seen = read.kept(3)
        last_id = str(seen[-1])
    with live_gateway(**settings) as second:
        store(second, 2)
        with stream(second, f"{EVENTS}?after=0", last_event_id=last_id) as read:
            seen += read.kept(4)
            store(second)
            seen += read.kept(1)
    assert seen == list(range(1, 9))


def test_an_id_that_was_never_given_out_resets(gateway: LiveGateway) -> None:
    store(gateway)
    with stream(gateway, last_event_id="123456789") as read:
        opening = read.frame()
        assert opening.event == "reset"
        assert opening.data["id"] == int(opening.id or "")
        store(gateway)
        assert read.kept(1) == [int(opening.id or "") + 1]


def test_a_client_that_leaves_frees_its_place_at_once(gateway: LiveGateway) -> None:
    with stream(gateway) as read:
        read.frame()
        assert gateway.application.feed.followers == 1
    until(lambda: gateway.application.feed.followers == 0)


def test_more_streams_than_the_limit_are_refused_with_an_answer() -> None:
    with live_gateway() as own:
        own.application.feed._followers_max = 2
        with stream(own) as first, stream(own) as second:
            first.frame()
            second.frame()
            with own.client() as client:
                answer = client.get(EVENTS)
            assert (answer.status_code, answer.json()["type"]) == (503, "/problems/overloaded")
            assert answer.headers["retry-after"]


def test_a_silent_stream_shows_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    with live_gateway() as own:
        own.application.feed._heartbeat_seconds = 0.05
        with stream(own) as read:
            until(lambda: read.frame().comment)


def test_a_client_that_takes_nothing_costs_no_memory_and_gets_everything_when_it_takes_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_feed, "RECENT_EVENTS_MAX", 10)
    with live_gateway() as own:
        connection = own.connect(receive_buffer_bytes=4096)
        connection.sendall(f"GET {EVENTS}?after=0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        until(lambda: own.application.feed._recent_after is not None)
        asyncio.run_coroutine_threadsafe(keep(own, EVENTS_COUNT, "m" * 4096), own.loop).result()
        until(lambda: own.application.feed._recent)
        assert len(own.application.feed._recent) <= 10
        with connection, connection.makefile("rb") as file:
            ids: list[int] = []
            while len(ids) < EVENTS_COUNT:
                line = file.readline()
                assert line
                if line.startswith(b"data: ") and b'"kind"' in line:
                    ids.append(json.loads(line.removeprefix(b"data: "))["id"])
    assert ids == list(range(1, EVENTS_COUNT + 1))


def test_a_gateway_that_ends_closes_its_streams_properly() -> None:
    with live_gateway() as own:
        with stream(own) as read:
            read.frame()
            own.server.should_exit = True
            for _ in read.lines:  # to the end of the body: a cut connection would raise an error
                pass
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", own.port)).close()
