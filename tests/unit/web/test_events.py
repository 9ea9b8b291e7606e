"""The events over HTTP, but for streams that go on: those need a socket."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from reelstore.domain.event import Event, EventKind
from reelstore.services.live_feed import Heartbeat, Position
from reelstore.web.event_stream import frame, prefers_json
from tests.unit.web.answers import assert_problem
from tests.unit.web.conftest import Gateway

EVENTS = "/api/v1/events"
JSON = {"accept": "application/json"}


async def test_the_latest_events_are_a_listing_the_newest_first(gateway: Gateway) -> None:
    videos = [await gateway.store(bytes([index])) for index in range(3)]
    answer = await gateway.http.get(EVENTS, headers=JSON)
    assert answer.headers["content-type"] == "application/json"
    listing = answer.json()
    assert listing["next_cursor"] is None
    assert [(item["id"], item["subject"]) for item in listing["items"]] == [
        (3 - index, video["id"]) for index, video in enumerate(reversed(videos))
    ]
    newest = listing["items"][0]
    assert set(newest) == {"id", "kind", "subject", "message", "at", "data"}
    assert (newest["kind"], newest["message"], newest["data"]["size_bytes"]) == ("video.stored", "stored a.mp4", 1)
    assert newest["at"].endswith("Z")


async def test_pages_are_followed_by_cursor_and_asking_for_one_is_asking_for_a_listing(gateway: Gateway) -> None:
    for index in range(5):
        await gateway.store(bytes([index]))
    items = await gateway.pages(EVENTS, limit=2)
    assert [item["id"] for item in items] == [5, 4, 3, 2, 1]


async def test_events_are_filtered_by_kinds_and_subject(gateway: Gateway) -> None:
    video, other = await gateway.store(b"a"), await gateway.store(b"b")
    await gateway.http.delete(f"/api/v1/videos/{video['id']}")
    asked = [{"subject": video["id"]}, {"kind": ["video.trashed", "video.purged"]}, {"subject": other["id"]}]
    found = [(await gateway.http.get(EVENTS, params=params, headers=JSON)).json()["items"] for params in asked]
    assert [[item["id"] for item in items] for items in found] == [[3, 1], [3], [2]]


@pytest.mark.parametrize(
    ("params", "headers", "field"),
    [
        ({"kind": "video.eaten"}, JSON, "0"),
        ({"limit": "0"}, JSON, "limit"),
        ({"limit": "many"}, {}, "limit"),
        ({"after": "3"}, JSON, "after"),
        ({"after": "-1"}, {}, "after"),
        ({"after": ""}, {}, "after"),
        ({"after": "9" * 19}, {}, "after"),
        ({"after": "٣"}, {}, "after"),
        ({}, {"last-event-id": "yesterday"}, "Last-Event-ID"),
        ({"after": "3"}, {"last-event-id": "1e3"}, "Last-Event-ID"),
    ],
)
async def test_nonsense_is_refused_and_named(
    gateway: Gateway, params: dict[str, str], headers: dict[str, str], field: str
) -> None:
    answer = await gateway.http.get(EVENTS, params=params, headers=headers)
    assert_problem(answer, 400, "invalid-input", field=field)


async def test_a_cursor_that_is_none_is_refused(gateway: Gateway) -> None:
    assert_problem(await gateway.http.get(EVENTS, params={"cursor": "x"}), 400, "invalid-cursor")


async def test_head_answers_for_a_stream_without_beginning_one(gateway: Gateway) -> None:
    answer = await gateway.http.head(EVENTS)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
    assert gateway.application.feed.followers == 0


async def test_a_gateway_that_is_ending_begins_no_stream(gateway: Gateway) -> None:
    gateway.application.feed.close()
    assert_problem(await gateway.http.get(EVENTS), 503, "unavailable", retryable=True)


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("application/json", True),
        ("application/json, text/plain, */*", True),
        ("Application/JSON;q=0.5", True),
        ("text/event-stream;q=0.5, application/json", True),
        ("", False),
        ("*/*", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
        ("text/event-stream", False),
        ("text/event-stream, application/json", False),
        ("application/json;q=0", False),
        ("application/json;q=nonsense", True),
        (";,;q=", False),
    ],
)
def test_what_a_client_prefers(accept: str, wanted: bool) -> None:
    assert prefers_json(accept) is wanted


HOSTILE = 'a\nb\r\nid: 99\n\n"\u2028\x00'


@pytest.mark.parametrize("field", ["subject", "message", "data"])
def test_no_text_breaks_out_of_its_frame(field: str) -> None:
    values: dict[str, Any] = {"subject": "s", "message": "m", "data": {}}
    values[field] = {HOSTILE: HOSTILE} if field == "data" else HOSTILE
    event = Event(EventKind.VIDEO_STORED, at=datetime(2026, 3, 4, tzinfo=UTC), id=7, **values)
    text = frame(event).decode()
    assert text.endswith("\n\n")
    first, second, data = text[:-2].split("\n")
    assert "\r" not in text
    assert (first, second) == ("id: 7", "event: video.stored")
    assert json.loads(data.removeprefix("data: "))[field] == values[field]


def test_only_what_is_kept_has_an_id_and_a_heartbeat_is_nobodys_event() -> None:
    assert frame(Heartbeat()) == b":\n\n"
    assert frame(Position(5)) == b"retry: 2000\nid: 5\n\n"
    reset = frame(Position(5, missed=True)).decode().split("\n")
    assert reset[:3] == ["retry: 2000", "id: 5", "event: reset"]
    assert json.loads(reset[3].removeprefix("data: "))["id"] == 5
