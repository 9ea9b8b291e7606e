from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.unit.web.answers import assert_problem, assert_video
from tests.unit.web.conftest import Gateway

VIDEOS = "/api/v1/videos"


async def names(gateway: Gateway, **params: Any) -> list[str]:
    answer = await gateway.http.get(VIDEOS, params=params)
    assert answer.status_code == 200, answer.text
    return [video["name"] for video in answer.json()["items"]]


# ---------------------------------------------------------------------- list


async def test_an_empty_cluster_lists_nothing(gateway: Gateway) -> None:
    assert (await gateway.http.get(VIDEOS)).json() == {"items": [], "next_cursor": None}


async def test_the_newest_comes_first_and_any_field_sorts(gateway: Gateway) -> None:
    for name, content in (("b", b"123"), ("a", b"1"), ("c", b"12")):
        await gateway.store(content, name=name)
    assert await names(gateway) == ["c", "a", "b"]
    assert await names(gateway, sort="created_at") == ["b", "a", "c"]
    assert await names(gateway, sort="name") == ["a", "b", "c"]
    assert await names(gateway, sort="-size_bytes") == ["b", "c", "a"]


async def test_words_tags_and_states_filter(gateway: Gateway) -> None:
    await gateway.store(name="Strand.mp4", title="Urlaub ÄÖ", tag=["meer", "2026"])
    await gateway.store(name="Berg.mp4", description="urlaub in den Alpen", tag="2026")
    trashed = await gateway.store(name="alt.mp4")
    await gateway.http.delete(f"{VIDEOS}/{trashed['id']}")
    assert await names(gateway, query="urlaub", sort="name") == ["Berg.mp4", "Strand.mp4"]
    assert await names(gateway, query="urlaub äö") == ["Strand.mp4"]
    assert await names(gateway, tag=["2026", "meer"]) == ["Strand.mp4"]
    assert await names(gateway, tag="Meer") == []
    assert await names(gateway, state="trashed") == ["alt.mp4"]
    assert await names(gateway, query="100%_'\"\\") == []


async def test_videos_of_a_server_are_found_by_either_route(gateway: Gateway) -> None:
    video = await gateway.store(b"x" * 50_000)
    place = (await gateway.http.get(f"{VIDEOS}/{video['id']}/placement")).json()["items"][0]
    for server in place["servers"]:
        assert await names(gateway, server=server) == [video["name"]]
        assert (await gateway.http.get(f"/api/v1/servers/{server}/videos")).json()["items"] == [video]
    assert_problem(await gateway.http.get(VIDEOS, params={"server": "no"}), 404, "server-not-found", key="no")


async def test_pages_join_to_the_whole_list_without_repetition(gateway: Gateway) -> None:
    for number in range(7):
        await gateway.store(name=f"n{number}", title="same")
    for sort in ("name", "-title", "created_at", "-size_bytes"):
        seen = [video["name"] for video in await gateway.pages(VIDEOS, sort=sort, limit=3)]
        assert sorted(seen) == [f"n{number}" for number in range(7)]


def cursor_of(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "!!!!",
        "a" * 8192,
        "\x00",
        "ä",
        cursor_of("null"),
        cursor_of("[]"),
        cursor_of("[" * 6000),
        cursor_of('["-created_at","t","2026-01-01T00:00:00","x"]'),
        cursor_of('["-created_at","t",5,"x"]'),
        cursor_of('["-created_at","t","2026-01-01T00:00:00+00:00",5]'),
    ],
)
async def test_a_cursor_that_was_never_handed_out_is_refused(gateway: Gateway, cursor: str) -> None:
    assert_problem(await gateway.http.get(VIDEOS, params={"cursor": cursor}), 400, "invalid-cursor", field="cursor")


async def test_a_cursor_of_another_order_is_refused(gateway: Gateway) -> None:
    for name in "ab":
        await gateway.store(name=name)
    cursor = (await gateway.http.get(VIDEOS, params={"limit": 1})).json()["next_cursor"]
    answer = await gateway.http.get(VIDEOS, params={"cursor": cursor, "sort": "name"})
    assert_problem(answer, 400, "invalid-cursor")


@pytest.mark.parametrize(
    ("sort", "value"),
    [
        ("size_bytes", "1" + "0" * 400),
        ("size_bytes", "1e400"),
        ("name", '"\\ud800"'),
        ("name", '"\\u0000"'),
        ("created_at", '"x"'),
    ],
)
async def test_a_cursor_with_any_value_is_no_error_of_the_gateway(gateway: Gateway, sort: str, value: str) -> None:
    await gateway.store()
    cursor = cursor_of(f'["{sort}","v",{value},"x"]')
    assert (await gateway.http.get(VIDEOS, params={"cursor": cursor, "sort": sort})).status_code in {200, 400}


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"limit": "9" * 5000}, "limit"),
        ({"state": "lost"}, "state"),
        ({"sort": "colour"}, "sort"),
        ({"sort": "--name"}, "sort"),
        ({"query": "x" * 1025}, "query"),
        ({"query": "\x00"}, "query"),
        ({"cursor": "x" * 8193}, "cursor"),
    ],
)
async def test_a_wrong_parameter_is_named(gateway: Gateway, params: dict[str, str], field: str) -> None:
    assert_problem(await gateway.http.get(VIDEOS, params=params), 400, "invalid-input", field=field)


# ---------------------------------------------------------------------- describe


@pytest.mark.parametrize("video_id", ["x", "019a3f2e-8b5c-7c11-9d2e-5f1f0a6b7c8d", "%00", "..", "ä", "%ff", "x" * 5000])
async def test_an_unknown_id_is_a_problem_on_every_route(gateway: Gateway, video_id: str) -> None:
    one = f"{VIDEOS}/{video_id}" if video_id != ".." else f"{VIDEOS}/%2e%2e"
    assert_problem(await gateway.http.get(f"{one}/content"), 404, "video-not-found")
    assert_problem(await gateway.http.get(one), 404, "video-not-found")
    assert_problem(await gateway.http.patch(one, json={"title": "x"}), 404, "video-not-found")
    assert_problem(await gateway.http.delete(one), 404, "video-not-found")
    assert_problem(await gateway.http.delete(f"{one}?purge=true"), 404, "video-not-found")
    assert_problem(await gateway.http.post(f"{one}/restore"), 404, "video-not-found")
    assert_problem(await gateway.http.get(f"{one}/placement"), 404, "video-not-found")
    assert_problem(await gateway.http.post(f"{one}/verify"), 404, "video-not-found")


async def test_a_description_that_the_client_has_is_not_sent_again(gateway: Gateway) -> None:
    video = await gateway.store()
    url = f"{VIDEOS}/{video['id']}"
    answer = await gateway.http.get(url, headers={"if-none-match": video["etag"]})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", video["etag"])
    await gateway.http.patch(url, json={"title": "new"})
    assert_video(await gateway.http.get(url, headers={"if-none-match": video["etag"]}))


# ---------------------------------------------------------------------- edit


async def test_an_edit_changes_what_it_names_and_the_etag(gateway: Gateway) -> None:
    video = await gateway.store(title="old", description="stays", tag="stays")
    answer = await gateway.http.patch(f"{VIDEOS}/{video['id']}", json={"title": "new", "name": "n.mkv"})
    edited = assert_video(answer)
    assert edited["etag"] != video["etag"]
    assert edited["content_etag"] == video["content_etag"]
    assert edited["updated_at"] > video["updated_at"]
    same = {"etag": "", "updated_at": "", "title": "new", "name": "n.mkv"}
    assert edited | same == video | same
    emptied = await gateway.http.patch(f"{VIDEOS}/{video['id']}", json={"tags": [], "description": ""})
    assert (assert_video(emptied)["tags"], emptied.json()["description"]) == ([], "")


async def test_merge_patch_is_read_too(gateway: Gateway) -> None:
    video = await gateway.store()
    headers = {"content-type": "application/merge-patch+json; charset=utf-8"}
    answer = await gateway.http.patch(f"{VIDEOS}/{video['id']}", content=b'{"tags": ["x"]}', headers=headers)
    assert assert_video(answer)["tags"] == ["x"]


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (b'{"titel": "x"}', "titel"),
        (b'{"id": "x"}', "id"),
        (b'{"title": 1}', "title"),
        (b'{"title": null}', "title"),
        (b'{"tags": "x"}', "tags"),
        (b'{"tags": ["x", 1]}', "tags.1"),
        (b'{"name": ""}', "name"),
        (b'{"title": "\\u0000"}', "title"),
        (b'{"title": "\\ud800"}', "body"),
        (b'{"title": "\xff"}', "body"),
        (b"[]", "body"),
        (b"", "body"),
        (b"{", "body"),
        (b"[" * 100_000, "body"),
    ],
)
async def test_a_wrong_edit_is_refused_by_field(gateway: Gateway, document: bytes, field: str) -> None:
    video = await gateway.store()
    headers = {"content-type": "application/json"}
    answer = await gateway.http.patch(f"{VIDEOS}/{video['id']}", content=document, headers=headers)
    assert_problem(answer, 400, "invalid-input", field=field)
    assert assert_video(await gateway.http.get(f"{VIDEOS}/{video['id']}")) == video


async def test_an_edit_is_json_of_at_most_one_mebibyte(gateway: Gateway) -> None:
    url = f"{VIDEOS}/{(await gateway.store())['id']}"
    json_type = {"content-type": "application/json"}
    document = b'{"title": "x"}'
    assert_video(await gateway.http.patch(url, content=document.ljust(1 << 20), headers=json_type))
    assert_problem(
        await gateway.http.patch(url, content=document.ljust((1 << 20) + 1), headers=json_type), 413, "too-large"
    )
    unannounced = json_type | {"content-length": "1"}
    assert_problem(await gateway.http.patch(url, content=b" " * (2 << 20), headers=unannounced), 413, "too-large")
    assert_problem(await gateway.http.patch(url, data={"title": "x"}), 415, "unsupported-media-type")


@pytest.mark.parametrize("written", ["{}", "W/{}", '"x", {}', "*"])
async def test_if_match_lets_the_present_version_through_however_it_is_written(gateway: Gateway, written: str) -> None:
    video = await gateway.store()
    headers = {"if-match": written.format(video["etag"])}
    assert_video(await gateway.http.patch(f"{VIDEOS}/{video['id']}", json={"title": "x"}, headers=headers))


async def test_if_match_of_another_version_stops_every_change(gateway: Gateway) -> None:
    video = await gateway.store()
    url = f"{VIDEOS}/{video['id']}"
    present = assert_video(await gateway.http.patch(url, json={"title": "x"}))
    for stale in (video["etag"], '"nonsense"', "", "W/", video["content_etag"]):
        headers = {"if-match": stale}
        assert_problem(await gateway.http.patch(url, json={"title": "y"}, headers=headers), 412, "precondition-failed")
        assert_problem(await gateway.http.delete(url, headers=headers), 412, "precondition-failed")
        assert_problem(await gateway.http.delete(f"{url}?purge=true", headers=headers), 412, "precondition-failed")
        assert_problem(await gateway.http.post(f"{url}/restore", headers=headers), 412, "precondition-failed")
    assert assert_video(await gateway.http.get(url)) == present


# ---------------------------------------------------------------------- trash


async def test_a_trashed_video_is_described_not_listed_not_read_and_comes_back(gateway: Gateway) -> None:
    video = await gateway.store()
    url = f"{VIDEOS}/{video['id']}"
    trashed = assert_video(await gateway.http.delete(url))
    assert trashed["state"] == "trashed"
    assert trashed["deleted_at"]
    assert assert_video(await gateway.http.get(url)) == trashed
    assert await names(gateway) == []
    assert_problem(await gateway.http.get(f"{url}/content"), 404, "video-not-found")
    assert_problem(await gateway.http.patch(url, json={"title": "x"}), 409, "video-state")
    restored = assert_video(await gateway.http.post(f"{url}/restore"))
    assert (restored["state"], restored["deleted_at"]) == ("stored", None)
    assert (await gateway.content(video)).content == b"content"
    assert_problem(await gateway.http.post(f"{url}/restore"), 409, "video-state")


async def test_a_purge_says_what_it_freed_and_is_final(gateway: Gateway) -> None:
    first = await gateway.store(b"x" * 10_000, name="a")
    second = await gateway.store(b"x" * 10_000, name="b")
    purged = await gateway.http.delete(f"{VIDEOS}/{first['id']}", params={"purge": "true"})
    assert purged.json() == {"id": first["id"], "size_bytes": 10_000, "freed_bytes": 0}
    assert_problem(await gateway.http.get(f"{VIDEOS}/{first['id']}"), 404, "video-not-found")
    assert (await gateway.content(second)).content == b"x" * 10_000
    await gateway.http.delete(f"{VIDEOS}/{second['id']}")
    last = await gateway.http.delete(f"{VIDEOS}/{second['id']}", params={"purge": "1"})
    assert last.json()["freed_bytes"] == 4096 + 10_000 % 4096


async def test_purge_must_be_said_clearly(gateway: Gateway) -> None:
    video = await gateway.store()
    answer = await gateway.http.delete(f"{VIDEOS}/{video['id']}", params={"purge": "perhaps"})
    assert_problem(answer, 400, "invalid-input", field="purge")
    assert assert_video(await gateway.http.get(f"{VIDEOS}/{video['id']}")) == video
