from __future__ import annotations

import pytest

from reelstore.web.media_types import is_media_type, media_type


@pytest.mark.parametrize(
    ("told", "name", "expected"),
    [
        ("video/mp4", "x", "video/mp4"),
        ('video/mp4; codecs="avc1.64001f, mp4a.40.2"', "x", 'video/mp4; codecs="avc1.64001f, mp4a.40.2"'),
        ("application/x-www-form-urlencoded", "a.MP4", "video/mp4"),
        ("application/octet-stream", "a.mkv", "video/matroska"),
        (None, "a.webm", "video/webm"),
        ("", "a", "application/octet-stream"),
        ("nonsense", "a.mov", "video/quicktime"),
        ("video/mp4\r\nX-Evil: 1", "a", "application/octet-stream"),
        ("video/mp4; " + "a=b;" * 100, "a", "application/octet-stream"),
        ("vidéo/mp4", "mp4", "video/mp4"),
    ],
)
def test_content_gets_the_type_told_or_the_one_of_its_name(told: str | None, name: str, expected: str) -> None:
    assert media_type(told, name=name) == expected
    assert is_media_type(expected)
