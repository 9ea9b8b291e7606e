from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelstore.domain.chunk import ShardName
from reelstore.domain.errors import InvalidInput
from reelstore.storage.directory.layout import PREFIXES, Temporaries, is_temporary, parse_leaf, prefixes, subdirectory
from reelstore.storage.directory.strays import printable

digests = st.binary(min_size=32, max_size=32)
bounds = st.one_of(st.binary(max_size=3), digests, st.binary(max_size=2).map(lambda b: b.ljust(32, b"\0")))


@given(digests, bounds, st.none() | bounds)
def test_the_folder_of_every_digest_in_a_range_is_gone_through(digest: bytes, start: bytes, stop: bytes | None) -> None:
    name = ShardName("default", digest, "0" * 32, 0, 1)
    if start <= digest and (stop is None or digest < stop):
        assert subdirectory(name)[-1] in set(prefixes(start, stop))


@pytest.mark.parametrize("partition", [0, 1, 0x7FF, 0xFFE, 0xFFF])
def test_one_of_4096_partitions_is_one_folder(partition: int) -> None:
    start = (partition << 4).to_bytes(2, "big")
    stop = None if partition == 0xFFF else ((partition + 1) << 4).to_bytes(2, "big")
    for pad in (2, 32):
        padded = None if stop is None else stop.ljust(pad, b"\0")
        assert list(prefixes(start.ljust(pad, b"\0"), padded)) == [f"{partition:03x}"]


def test_all_digests_are_in_4096_folders() -> None:
    assert len(list(prefixes(b"", None))) == PREFIXES == 4096


@given(digests, st.text("0123456789abcdef", min_size=32, max_size=32), st.integers(0, 999), st.integers(0, 2**64 - 1))
def test_a_shards_leaf_leads_back_to_its_name(digest: bytes, chunk: str, slot: int, tenure: int) -> None:
    name = ShardName("default", digest, chunk, slot, tenure)
    assert parse_leaf("default", subdirectory(name)[-1], name.leaf) == name
    assert not is_temporary(name.leaf)


@given(st.text())
def test_no_other_leaf_is_a_shards(leaf: str) -> None:
    with pytest.raises(InvalidInput):
        parse_leaf("default", "000", leaf)


def test_temporary_names_are_used_once_and_known_as_ones_own() -> None:
    one, other = Temporaries(), Temporaries()
    names = [drawn.draw() for drawn in (one, other) for _ in range(100)]
    assert len(set(names)) == 200
    assert all(map(is_temporary, names))
    assert [one.owns(name) for name in names] == [True] * 100 + [False] * 100


@given(st.text())
def test_what_is_reported_of_a_name_can_be_printed(name: str) -> None:
    try:
        name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return  # no file has such a name
    assert printable(name).isprintable()
