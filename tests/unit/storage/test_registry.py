from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelstore.domain.errors import InvalidInput, InvalidServerUrl
from reelstore.storage.directory import DirectoryServer
from reelstore.storage.memory import MemoryServer
from reelstore.storage.registry import URL_LENGTH_MAX, connect, default_capacity, default_zone, same_place
from tests.contract.storage_suite import MARKER

INVALID = {
    "": "unknown scheme",
    "memory": "unknown scheme",
    "ftp://host/x": "unknown scheme 'ftp'.*known: memory:, file:",
    "/srv/disk1": "file:///absolute/path",
    "file:": "missing or relative",
    "file://": "missing or relative",
    "file:srv/disk": "missing or relative",
    "file://srv/disk": "host 'srv'.*three slashes",
    "file://user:secret@host/disk": "names the host",
    "file:///srv/a%00b": "NUL",
    "file:///srv/100%": "%25",
    "file:///srv/%zz": "%25",
    "file:///srv/a b": "%20",
    "file:///srv/a\nb": "control character",
    "file:///srv/a\0b": "control character",
    "file:///srv/a#b": "%23",
    "file:///srv/a#": "%23",
    "file:///srv/a?colour=red": "unknown option 'colour'",
    "file:///srv/a?reserve_bytes=": "reserve_bytes",
    "file:///srv/a?reserve_bytes=-1": "reserve_bytes",
    "file:///srv/a?reserve_bytes=1G": "reserve_bytes",
    "file:///srv/a?reserve_bytes=1&reserve_bytes=2": "reserve_bytes",
    "file:///srv/\ud800": "surrogates",
    "file://[": "Invalid IPv6",
    "memory://host": "no host",
    "memory:path": "no path",
    "memory:?x=1": "unknown option",
    "file:///" + "x" * URL_LENGTH_MAX: "longer",
}


@pytest.mark.parametrize(("url", "reason"), INVALID.items(), ids=lambda value: repr(value)[:40])
def test_what_no_driver_understands_is_refused_with_the_reason(url: str, reason: str) -> None:
    for ask in (
        lambda: connect(url, name="a"),
        lambda: default_zone(url),
        lambda: default_capacity(url),
        lambda: same_place(url, url),
    ):
        with pytest.raises(InvalidServerUrl, match=reason) as error:
            ask()
        assert error.value.field == "url"


@given(st.text())
def test_any_text_is_a_server_or_an_invalid_url(text: str) -> None:
    for url in (text, f"file:///{text}", f"file:///srv?{text}"):
        try:
            server = connect(url, name="a")
        except InvalidServerUrl:
            continue
        assert isinstance(server, DirectoryServer | MemoryServer)


def test_a_url_of_memory_is_a_memory_server() -> None:
    server = connect("memory:", name="a", capacity_bytes=7)
    assert isinstance(server, MemoryServer)
    assert server.name == "a"


@pytest.mark.parametrize("name", ["disk", "with space", "per%cent", "ünïcode", "ha#sh", "que?ry", os.fsdecode(b"\xff")])
async def test_a_url_of_a_file_is_the_directory_of_that_path(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    server = connect(f"file://{quote(os.fsencode(path))}?reserve_bytes=0", name="a", capacity_bytes=1000)
    assert not path.exists()
    await server.attach(MARKER, claim=True)
    assert (path / "reelstore.json").is_file()
    assert (await server.usage()).free_bytes == 1000
    await server.close()


@pytest.mark.parametrize("capacity_bytes", [0, -1])
def test_a_capacity_below_one_is_invalid(capacity_bytes: int) -> None:
    for url in ("file:///srv/disk", "memory:"):
        with pytest.raises(InvalidInput):
            connect(url, name="a", capacity_bytes=capacity_bytes)


def test_the_zone_of_a_directory_is_its_disk_also_before_it_exists(tmp_path: Path) -> None:
    device = tmp_path.stat().st_dev
    zone = f"disk-{os.major(device)}-{os.minor(device)}"
    assert default_zone(tmp_path.as_uri()) == zone
    assert default_zone((tmp_path / "not" / "yet").as_uri()) == zone
    assert default_zone("memory:") == "memory"


def test_two_ways_to_one_place_are_the_same_place(tmp_path: Path) -> None:
    place, link = tmp_path / "place", tmp_path / "link"
    place.mkdir()
    link.symlink_to(place)
    same = [place.as_uri(), place.as_uri() + "/", link.as_uri(), f"file:{place}", f"file://{tmp_path}/x/../pl%61ce"]
    (tmp_path / "x").mkdir()
    for url in (*same, place.as_uri() + "?reserve_bytes=1"):
        assert same_place(place.as_uri(), url)
        assert same_place(url, place.as_uri())
    assert same_place((link / "later").as_uri(), (place / "later").as_uri())
    assert not same_place(place.as_uri(), (tmp_path / "placed").as_uri())
    assert not same_place(place.as_uri(), "memory:")
    assert not same_place("memory:", "memory:")


@pytest.mark.parametrize("made", [False, True])
def test_a_place_inside_another_is_no_place_of_its_own(tmp_path: Path, made: bool) -> None:
    outer, inner, link = tmp_path / "outer", tmp_path / "outer" / "a" / "b", tmp_path / "link"
    link.symlink_to(outer)
    if made:
        inner.mkdir(parents=True)
    for url in (inner.as_uri(), (link / "a").as_uri()):
        assert same_place(outer.as_uri(), url)
        assert same_place(url, outer.as_uri())


def test_the_capacity_of_a_place_is_told_before_it_is_there(tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)
    for path in (tmp_path, tmp_path / "not" / "yet"):
        assert default_capacity(path.as_uri()) == found.f_blocks * found.f_frsize
    assert default_capacity("memory:") == 4 * 1024**3
