"""The client follows events over cut connections: none twice, none left out, and not for ever against a wall."""

from __future__ import annotations

import json
from itertools import islice
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelstore.client import Client, ConnectionFailed, Problem, UnexpectedAnswer, event_stream
from reelstore.client.event_stream import Frame, read_frames
from reelstore.client.observing import RESET
from tests.unit.client.gateway import Fault, Gateway, Handler, say

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def event(event_id: int) -> bytes:
    data = {"id": event_id, "kind": "server.added", "subject": "disk9", "message": "m", "at": "2026-01-02T03:04:05Z"}
    return f"id: {event_id}\nevent: server.added\ndata: {json.dumps(data)}\n\n".encode()


def stream(asked: list[dict[str, list[str]]], body: bytes) -> Fault:
    """Answer with a stream that ends, and remember what was asked for."""

    def fault(handler: Handler) -> bool:
        asked.append(parse_qs(urlsplit(handler.path).query))
        assert handler.headers["Accept"] == "text/event-stream"
        handler.raw(HEAD + body)
        return False

    return fault


def test_a_stream_that_ends_is_gone_on_with_after_the_last_event(gateway: Gateway, client: Client) -> None:
    asked: list[dict[str, list[str]]] = []
    opening = b"retry: 2000\nid: 4\n\nevent: rebalance\ndata: {}\n\n"
    gateway.fail(
        "/events",
        stream(asked, opening + event(5) + b":\n\n" + event(6)),
        say(503, "not-ready", retryable=True),
        stream(asked, event(7)[:-9]),  # cut in the middle: it was not seen
        stream(asked, event(7)),
    )
    client.events(limit=1)
    seen = list(islice(client.follow_events(kinds=["server.added"], subject="disk9"), 3))
    assert [each.id for each in seen] == [5, 6, 7]
    filters = {"kind": ["server.added"], "subject": ["disk9"]}
    assert asked == [filters, filters | {"after": ["6"]}, filters | {"after": ["6"]}]


def test_a_client_that_saw_no_event_yet_goes_on_where_it_began(gateway: Gateway, client: Client) -> None:
    asked: list[dict[str, list[str]]] = []
    gateway.fail("/events", stream(asked, b"retry: 2000\nid: 4\n\n"), stream(asked, event(5)))
    assert next(client.follow_events()).id == 5
    assert asked == [{}, {"after": ["4"]}]


def test_what_is_no_longer_kept_is_told(gateway: Gateway, client: Client) -> None:
    gateway.fail("/events", stream([], b'id: 9\nevent: reset\ndata: {"id": 9, "message": "gone"}\n\n'))
    told = next(client.follow_events(after=3))
    assert (told.kind, told.id, told.message, told.at) == (RESET, 9, "gone", None)


def test_tries_in_vain_have_an_end(gateway: Gateway, client: Client) -> None:
    gateway.fail("/events", *[stream([], b"") for _ in range(20)])
    with pytest.raises(ConnectionFailed):
        next(client.follow_events(after=0))
    assert len(gateway.asked("GET", "/events")) == 7


def test_what_cannot_pass_is_not_tried_again(gateway: Gateway, client: Client) -> None:
    gateway.fail("/events", say(400, "invalid-input"))
    with pytest.raises(Problem):
        next(client.follow_events(kinds=["nonsense"]))
    assert len(gateway.asked("GET", "/events")) == 1


@pytest.mark.parametrize("raw", [b"id: x", b"data: {", b"data: 5", b"id: 1\nnonsense", b"data: \xff"])
def test_what_is_no_stream_of_events_is_refused(raw: bytes) -> None:
    with pytest.raises(UnexpectedAnswer):
        list(read_frames([raw + b"\n\n"]))


def test_an_event_without_an_end_takes_no_more_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "FRAME_BYTES_MAX", 100)
    assert len(list(read_frames([b"id: 1\n\n" * 50, b"x" * 100]))) == 50
    with pytest.raises(UnexpectedAnswer):
        list(read_frames([b"x" * 100, b"x"]))


@given(st.lists(st.sampled_from([event(1), event(22), b":\n\n", b"retry: 1\nid: 3\n\n"])), st.data())
def test_frames_are_the_same_however_their_bytes_arrive(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    frames = list(read_frames(pieces))
    assert frames == list(read_frames([whole]))
    assert len(frames) == len(parts)
    assert frames.count(Frame(None, None, None)) == parts.count(b":\n\n")
