"""Walks through a folder that changes meanwhile: the listing, and the first count."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reelstore.domain.chunk import ShardName
from reelstore.domain.errors import ServerRefused
from reelstore.storage.directory.listing import shards
from reelstore.storage.directory.place import Place
from reelstore.storage.directory.shard_files import ShardFiles
from reelstore.storage.directory.space import Space
from reelstore.storage.directory.survey import survey
from tests.contract.storage_suite import MARKER, digest_at, shard

NAMES = [shard(digest=digest_at("abc"), tenure=number + 1) for number in range(9)]
ELSEWHERE = shard(digest=digest_at("abd"))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place("a", tmp_path)
    place.claim(MARKER)
    yield place
    place.release()


@pytest.fixture
def folder(place: Place) -> Path:
    return place.path / "shards" / "default" / "abc"


def opened(place: Place) -> tuple[Space, ShardFiles]:
    """Open the folder anew, as a process does that starts: nothing is counted yet."""
    space = Space(place, capacity_bytes=10**6, reserve_bytes=0)
    return space, ShardFiles(place, space)


def put(files: ShardFiles, data: bytes, *names: ShardName) -> None:
    for name in names:
        files.put(name, memoryview(data), abandoned=lambda: False)


def test_a_shard_that_vanishes_while_its_folder_is_listed_is_passed_over(place: Place, folder: Path) -> None:
    put(opened(place)[1], b"x", *NAMES)
    listing = shards(place, "default", b"", None)
    first = next(listing).name
    for name in NAMES[1:]:
        if name != first:
            (folder / name.leaf).unlink()
    assert {first, *(entry.name for entry in listing)} == {first, NAMES[0]}


def test_a_listing_whose_place_is_lost_on_the_way_does_not_end_as_if_it_were_whole(place: Place, folder: Path) -> None:
    put(opened(place)[1], b"x", *NAMES)
    listing = shards(place, "default", b"", None)
    next(listing)
    (place.path / "reelstore.json").unlink()
    with pytest.raises(ServerRefused):
        list(listing)


def test_what_is_stored_or_deleted_before_the_count_comes_by_is_counted_once(place: Place) -> None:
    put(opened(place)[1], b"12345", *NAMES)
    space, files = opened(place)
    put(files, b"1234567", NAMES[0])  # in a folder that the count has yet to come to
    put(files, b"123", ELSEWHERE)  # in one that is new, which it need not visit
    files.delete(NAMES[1])
    survey(place, space)
    assert space.usage().used_bytes == 7 * 5 + 7 + 3
    put(files, b"", NAMES[0], ELSEWHERE)
    files.delete(NAMES[2])
    assert space.usage().used_bytes == 6 * 5


def test_the_count_passes_over_strays_and_wrong_folders(place: Place, folder: Path) -> None:
    put(opened(place)[1], b"x", NAMES[0])
    (folder / "notes").write_bytes(b"long notes")
    (folder / ELSEWHERE.leaf).write_bytes(b"in the wrong folder")
    (folder / replace(NAMES[0], slot=1).leaf).symlink_to(folder / "notes")
    (folder.parent / "xyz").mkdir()
    space, _ = opened(place)
    survey(place, space)
    assert space.usage().used_bytes == 1


def test_the_sweep_removes_what_others_left_and_nothing_that_is_being_written(place: Place, folder: Path) -> None:
    put(opened(place)[1], b"x", NAMES[0])
    own, abandoned = place.temporaries.draw(), ".17.0123456789abcdef.0.tmp"
    for parent in (place.path, folder):
        (parent / own).write_bytes(b"x")
        (parent / abandoned).write_bytes(b"x")
    survey(place, opened(place)[0])
    for parent in (place.path, folder):
        assert (parent / own).exists()
        assert not (parent / abandoned).exists()


def test_a_count_ends_early_when_the_place_is_released(place: Place) -> None:
    put(opened(place)[1], b"x", *NAMES)
    anew, _ = opened(place)
    with place.held():
        place.release()
        survey(place, anew)
        assert anew.usage().used_bytes == 0
