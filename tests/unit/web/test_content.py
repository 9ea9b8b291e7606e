from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes
from typing import Any

import httpx
import pytest

from reelstore.web.conditions import http_date
from tests.unit.web.answers import assert_problem
from tests.unit.web.conftest import CHUNK, Gateway

SIZE = 5 * CHUNK + 123
CONTENT = bytes(i * 31 % 251 for i in range(SIZE))


def parts_of(answer: httpx.Response) -> list[tuple[str, str, bytes]]:
    """Read `multipart/byteranges` with a parser that is not ours."""
    message = message_from_bytes(
        b"Content-Type: " + answer.headers["content-type"].encode() + b"\r\n\r\n" + answer.content
    )
    parts: Any = message.get_payload()
    return [(part["Content-Type"], part["Content-Range"], part.get_payload(decode=True)) for part in parts]


async def test_the_whole_content_comes_with_what_caches_and_browsers_need(gateway: Gateway) -> None:
    video = await gateway.store(CONTENT, name="ä.mp4")
    answer = await gateway.content(video)
    assert answer.status_code == 200
    assert answer.content == CONTENT
    headers = answer.headers
    assert headers["content-length"] == str(SIZE)
    assert headers["content-type"] == "video/mp4"
    assert headers["accept-ranges"] == "bytes"
    assert headers["etag"] == video["content_etag"]
    assert headers["last-modified"] == http_date(datetime.fromisoformat(video["created_at"]))
    assert headers["cache-control"] == "private, no-cache"
    assert headers["content-disposition"] == "inline; filename=\"_.mp4\"; filename*=UTF-8''%C3%A4.mp4"
    assert headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in headers["content-security-policy"]


async def test_the_content_etag_stays_through_edits_and_differs_between_uploads(gateway: Gateway) -> None:
    video, other = await gateway.store(CONTENT), await gateway.store(CONTENT)
    await gateway.http.patch(f"/api/v1/videos/{video['id']}", json={"title": "x"})
    assert (await gateway.content(video)).headers["etag"] == video["content_etag"]
    assert video["content_etag"] != other["content_etag"]


async def test_download_asks_the_browser_to_save_it(gateway: Gateway) -> None:
    video = await gateway.store(name="a.mp4")
    answer = await gateway.http.get(f"/api/v1/videos/{video['id']}/content?download=1")
    assert answer.headers["content-disposition"] == 'attachment; filename="a.mp4"'


async def test_an_uploaded_page_is_served_where_it_cannot_run(gateway: Gateway) -> None:
    page = {"content-type": "text/html"}
    stored = await gateway.http.post("/api/v1/videos?name=x.html", content=b"<script>", headers=page)
    answer = await gateway.content(stored.json())
    assert answer.headers["content-type"] == "text/html"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["content-security-policy"].endswith("sandbox")


async def test_head_gives_the_headers_of_the_whole_and_no_byte(gateway: Gateway) -> None:
    video = await gateway.store(CONTENT)
    url = f"/api/v1/videos/{video['id']}/content"
    got, head = await gateway.http.get(url), await gateway.http.head(url, headers={"range": "bytes=0-1"})
    assert (head.status_code, head.content) == (200, b"")
    own = {"x-request-id"}
    assert {k: v for k, v in head.headers.items() if k not in own} == {
        k: v for k, v in got.headers.items() if k not in own
    }


async def test_head_reads_nothing_from_the_servers(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    video = await gateway.store(CONTENT)

    async def read(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(type(gateway.application.videos), "read", read)
    assert (await gateway.http.head(f"/api/v1/videos/{video['id']}/content")).status_code == 200


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("0-0", 0, 1),
        (f"{CHUNK - 1}-{CHUNK}", CHUNK - 1, CHUNK + 1),
        (f"{CHUNK}-{2 * CHUNK - 1}", CHUNK, 2 * CHUNK),
        ("100-", 100, SIZE),
        ("-1", SIZE - 1, SIZE),
        (f"-{SIZE * 2}", 0, SIZE),
        (f"{SIZE - 1}-{SIZE * 2}", SIZE - 1, SIZE),
        ("0-9,5-19", 0, 20),
    ],
)
async def test_a_range_is_exactly_what_was_asked_for(gateway: Gateway, asked: str, start: int, stop: int) -> None:
    answer = await gateway.content(await gateway.store(CONTENT), range=f"bytes={asked}")
    assert answer.status_code == 206
    assert answer.content == CONTENT[start:stop]
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{SIZE}"
    assert answer.headers["content-length"] == str(stop - start)


async def test_several_ranges_come_as_parts_in_the_order_asked_for(gateway: Gateway) -> None:
    asked = f"bytes=-3, 0-1, {CHUNK - 2}-{CHUNK + 2}"
    answer = await gateway.content(await gateway.store(CONTENT), range=asked)
    assert answer.status_code == 206
    assert "content-range" not in answer.headers
    assert answer.headers["content-length"] == str(len(answer.content))
    assert parts_of(answer) == [
        ("video/mp4", f"bytes {SIZE - 3}-{SIZE - 1}/{SIZE}", CONTENT[-3:]),
        ("video/mp4", f"bytes 0-1/{SIZE}", CONTENT[:2]),
        ("video/mp4", f"bytes {CHUNK - 2}-{CHUNK + 2}/{SIZE}", CONTENT[CHUNK - 2 : CHUNK + 3]),
    ]


@pytest.mark.parametrize("asked", ["bytes=5-4", "bytes=x", "lines=0-1", "bytes=" + ",".join(["0-0"] * 17)])
async def test_ranges_that_must_or_may_be_ignored_give_the_whole(gateway: Gateway, asked: str) -> None:
    answer = await gateway.content(await gateway.store(CONTENT), range=asked)
    assert (answer.status_code, answer.content) == (200, CONTENT)


@pytest.mark.parametrize("asked", [f"{SIZE}-", f"{SIZE}-{SIZE + 5}", "-0", "9" * 400 + "-"])
async def test_a_range_behind_the_end_is_a_problem_that_tells_the_size(gateway: Gateway, asked: str) -> None:
    answer = await gateway.content(await gateway.store(CONTENT), range=f"bytes={asked}")
    assert_problem(answer, 416, "range-not-satisfiable", size_bytes=SIZE)
    assert answer.headers["content-range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize("headers", [{}, {"range": "bytes=0-"}, {"range": "bytes=-5"}])
async def test_empty_content_is_a_success_with_and_without_a_range(gateway: Gateway, headers: dict[str, str]) -> None:
    answer = await gateway.content(await gateway.store(b""), **headers)
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "0")


async def test_if_range_protects_a_resumed_download(gateway: Gateway) -> None:
    video = await gateway.store(CONTENT)
    modified = http_date(datetime.fromisoformat(video["created_at"]))
    for fits in (video["content_etag"], modified):
        answer = await gateway.content(video, range="bytes=10-", if_range=fits)
        assert (answer.status_code, answer.content) == (206, CONTENT[10:])
    for other in ('"other"', "W/" + video["content_etag"], http_date(datetime(2000, 1, 1, tzinfo=UTC)), "nonsense"):
        answer = await gateway.content(video, range=f"bytes={SIZE}-", if_range=other)
        assert (answer.status_code, answer.content) == (200, CONTENT)


async def test_conditions_decide_before_ranges(gateway: Gateway) -> None:
    video = await gateway.store(CONTENT)
    etag, behind = video["content_etag"], f"bytes={SIZE}-"
    modified = http_date(datetime.fromisoformat(video["created_at"]))
    for headers in ({"if_none_match": etag}, {"if_none_match": "*"}, {"if_modified_since": modified}):
        answer = await gateway.content(video, range=behind, **headers)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
        assert "content-length" not in answer.headers
    long_ago = http_date(datetime(2000, 1, 1, tzinfo=UTC))
    for headers in ({"if_match": '"other"'}, {"if_unmodified_since": long_ago}):
        assert_problem(await gateway.content(video, range=behind, **headers), 412, "precondition-failed")
    assert (await gateway.content(video, if_match=etag)).status_code == 200


async def test_placement_and_verification_agree_with_the_content(gateway: Gateway) -> None:
    video = await gateway.store(CONTENT)
    url = f"/api/v1/videos/{video['id']}"
    places = (await gateway.http.get(f"{url}/placement")).json()["items"]
    assert [place["position"] for place in places] == list(range(6))
    assert [place["offset_bytes"] for place in places] == [CHUNK * i for i in range(6)]
    assert sum(place["size_bytes"] for place in places) == SIZE
    assert all(len(set(place["servers"])) == 2 for place in places)
    assert await gateway.pages(f"{url}/placement", limit=4) == places
    verification = (await gateway.http.post(f"{url}/verify")).json()
    assert verification == {
        "video_id": video["id"],
        "shards_total": 12,
        "shards_ok": 12,
        "shards_moving": 0,
        "problems": [],
        "problems_truncated": False,
    }
