from __future__ import annotations

import pytest

from reelstore.web.errors import RangeNotSatisfiable
from reelstore.web.ranges import MultipartRanges, Span, parse_range, unsatisfied_content_range


@pytest.mark.parametrize(
    ("header", "spans"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=0-99", [(0, 100)]),
        ("bytes=0-100", [(0, 100)]),
        ("bytes=99-99", [(99, 100)]),
        ("bytes=10-", [(10, 100)]),
        ("bytes=-1", [(99, 100)]),
        ("bytes=-100", [(0, 100)]),
        ("bytes=-101", [(0, 100)]),
        ("BYTES=0-0", [(0, 1)]),
        ("bytes = 0-0 ", [(0, 1)]),
        ("bytes=0-0, 98-98", [(0, 1), (98, 99)]),
        ("bytes=98-98,0-0", [(98, 99), (0, 1)]),
        ("bytes=,0-0, ,2-2,", [(0, 1), (2, 3)]),
        ("bytes=0-0,200-300", [(0, 1)]),
        ("bytes=0-" + "9" * 5000, [(0, 100)]),
        ("bytes=-" + "9" * 5000, [(0, 100)]),
        ("bytes=" + "0" * 5000 + "5-5", [(5, 6)]),
    ],
)
def test_a_valid_range_gives_its_half_open_spans(header: str, spans: list[tuple[int, int]]) -> None:
    assert parse_range(header, 100) == tuple(Span(*span) for span in spans)


@pytest.mark.parametrize(
    "header",
    ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=1", "bytes=5-4", "bytes=0-0,5-4", "bytes=--1", "bytes=1-2-3",
     "bytes=+1-2", "bytes=0x0-1", "bytes=\u0661-\u0662", "items=0-1", "bytes=, ,", "bytes=0-0;1-1", "bytes:0-1"],
)  # fmt: skip
def test_what_is_no_byte_range_is_ignored(header: str) -> None:
    assert parse_range(header, 100) is None


@pytest.mark.parametrize(
    "header", ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=" + "9" * 5000 + "-", "bytes=100-,-0"]
)
def test_ranges_behind_the_end_cannot_be_satisfied(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as caught:
        parse_range(header, 100)
    assert caught.value.size_bytes == 100
    assert unsatisfied_content_range(100) == "bytes */100"


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=-1", "bytes=0-0", "bytes=5-"])
def test_a_range_of_empty_content_is_ignored(header: str) -> None:
    assert parse_range(header, 0) is None


def test_overlapping_and_touching_ranges_are_joined_in_order_of_position() -> None:
    assert parse_range("bytes=50-59,0-9,10-19,55-69", 100) == (Span(0, 20), Span(50, 70))


def test_a_range_repeated_many_times_is_sent_once() -> None:
    assert parse_range("bytes=" + ",".join(["0-"] * 16), 100) == (Span(0, 100),)


def test_sixteen_ranges_are_served_and_seventeen_are_ignored() -> None:
    sixteen = ",".join(f"{2 * i}-{2 * i}" for i in range(16))
    spans = parse_range(f"bytes={sixteen}", 100)
    assert spans is not None
    assert len(spans) == 16
    assert parse_range(f"bytes={sixteen},40-40", 100) is None


def test_a_header_of_a_million_commas_is_ignored() -> None:
    assert parse_range("bytes=" + "," * 1_000_000 + "0-0", 100) is None


def test_the_inclusive_form_is_written_as_rfc_9110_says() -> None:
    assert Span(0, 1).content_range(100) == "bytes 0-0/100"
    assert Span(10, 100).content_range(100) == "bytes 10-99/100"


def test_multipart_framing_announces_its_exact_length() -> None:
    layout = MultipartRanges((Span(0, 1), Span(98, 100)), 100, "video/mp4", "b0undary")
    content = bytes(range(100))
    body = b"".join(layout.head(span) + content[span.start : span.stop] for span in layout.spans) + layout.tail
    assert len(body) == layout.length_bytes
    assert b"--b0undary\r\nContent-Type: video/mp4\r\nContent-Range: bytes 0-0/100\r\n\r\n\x00" in body
    assert body.endswith(b"\r\n--b0undary--\r\n")
    assert layout.media_type == "multipart/byteranges; boundary=b0undary"
