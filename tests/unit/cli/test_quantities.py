from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelstore.cli.quantities import count, duration, local_time, parse_size, percent, size


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.98 KiB"),
        (1023, "1.00 KiB"),
        (1024, "1.00 KiB"),
        (10 * 1024, "10.0 KiB"),
        (1023 * 1024, "1.00 MiB"),
        (1536 * 1024**2, "1.50 GiB"),
        (2**63, "8.00 EiB"),
        (2**80, "1048576 EiB"),
    ],
)
def test_sizes_have_three_digits_and_a_binary_unit(size_bytes: int, text: str) -> None:
    assert size(size_bytes) == text


@given(st.integers(0, 2**69))
def test_a_size_is_never_wider_than_a_column(size_bytes: int) -> None:
    assert re.fullmatch(r"\d{1,3} B|\d\.\d\d .iB|\d\d\.\d .iB|\d{3} .iB", size(size_bytes))


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("1024", 1024),
        ("1024B", 1024),
        ("1k", 1024),
        ("1KiB", 1024),
        ("1KB", 1000),
        ("500 GB", 500 * 1000**3),
        ("2TiB", 2 * 1024**4),
        ("1.5t", 3 * 1024**4 // 2),
        (" 1eib ", 2**60),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "GB", "-1", "1..5G", "1 XB", "1e9", "ten", "1 G i B", "٣"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0123, "12 ms"),
        (0.9996, "1.0 s"),
        (12.34, "12.3 s"),
        (59.96, "1:00 min"),
        (245, "4:05 min"),
        (3599.6, "1:00:00 h"),
        (3723, "1:02:03 h"),
    ],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_rest_reads_well_too() -> None:
    assert percent(1 / 3) == "33.3 %"
    assert (count(1, "video"), count(1234, "video")) == ("1 video", "1,234 videos")
    assert local_time(None) == "-"
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert local_time(moment) == moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")
