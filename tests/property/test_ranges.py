"""Ranges against a model that works on sets of byte positions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reelstore.web.errors import RangeNotSatisfiable
from reelstore.web.ranges import parse_range

numbers = st.integers(0, 60)
items = st.one_of(
    st.tuples(numbers, numbers).map(lambda pair: (min(pair), max(pair))),
    numbers.map(lambda first: (first, None)),
    numbers.map(lambda suffix: (None, suffix)),
)


def written(item: tuple[int | None, int | None]) -> str:
    return "-".join("" if bound is None else str(bound) for bound in item)


def positions(item: tuple[int | None, int | None], size: int) -> set[int]:
    first, last = item
    if first is None:
        assert last is not None
        return set(range(max(0, size - last), size))
    return {position for position in range(size) if first <= position and (last is None or position <= last)}


@given(st.lists(items, min_size=1, max_size=16), st.integers(1, 50))
def test_exactly_the_bytes_asked_for_are_sent_each_once(asked: list[tuple[int | None, int | None]], size: int) -> None:
    expected = set().union(*(positions(item, size) for item in asked))
    try:
        spans = parse_range("bytes=" + ", ".join(map(written, asked)), size)
    except RangeNotSatisfiable:
        assert not expected
        return
    assert spans is not None
    sent = [position for span in spans for position in range(span.start, span.stop)]
    assert sorted(sent) == sorted(expected)
    assert all(0 <= span.start < span.stop <= size for span in spans)


@given(st.text(alphabet="bytes=0123456789-, \t;*", max_size=60), st.integers(0, 50))
def test_any_header_is_ignored_refused_or_read_within_the_content(header: str, size: int) -> None:
    try:
        spans = parse_range(header, size)
    except RangeNotSatisfiable:
        return
    assert spans is None or all(0 <= span.start < span.stop <= size for span in spans)
