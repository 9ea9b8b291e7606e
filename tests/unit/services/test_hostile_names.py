"""Names are data: any text without control characters is kept, found, sorted and given back as it is."""

from __future__ import annotations

import random
import unicodedata
from pathlib import Path

import pytest

from reelstore.chunkstore.body import PiecedBody
from reelstore.domain.errors import InvalidInput
from reelstore.services.video_requests import StoreRequest, VideoList
from tests.cluster import Cluster, disk_cluster, pieces

NASTY = [
    "../../../etc/passwd",
    "..",
    ".",
    "/",
    "\\\\server\\share",
    "C:\\con",
    "a/b/c.mp4",
    "-rf",
    "--help",
    "a b  c",
    " leading and trailing ",
    "'; DROP TABLE videos; --",
    '" OR ""="',
    "%s%n%x%00",
    "%",
    "_",
    "*?[a-z]",
    "$(reboot)`id`",
    "<script>alert(1)</script>",
    "{{7*7}}${7*7}",
    "null",
    "None",
    "0",
    "\u202egpj.exe",  # the rest reads from right to left
    "\u200b",  # has no width
    "\ufeff",
    "\U000e0001",
    "\u0301\u0301\u0301",
    "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!͖̬̰̙̗̿̋ͥͥ̂ͣ̐́́͜͞",
    "ﷺ",
    "ﬀ",
    "ß",
    "\u0130i\u0307\u0131I",  # each is some case of i
    "é",
    "e\u0301",
    "日本語.mp4",
    "مرحبا",
    "👩‍👩‍👧‍👦" * 20,
    "\uffff",
    "\U0010ffff",
    "x" * 1024,
    "\U0001f600" * 256,
]


def allowed(name: str) -> bool:
    return bool(name.strip()) and not any(unicodedata.category(each) in {"Cc", "Cs"} for each in name)


def hostile_names(count: int) -> list[str]:
    """Return the nasty ones, then random ones out of all planes."""
    draw = random.Random(7)
    names = dict.fromkeys(NASTY)
    while len(names) < count:
        top = draw.choice([0x7F, 0xFF, 0x2FFF, 0xFFFF, 0x10FFFF])
        name = "".join(chr(draw.randint(0x20, top)) for _ in range(draw.randint(1, 40)))
        if allowed(name):
            names[name] = None
    return list(names)


async def store_all(cluster: Cluster, names: list[str]) -> dict[str, str]:
    return {
        (await cluster.app.videos.store(StoreRequest(name), PiecedBody(pieces(b"")))).video.id: name for name in names
    }


async def names_by_page(cluster: Cluster, sort: str) -> list[str]:
    names: list[str] = []
    cursor = None
    while True:
        page = await cluster.app.videos.list(VideoList(sort=sort, limit=37, cursor=cursor))
        names += [video.name for video in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return names


async def test_a_thousand_hostile_names_are_kept_as_they_are(cluster: Cluster) -> None:
    names = hostile_names(1000)
    stored = await store_all(cluster, names)
    assert len(stored) == 1000
    for video_id, name in stored.items():
        video = await cluster.app.videos.get(video_id)
        assert (video.name, video.title) == (name, name)
    assert await names_by_page(cluster, "name") == sorted(names)
    assert await names_by_page(cluster, "-title") == sorted(names, reverse=True)


async def test_hostile_names_go_through_the_database_and_never_to_the_disk(tmp_path: Path) -> None:
    names = hostile_names(len(NASTY) + 60)
    async with disk_cluster(tmp_path) as cluster:
        stored = await store_all(cluster, names)
        full = (await cluster.app.videos.store(StoreRequest("../\u202evideo"), PiecedBody(pieces(b"bytes")))).video
        for video_id, name in stored.items():
            assert (await cluster.app.videos.get(video_id)).name == name
        assert await names_by_page(cluster, "name") == sorted([*names, full.name])
        assert await cluster.read(full.id) == b"bytes"
    assert all(path.name.isascii() for path in paths_below(tmp_path))


def paths_below(folder: Path) -> list[Path]:
    paths = list(folder.rglob("*"))
    assert paths
    return paths


@pytest.mark.parametrize("name", NASTY)
async def test_a_hostile_name_finds_itself(cluster: Cluster, name: str) -> None:
    await cluster.store(b"", name="another")
    video = await cluster.store(b"", name=name)
    page = await cluster.app.videos.list(VideoList(query=name))
    assert video.id in [found.id for found in page.items]


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0), 0xD800, 0xDFFF])
def test_control_characters_and_lone_surrogates_are_refused(code: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        StoreRequest(f"a{chr(code)}b")
    assert caught.value.field == "name"
