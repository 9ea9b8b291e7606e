from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.unit.web.answers import assert_problem, assert_video
from tests.unit.web.conftest import CHUNK, Gateway

VIDEOS = "/api/v1/videos"


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17])
async def test_a_raw_body_of_any_size_comes_back_byte_for_byte(gateway: Gateway, size: int) -> None:
    content = bytes(i * 7 % 251 for i in range(size))
    video = await gateway.store(content)
    assert video["size_bytes"] == size
    answer = await gateway.content(video)
    assert answer.status_code == 200
    assert answer.content == content


async def test_the_answer_describes_the_new_video(gateway: Gateway) -> None:
    answer = await gateway.http.post(
        VIDEOS,
        params={"name": "a b.mp4", "title": "T", "description": "two\nlines", "tag": ["x", "y", "x"]},
        content=b"abc",
        headers={"content-type": "video/mp4"},
    )
    video = assert_video(answer, 201)
    assert answer.headers["location"] == f"{VIDEOS}/{video['id']}"
    described = await gateway.http.get(answer.headers["location"])
    assert assert_video(described) == video
    assert video | {"id": "", "etag": "", "content_etag": "", "created_at": "", "updated_at": ""} == {
        "id": "",
        "name": "a b.mp4",
        "title": "T",
        "description": "two\nlines",
        "tags": ["x", "y"],
        "state": "stored",
        "size_bytes": 3,
        "etag": "",
        "content_etag": "",
        "content_type": "video/mp4",
        "policy": "default",
        "created_at": "",
        "updated_at": "",
        "deleted_at": None,
        "media": None,
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", video["created_at"])


async def test_the_title_is_the_name_unless_given(gateway: Gateway) -> None:
    assert (await gateway.store(name="x.mkv"))["title"] == "x.mkv"


async def test_a_raw_body_may_be_named_by_content_disposition(gateway: Gateway) -> None:
    headers = {"content-disposition": "attachment; filename*=UTF-8''%C3%A4.mkv"}
    video = assert_video(await gateway.http.post(VIDEOS, content=b"x", headers=headers), 201)
    assert (video["name"], video["content_type"]) == ("ä.mkv", "video/matroska")


async def test_a_body_without_a_name_is_refused_and_teaches_how_to_name_it(gateway: Gateway) -> None:
    problem = assert_problem(await gateway.http.post(VIDEOS, content=b"x"), 400, "invalid-input", field="name")
    assert "?name=" in problem["detail"]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"name": "x\x00"}, "name"),
        ({"name": "   "}, "name"),
        ({"name": "x" * 1025}, "name"),
        ({"name": "x", "title": "y" * 1025}, "title"),
        ({"name": "x", "title": "two\nlines"}, "title"),
        ({"name": "x", "description": "\x07"}, "description"),
        ({"name": "x", "description": "y" * (16 * 1024 + 1)}, "description"),
        ({"name": "x", "tag": "y" * 129}, "tags"),
        ({"name": "x", "tag": ""}, "tags"),
        ({"name": "x", "tag": [str(i) for i in range(65)]}, "tags"),
    ],
)
async def test_a_description_beyond_its_limits_is_refused_by_field(
    gateway: Gateway, params: dict[str, Any], field: str
) -> None:
    assert_problem(await gateway.http.post(VIDEOS, params=params, content=b"x"), 400, "invalid-input", field=field)
    assert (await gateway.http.get(VIDEOS)).json()["items"] == []


async def test_a_name_that_is_not_utf_8_is_refused(gateway: Gateway) -> None:
    assert_problem(await gateway.http.post(f"{VIDEOS}?name=%ff", content=b"x"), 400, "invalid-input", field="name")


async def test_an_unknown_policy_is_named(gateway: Gateway) -> None:
    answer = await gateway.http.post(VIDEOS, params={"name": "x", "policy": "triple"}, content=b"x")
    assert_problem(answer, 404, "policy-not-found", key="triple")


async def test_unknown_query_parameters_are_ignored(gateway: Gateway) -> None:
    await gateway.store(colour="red")


async def test_a_compressed_body_is_refused(gateway: Gateway) -> None:
    answer = await gateway.http.post(VIDEOS, params={"name": "x"}, content=b"x", headers={"content-encoding": "gzip"})
    assert_problem(answer, 415, "unsupported-media-type", accept=["identity"])
    assert answer.headers["accept-encoding"] == "identity"


async def test_other_multipart_types_are_refused(gateway: Gateway) -> None:
    headers = {"content-type": "multipart/mixed; boundary=b"}
    answer = await gateway.http.post(VIDEOS, params={"name": "x"}, content=b"x", headers=headers)
    assert_problem(answer, 415, "unsupported-media-type")


async def test_a_chunked_body_is_stored(gateway: Gateway) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 1000

    answer = await gateway.http.post(VIDEOS, params={"name": "x"}, content=body())
    assert assert_video(answer, 201)["size_bytes"] == 10_000


async def test_an_announced_length_beyond_the_limit_is_refused_unread(gateway: Gateway) -> None:
    headers = {"content-length": str(2**60)}
    answer = await gateway.http.post(VIDEOS, params={"name": "x"}, content=b"x", headers=headers)
    assert_problem(answer, 413, "too-large")


async def test_a_body_that_is_shorter_than_announced_leaves_nothing(gateway: Gateway) -> None:
    answer = await gateway.http.post(VIDEOS, params={"name": "x"}, content=b"abc", headers={"content-length": "4"})
    assert_problem(answer, 400, "incomplete-body", retryable=True)
    assert (await gateway.http.get(VIDEOS)).json()["items"] == []
    assert (await gateway.http.get("/api/v1/health")).json()["totals"]["open_files"] == 0


async def test_the_same_idempotency_key_gives_the_same_video(gateway: Gateway) -> None:
    async def store(name: str, key: str) -> httpx.Response:
        return await gateway.http.post(VIDEOS, params={"name": name}, content=b"x", headers={"idempotency-key": key})

    first = assert_video(await store("a", "k1"), 201)
    assert assert_video(await store("a", "k1"), 200) == first
    assert assert_video(await store("a", "k2"), 201)["id"] != first["id"]
    assert_problem(await store("b", "k1"), 409, "video-state")
    assert_problem(await store("a", "k" * 256), 400, "invalid-input", field="Idempotency-Key")


# ---------------------------------------------------------------------- forms


async def post_form(gateway: Gateway, *parts: tuple[str, Any], **params: str) -> httpx.Response:
    """Send parts in order: `(field, text)` or `(field, (filename, content, type))`."""
    files = [(name, part if isinstance(part, tuple) else (None, part)) for name, part in parts]
    return await gateway.http.post(VIDEOS, params=params, files=files)


FILE = ("anything.mkv", b"content", "video/matroska")


async def test_a_form_stores_its_file_under_its_filename(gateway: Gateway) -> None:
    video = assert_video(await post_form(gateway, ("upload", ("ä b.mkv", b"content", "video/matroska"))), 201)
    assert (video["name"], video["title"], video["content_type"]) == ("ä b.mkv", "ä b.mkv", "video/matroska")
    assert (await gateway.content(video)).content == b"content"


@pytest.mark.parametrize("file_first", [False, True])
async def test_fields_count_before_and_behind_the_file(gateway: Gateway, file_first: bool) -> None:
    fields = [("name", "n.mkv"), ("title", "T"), ("description", "D"), ("tag", "a,b"), ("tags", "c, d"), ("x", "y")]
    parts = [("file", FILE), *fields] if file_first else [*fields, ("file", FILE)]
    video = assert_video(await post_form(gateway, *parts), 201)
    assert [video[name] for name in ("name", "title", "description", "tags")] == ["n.mkv", "T", "D", ["a,b", "c", "d"]]
    assert assert_video(await gateway.http.get(f"{VIDEOS}/{video['id']}")) == video


async def test_fields_win_over_the_query(gateway: Gateway) -> None:
    answer = await post_form(gateway, ("title", "form"), ("file", FILE), title="query", description="query")
    video = assert_video(answer, 201)
    assert (video["title"], video["description"]) == ("form", "query")


@pytest.mark.parametrize("file_first", [False, True])
async def test_an_input_that_a_page_left_empty_says_nothing(gateway: Gateway, file_first: bool) -> None:
    fields = [(name, "") for name in ("name", "title", "description", "tag", "tags")]
    parts = [("file", FILE), *fields] if file_first else [*fields, ("file", FILE)]
    video = assert_video(await post_form(gateway, *parts), 201)
    assert [video[name] for name in ("name", "title", "description", "tags")] == [FILE[0], FILE[0], "", []]


@pytest.mark.parametrize(
    "parts",
    [
        [("title", "T")],
        [("file", FILE), ("file", FILE)],
        [("file", ("", b"content", "video/mp4"))],
        [("file", FILE), ("policy", "default")],
        [("file", FILE), ("title", "x" * 1025)],
        [("file", FILE), ("tags", "x" * 129)],
        [("title", "\x00"), ("file", FILE)],
    ],
)
async def test_a_form_that_cannot_be_stored_leaves_nothing(gateway: Gateway, parts: list[tuple[str, Any]]) -> None:
    assert_problem(await post_form(gateway, *parts), 400, "invalid-input")
    assert (await gateway.http.get(VIDEOS)).json()["items"] == []


async def test_a_form_that_is_cut_off_leaves_nothing(gateway: Gateway) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n'
    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = await gateway.http.post(VIDEOS, content=head + b"x" * 10_000, headers=headers)
    assert_problem(answer, 400, "incomplete-body")
    assert (await gateway.http.get(VIDEOS)).json()["items"] == []


async def test_a_file_of_a_form_comes_back_byte_for_byte(gateway: Gateway) -> None:
    content = b"\r\n--" * CHUNK + bytes(range(256))
    video = assert_video(await post_form(gateway, ("file", ("a", content, "x/y"))), 201)
    assert (await gateway.content(video)).content == content
