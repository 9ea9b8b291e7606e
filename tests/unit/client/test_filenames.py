from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reelstore.client import safe_file_name
from reelstore.client.filenames import NAME_BYTES_MAX

HOSTILE = st.text(st.characters(), max_size=300) | st.lists(
    st.sampled_from(
        ["/", "\\", ".", " ", "\0", "\n", "CON", "com¹", "é", "👩", "\u202e", "\udc80", "a", "~", "-", ":"]
    ),
    max_size=300,
).map("".join)


@given(HOSTILE)
@example("con" + " " * 300 + "x")
@example("con." + "x" * 300)
@example("a" * 226 + ".mp4" + ". . .")
def test_any_name_becomes_one_harmless_component(name: str) -> None:
    safe = safe_file_name(name)

    assert PurePosixPath(safe).name == safe
    assert PureWindowsPath(safe).name == safe
    assert PureWindowsPath(safe).drive == ""
    assert not PureWindowsPath(safe).is_reserved()
    assert 1 <= len(safe.encode()) <= NAME_BYTES_MAX
    assert safe[0] not in ".-~ "
    assert safe[-1] not in ". "
    assert not any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in safe)
    assert safe_file_name(safe) == safe


@pytest.mark.parametrize(
    "name", ["holiday.mp4", "Größe 2 (neu).mkv", "日本語.mp4", "👨‍👩‍👧.mp4", "a" * 200, "console.mp4"]
)
def test_a_safe_name_stays_as_it_is(name: str) -> None:
    assert safe_file_name(name) == name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a/b.mp4", "a_b.mp4"),
        ("..", "video"),
        ("", "video"),
        ("   ", "video"),
        ("///", "video"),
        ("CON", "_CON"),
        ("nul.tar.gz", "_nul.tar.gz"),
        ("COM¹.mp4", "_COM¹.mp4"),
        ("-rf", "_rf"),
        ("trailing. . ", "trailing"),
        ("exe\u202e4pm.mp4", "exe_4pm.mp4"),
        ("é" * 200 + ".mp4", "é" * 113 + ".mp4"),
    ],
)
def test_an_unsafe_name_changes_as_little_as_needed(name: str, safe: str) -> None:
    assert safe_file_name(name) == safe
