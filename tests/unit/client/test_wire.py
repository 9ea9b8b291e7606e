from __future__ import annotations

import socket
from datetime import UTC, datetime

import pytest

from reelstore.client import Client, ConnectionFailed, InvalidRequest, Problem, UnexpectedAnswer, wire
from tests.unit.client.gateway import Fault, Gateway, cut, raw, say


def test_unknown_fields_are_kept_and_known_ones_read(gateway: Gateway, client: Client) -> None:
    gateway.add(b"abc")

    video = client.video("video-1")

    assert video.created_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert video.size_bytes == 3
    assert video.document["from_the_future"] == {"anything": 1}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"id": 7, "name": "x", "state": "stored", "size_bytes": 1},
        {"id": "x", "name": None, "state": "stored", "size_bytes": 1},
        {"id": "x", "name": "x", "state": "stored", "size_bytes": True},
        {"id": "x", "name": "x", "state": "stored", "size_bytes": "1"},
        {"id": "x", "name": "x", "state": "stored", "size_bytes": 1, "tags": "a"},
        {"id": "x", "name": "x", "state": "stored", "size_bytes": 1, "tags": [1]},
        {"id": "x", "name": "x", "state": "stored", "size_bytes": 1, "created_at": "yesterday"},
        {"id": "x", "name": "x", "state": "stored", "size_bytes": 1, "created_at": "2026-01-01T00:00:00"},
        {"id": "x", "name": "x", "state": "stored", "size_bytes": 1, "media": 5},
        [],
        "text",
        None,
    ],
)
def test_an_answer_of_another_form_is_told_apart(gateway: Gateway, client: Client, document: object) -> None:
    gateway.answers["/videos/x"] = document

    with pytest.raises(UnexpectedAnswer):
        client.video("x")


def test_another_program_on_the_port_is_told_apart(gateway: Gateway, client: Client) -> None:
    gateway.fail("/videos/x", raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<h1>Hello</h1>"))

    with pytest.raises(UnexpectedAnswer, match=r"does not speak the Reelstore API: status 200, text/html"):
        client.video("x")


def test_a_redirect_is_not_followed_so_that_no_token_goes_astray(gateway: Gateway, client: Client) -> None:
    gateway.fail(
        "/videos/x", raw(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 2\r\n\r\n{}")
    )

    with pytest.raises(UnexpectedAnswer, match="status 302"):
        client.video("x")


def test_an_endless_answer_is_cut_off(gateway: Gateway, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "JSON_BYTES_MAX", 1000)
    gateway.fail("/videos/x", raw(b"HTTP/1.1 200 OK\r\n\r\n" + b"{" * 5000))

    with pytest.raises(UnexpectedAnswer, match="longer than 1000 bytes"):
        client.video("x")


def test_a_problem_carries_what_the_server_says(gateway: Gateway, client: Client) -> None:
    with pytest.raises(Problem) as caught:
        client.video("absent")

    problem = caught.value
    assert (problem.status, problem.slug, problem.title, problem.detail, problem.retryable) == (
        404,
        "video-not-found",
        "The title of video-not-found",
        "the detail of video-not-found",
        False,
    )
    assert problem.data["key"] == "more"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"type": 5, "title": null, "retryable": "yes"}'])
def test_an_error_without_a_problem_document_is_a_problem_too(gateway: Gateway, client: Client, body: bytes) -> None:
    head = b"HTTP/1.1 418 Teapot\r\nContent-Length: %d\r\n\r\n" % len(body)
    gateway.fail("/videos/x", raw(head + body))

    with pytest.raises(Problem) as caught:
        client.video("x")

    assert caught.value.status == 418
    assert caught.value.retryable is False


@pytest.mark.parametrize("fault", [cut, say(503, "overloaded", retryable=True), raw(b"HTTP/1.1 502 Bad\r\n\r\n")])
def test_reading_is_tried_again_after_a_failure_that_passes(gateway: Gateway, client: Client, fault: Fault) -> None:
    gateway.add(b"abc")
    gateway.fail("/videos/video-1", fault)

    assert client.video("video-1").name == "holiday.mp4"


def test_a_change_is_not_tried_again(gateway: Gateway, client: Client) -> None:
    gateway.add(b"abc")
    gateway.fail("/videos/video-1", cut)

    with pytest.raises(ConnectionFailed):
        client.trash("video-1")

    assert len(gateway.asked("DELETE", "/videos/video-1")) == 1


def test_a_server_that_never_answered_is_not_waited_for() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"

    with Client(url) as client, pytest.raises(ConnectionFailed, match="Connection refused") as caught:
        client.health()

    assert not caught.value.connected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:5000",
        "ftp://x",
        "http://",
        "http://x:99999",
        "http://x:0",
        "http://u:p@x",
        "http://x/?q=1",
        "http://[::1",
    ],
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest):
        Client(url)


@pytest.mark.parametrize("token", ["", "with blank", "line\nfeed", "naïve"])
def test_what_is_no_token_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Client("http://127.0.0.1:1", token=token)

    assert not token or token not in str(caught.value)


def test_the_token_is_sent_as_a_bearer_token(gateway: Gateway) -> None:
    gateway.add(b"abc")

    with Client(gateway.url, token="s3cret") as client:
        client.video("video-1")

    assert gateway.requests[0][2]["authorization"] == "Bearer s3cret"


@pytest.mark.parametrize("identifier", ["..", ".", "a/b", "a?b#c", "%2e%2e", "日本", "a b"])
def test_an_id_stays_one_segment_of_the_path(gateway: Gateway, client: Client, identifier: str) -> None:
    gateway.add(b"abc", id=identifier)

    assert client.video(identifier).size_bytes == 3


@pytest.mark.parametrize("identifier", ["", "\udc80"])
def test_what_cannot_be_an_id_is_refused_before_it_is_sent(client: Client, identifier: str) -> None:
    with pytest.raises(InvalidRequest):
        client.video(identifier)


def test_a_proxy_of_the_environment_is_not_asked_for_loopback(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    gateway.add(b"abc")

    with Client(gateway.url) as client:
        assert client.video("video-1").size_bytes == 3


def test_a_listing_is_read_page_by_page_and_no_further_than_needed(gateway: Gateway, client: Client) -> None:
    one, two = gateway.add(b"a", id="one"), gateway.add(b"bb", id="two")
    pages = iter(
        [
            {"items": [one.document], "next_cursor": "c1"},
            {"items": [two.document], "next_cursor": "c2"},
        ]
    )

    def page(handler: object) -> bool:
        gateway.answers["/videos"] = next(pages)
        return True

    gateway.fail("/videos", page, page, page)

    assert [video.id for video in client.videos(query="x", tags=("a", "b"), limit=2)] == ["one", "two"]
    assert len(gateway.asked("GET", "/videos")) == 2


def test_a_listing_that_goes_round_in_circles_ends(gateway: Gateway, client: Client) -> None:
    gateway.answers["/videos"] = {"items": [], "next_cursor": "again"}

    with pytest.raises(UnexpectedAnswer, match="circles"):
        list(client.videos())


def interrupted(client: Client) -> None:
    with client:
        raise KeyboardInterrupt


def test_an_interrupted_client_waits_for_nothing(gateway: Gateway) -> None:
    client = Client(gateway.url)
    with pytest.raises(KeyboardInterrupt):
        interrupted(client)
    assert not client._wire._http.is_closed
    with client:
        pass
    assert client._wire._http.is_closed
