from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelstore.storage.interface import Marker
from reelstore.storage.marker import dump_marker, parse_marker

GOLDEN = Path(__file__).parents[2] / "golden" / "marker-v1.json"
MARKER = Marker(cluster="c0ffee", server="disk-1", generation="9f2d", delete_rounds=42)

markers = st.builds(Marker, st.text(), st.text(), st.text(), st.integers(0, 2**64))


@given(markers)
def test_a_marker_is_read_as_it_was_written(marker: Marker) -> None:
    assert parse_marker(dump_marker(marker)) == marker


def test_the_marker_of_version_1_is_read_for_ever() -> None:
    assert parse_marker(GOLDEN.read_bytes()) == MARKER
    assert dump_marker(MARKER) == GOLDEN.read_bytes()


def test_a_marker_is_never_read_from_a_part_of_itself() -> None:
    text = dump_marker(MARKER).rstrip()
    for size in range(len(text)):
        with pytest.raises(ValueError, match="it is not JSON"):
            parse_marker(text[:size])


@given(st.data())
def test_a_flipped_bit_never_makes_another_marker(data: st.DataObject) -> None:
    text = bytearray(dump_marker(MARKER))
    position = data.draw(st.integers(0, len(text) - 1))
    text[position] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(ValueError):
        assert parse_marker(bytes(text)) == MARKER  # white space may change


@given(st.binary())
def test_any_bytes_are_a_marker_or_an_error_that_says_why(text: bytes) -> None:
    with pytest.raises(ValueError, match="it"):
        parse_marker(text)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"reelstore_marker": 2}, "its version is 2"),
        ({"reelstore_marker": None}, "its version is None"),
        ({"server": "disk-2"}, "checksum"),
        ({"delete_rounds": 41}, "checksum"),
        ({"checksum": None}, "checksum"),
        ({"extra": 1}, "checksum"),
    ],
)
def test_an_edited_marker_is_refused(change: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_marker(json.dumps(json.loads(dump_marker(MARKER)) | change).encode())


@pytest.mark.parametrize("text", [b"[" * 50_000, b"9" * 5000, b"[]", b'"x"', b"null", b"{}", b"\xff"])
def test_what_is_no_marker_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="it is not"):
        parse_marker(text)
