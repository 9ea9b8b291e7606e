"""Listing: every filter, every order both ways, pages that fit together, and cursors that nobody handed out."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from reelstore.domain.errors import InvalidCursor, InvalidInput, ServerNotFound, VideoNotFound
from reelstore.domain.video import Video, VideoState
from reelstore.repositories.interface import SORTS
from reelstore.services import videos as videos_module
from reelstore.services.pages import CURSOR_LENGTH_MAX, PAGE_SIZE_MAX, decode_cursor, encode_cursor
from reelstore.services.video_requests import QUERY_BYTES_MAX, VideoEdit, VideoList
from tests.cluster import CHUNK, Cluster, content, disk_cluster


async def listed(cluster: Cluster, **request: Any) -> list[str]:
    """Return the names of all videos that match, page by page."""
    names: list[str] = []
    cursor = None
    while True:
        page = await cluster.app.videos.list(VideoList(**request, cursor=cursor))
        names += [video.name for video in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return names


async def shelf(cluster: Cluster) -> list[Video]:
    """Store videos that differ in everything that can be sorted by, in no order."""
    made = []
    for size, name, tags in ((3, "banana", ("fruit", "yellow")), (1, "Cherry", ("fruit",)), (2, "apple", ())):
        cluster.clock.advance(1)
        made.append(await cluster.store(b"x" * size, name=name, title=f"The {name}", tags=tags))
    cluster.clock.advance(1)
    edit = VideoEdit(description="Ein ÄPFELCHEN, grün")
    made[0] = await cluster.app.videos.edit(made[0].id, edit, expected_version=None)
    return made


# ---------------------------------------------------------------------- orders and pages


@pytest.mark.parametrize("limit", [1, 2, 3, 4, PAGE_SIZE_MAX])
@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("created_at", ["banana", "Cherry", "apple"]),
        ("updated_at", ["Cherry", "apple", "banana"]),
        ("name", ["Cherry", "apple", "banana"]),
        ("title", ["Cherry", "apple", "banana"]),
        ("size_bytes", ["Cherry", "apple", "banana"]),
    ],
)
async def test_every_order_goes_both_ways_on_pages_of_any_size(
    cluster: Cluster, sort: str, names: list[str], limit: int
) -> None:
    await shelf(cluster)
    assert await listed(cluster, sort=sort, limit=limit) == names
    assert await listed(cluster, sort=f"-{sort}", limit=limit) == names[::-1]


def test_all_orders_are_tested() -> None:
    marks = [mark for mark in test_every_order_goes_both_ways_on_pages_of_any_size.pytestmark if "sort" in mark.args[0]]  # type: ignore[attr-defined] # pytest puts it there
    assert {case[0] for case in marks[0].args[1]} == set(SORTS)


@pytest.mark.parametrize("sort", [*SORTS, *(f"-{sort}" for sort in SORTS)])
async def test_equal_videos_are_listed_once_each_whatever_the_page(cluster: Cluster, sort: str) -> None:
    made = {(await cluster.store(b"x", name="same")).id for _ in range(7)}
    seen: list[str] = []
    cursor = None
    while True:
        page = await cluster.app.videos.list(VideoList(sort=sort, limit=2, cursor=cursor))
        seen += [video.id for video in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert len(seen) == 7
    assert set(seen) == made


async def test_the_last_page_says_that_it_is_the_last(cluster: Cluster) -> None:
    await shelf(cluster)
    assert (await cluster.app.videos.list(VideoList(limit=3))).next_cursor is None
    assert (await cluster.app.videos.list(VideoList(limit=2))).next_cursor is not None


async def test_the_newest_come_first_unless_said_otherwise(cluster: Cluster) -> None:
    await shelf(cluster)
    assert await listed(cluster) == ["apple", "Cherry", "banana"]


async def test_a_video_stored_between_two_pages_disturbs_neither(cluster: Cluster) -> None:
    await shelf(cluster)
    page = await cluster.app.videos.list(VideoList(sort="name", limit=1))
    await cluster.store(b"", name="Aardvark")  # before the cursor
    await cluster.store(b"", name="avocado")  # after it
    rest = await cluster.app.videos.list(VideoList(sort="name", cursor=page.next_cursor))
    assert [video.name for video in rest.items] == ["apple", "avocado", "banana"]


async def test_a_video_purged_between_two_pages_disturbs_neither(cluster: Cluster) -> None:
    made = await shelf(cluster)
    page = await cluster.app.videos.list(VideoList(sort="name", limit=1))
    await cluster.app.videos.purge(made[1].id, expected_version=None)  # the very one that the cursor names
    rest = await cluster.app.videos.list(VideoList(sort="name", cursor=page.next_cursor))
    assert [video.name for video in rest.items] == ["apple", "banana"]


async def test_nothing_is_an_empty_page(cluster: Cluster) -> None:
    page = await cluster.app.videos.list(VideoList())
    assert (page.items, page.next_cursor) == ((), None)


# ---------------------------------------------------------------------- filters


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", {"apple", "Cherry", "banana"}),
        ("   ", {"apple", "Cherry", "banana"}),
        ("CHERRY", {"Cherry"}),
        ("an", {"banana"}),
        ("the", {"apple", "Cherry", "banana"}),
        ("the banana", {"banana"}),
        ("banana apple", set()),
        ("yellow", {"banana"}),
        ("äpfelchen", {"banana"}),
        ("GRÜN banana", {"banana"}),
        ("%", set()),
        ("_", set()),
        ("\\", set()),
        ("'; DROP TABLE videos; --", set()),
    ],
)
async def test_each_word_must_occur_somewhere(cluster: Cluster, query: str, names: set[str]) -> None:
    await shelf(cluster)
    assert set(await listed(cluster, query=query)) == names


async def test_tags_must_all_be_there_exactly(cluster: Cluster) -> None:
    await shelf(cluster)
    assert set(await listed(cluster, tags=("fruit",))) == {"banana", "Cherry"}
    assert await listed(cluster, tags=("fruit", "yellow")) == ["banana"]
    assert await listed(cluster, tags=("Fruit",)) == []
    assert await listed(cluster, tags=("frui",)) == []


async def test_trashed_videos_are_listed_only_when_asked_for(cluster: Cluster) -> None:
    made = await shelf(cluster)
    await cluster.app.videos.trash(made[0].id, expected_version=None)
    assert set(await listed(cluster)) == {"Cherry", "apple"}
    assert await listed(cluster, state=VideoState.TRASHED) == ["banana"]
    assert set(await listed(cluster, state=VideoState.STORED)) == {"Cherry", "apple"}
    assert await listed(cluster, state=VideoState.FAILED) == []


async def test_filters_join(cluster: Cluster) -> None:
    await shelf(cluster)
    assert await listed(cluster, query="the", tags=("fruit",), state=VideoState.STORED, sort="name", limit=1) == [
        "Cherry",
        "banana",
    ]


# ---------------------------------------------------------------------- by server


async def on_servers(cluster: Cluster) -> dict[str, set[str]]:
    """Return, by server, the names of videos of which it really has a shard; each video is one chunk."""
    digests = {}
    for video in (await cluster.app.videos.list(VideoList(limit=1000))).items:
        async with cluster.metadata.snapshot() as view:
            for place in await view.files.chunk_map(video.file_id, 0, video.size_bytes, limit=10):
                digests[place.chunk.digest] = video.name
    return {server: {digests[shard.digest] for shard in held} for server, held in (await cluster.shards()).items()}


@pytest.mark.parametrize("limit", [1, 4, 100])
async def test_a_server_is_listed_with_the_videos_that_it_keeps(cluster: Cluster, limit: int) -> None:
    for number in range(12):
        await cluster.store(content(100, seed=number), name=f"v{number}")
    await cluster.store(b"", name="empty")  # has no chunk, and so lies nowhere
    there = await on_servers(cluster)
    assert any(len(names) < 12 for names in there.values())
    for server, names in there.items():
        found = await listed(cluster, server=server, limit=limit)
        assert len(found) == len(set(found))
        assert set(found) == names
    assert await listed(cluster, server="disk1", query="v1", sort="name") == sorted(
        name for name in there["disk1"] if "v1" in name
    )


async def test_a_page_by_server_looks_at_a_bounded_number_and_goes_on(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        await cluster.store(content(100, seed=number), name=f"v{number}")
    there = await on_servers(cluster)
    monkeypatch.setattr(videos_module, "SCANNED_MAX", 2)
    for server, names in there.items():
        found = await listed(cluster, server=server)
        assert len(found) == len(names)
        assert set(found) == names


async def test_an_unknown_server_is_refused(cluster: Cluster) -> None:
    for name in ("disk9", "DISK1", "../disk1", "x" * 10_000):
        with pytest.raises(ServerNotFound):
            await cluster.app.videos.list(VideoList(server=name))


# ---------------------------------------------------------------------- hostile requests


@pytest.mark.parametrize("limit", [0, -1, PAGE_SIZE_MAX + 1, 10**30])
async def test_a_limit_out_of_its_range_is_refused(cluster: Cluster, limit: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        await cluster.app.videos.list(VideoList(limit=limit))
    assert caught.value.field == "limit"


@pytest.mark.parametrize("sort", ["", "-", "--name", "id", "-id", "Name", "name ", "version", "name; --"])
async def test_an_unknown_order_is_refused(cluster: Cluster, sort: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await cluster.app.videos.list(VideoList(sort=sort))
    assert caught.value.field == "sort"


async def test_a_query_at_its_limit_is_taken_and_one_byte_past_it_refused(cluster: Cluster) -> None:
    assert await listed(cluster, query="x" * QUERY_BYTES_MAX) == []
    for query in ("x" * (QUERY_BYTES_MAX + 1), "a\0b", "\ud800"):
        with pytest.raises(InvalidInput) as caught:
            await cluster.app.videos.list(VideoList(query=query))
        assert caught.value.field == "query"


def forged(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


FORGED = [
    "x",
    "!!!",
    "é",
    "\ud800",
    "A" * (CURSOR_LENGTH_MAX + 1),
    base64.urlsafe_b64encode(b"[" * 6000).decode(),
    base64.urlsafe_b64encode(b'{"a":' * 1000).decode(),
    base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    forged(),
    forged("name"),
    forged("name", "v", "a", "b", "c"),
    forged("name", "v", None, "k"),
    forged("name", "v", [], "k"),
    forged("name", "v", {}, "k"),
    forged("name", "v", True, "k"),
    forged("name", "v", 1.5, "k"),
    forged("name", "v", "a", 1),
    forged("name", "v", "a", None),
    forged("name", "v", "\ud800", "k"),
    forged("name", "v", "a", "\udfff"),
    forged("name", "t", "2026-01-01T00:00:00+00:00", "k"),
    forged("name", "t", "2026-01-01T00:00:00", "k"),
    forged("name", "t", 5, "k"),
    forged("name", "v", 5, "k"),
    forged("size_bytes", "v", 5, "k"),
    forged("size_bytes", "v", "5", "k"),
    forged("size_bytes", "v", -1, "k"),
    forged("size_bytes", "v", 2**63, "k"),
    forged("size_bytes", "v", 10**400, "k"),
    forged("created_at", "t", "0001-01-01T00:00:00+23:59", "k"),
    forged("created_at", "t", "9999-12-31T23:59:59-23:59", "k"),
    forged("created_at", "v", "2026", "k"),
    forged("-name", "v", "a", "k"),
    forged("placement", "v", 0, "k"),
]


async def test_cursors_that_nobody_handed_out_are_refused_or_lead_nowhere(tmp_path: Path) -> None:
    async with disk_cluster(tmp_path) as cluster:  # the database has its own limits on numbers, text and times
        for cursor in FORGED:
            for sort in ("name", "size_bytes", "created_at"):
                try:
                    page = await cluster.app.videos.list(VideoList(sort=sort, cursor=cursor))
                except InvalidInput:
                    continue
                assert (page.items, page.next_cursor) == ((), None), cursor


async def test_a_cursor_is_good_for_its_own_order_only(cluster: Cluster) -> None:
    await shelf(cluster)
    orders = [*SORTS, *(f"-{sort}" for sort in SORTS)]
    cursors = {sort: (await cluster.app.videos.list(VideoList(sort=sort, limit=1))).next_cursor for sort in orders}
    for sort in orders:
        for other in orders:
            if other == sort:
                await cluster.app.videos.list(VideoList(sort=sort, cursor=cursors[other]))
                continue
            with pytest.raises(InvalidCursor) as caught:
                await cluster.app.videos.list(VideoList(sort=sort, cursor=cursors[other]))
            assert caught.value.field == "cursor"


@pytest.mark.parametrize("value", ["", "a", "ü\u2028", "x" * 1024, 0, 2**63 - 1])
def test_a_cursor_gives_back_what_it_was_made_of(value: str | int) -> None:
    assert decode_cursor("l", encode_cursor("l", value, "key")) == (value, "key")


def test_the_cursor_of_the_longest_name_is_not_too_long() -> None:
    name = "\U0001f600" * 256  # 1,024 bytes of UTF-8, and 12 characters each in JSON's escapes
    cursor = encode_cursor("-updated_at", name, "x" * 36)
    assert decode_cursor("-updated_at", cursor) == (name, "x" * 36)


async def test_describing_finds_trashed_videos_too_and_nothing_else(cluster: Cluster) -> None:
    video = await cluster.store(content(CHUNK))
    trashed = await cluster.app.videos.trash(video.id, expected_version=None)
    assert await cluster.app.videos.get(video.id) == trashed
    for unknown in ("", "x", video.id.upper(), video.id + "0", "../../etc/passwd", "\0", "x" * 100_000):
        with pytest.raises(VideoNotFound) as caught:
            await cluster.app.videos.get(unknown)
        assert len(str(caught.value)) < 400
