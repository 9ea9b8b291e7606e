from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelstore.domain.errors import InvalidInput
from reelstore.web.errors import QueryTooLong
from reelstore.web.limits import QUERY_PARAMETERS_MAX, QUERY_STRING_BYTES_MAX
from reelstore.web.query_strings import canonical_query_string, parse_query_string


@given(st.lists(st.tuples(st.text(st.characters(blacklist_categories=["Cs"]), min_size=1),
                          st.text(st.characters(blacklist_categories=["Cs"]))), max_size=20))  # fmt: skip
def test_the_canonical_form_reads_back_and_is_stable(pairs: list[tuple[str, str]]) -> None:
    raw = canonical_query_string("&".join(f"{quoted(name)}={quoted(value)}" for name, value in pairs).encode())
    assert raw.isascii()
    assert parse_query_string(raw) == pairs
    assert canonical_query_string(raw) == raw


def quoted(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


def test_plain_utf_8_and_plus_signs_are_read_as_shells_and_forms_mean_them() -> None:
    assert parse_query_string("name=ü+a%2Bb".encode()) == [("name", "ü a+b")]


@pytest.mark.parametrize("raw", [b"name=%ff", b"name=%C3", b"name=%ed%a0%80", b"name=\xff"])
def test_text_that_is_not_utf_8_is_refused_by_name(raw: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_query_string(raw)
    assert caught.value.field == "name"


def test_a_name_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(InvalidInput):
        parse_query_string(b"%ff=1")


def test_limits_hold_at_the_bound_and_not_one_past_it() -> None:
    assert len(parse_query_string(b"a" * QUERY_STRING_BYTES_MAX)) == 1
    with pytest.raises(QueryTooLong):
        parse_query_string(b"a" * (QUERY_STRING_BYTES_MAX + 1))
    assert len(parse_query_string(b"&a" * QUERY_PARAMETERS_MAX)) == QUERY_PARAMETERS_MAX
    with pytest.raises(InvalidInput):
        parse_query_string(b"&a" * (QUERY_PARAMETERS_MAX + 1))
