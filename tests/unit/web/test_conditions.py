from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reelstore.web.conditions import Outcome, evaluate, http_date, parse_http_date, range_applies, tag_matches

ETAG = '"abc"'
MODIFIED = datetime(2026, 3, 1, 12, 0, 0, 654321, tzinfo=UTC)
SAME, BEFORE, AFTER = (http_date(MODIFIED + timedelta(seconds=seconds)) for seconds in (0, -1, 1))


def outcome(**headers: str) -> Outcome:
    return evaluate(
        {name.replace("_", "-"): value for name, value in headers.items()}, etag=ETAG, last_modified=MODIFIED
    )


@pytest.mark.parametrize("header", ['"abc"', "*", " * ", '"x", "abc"', 'W/"abc"', "abc", '"x",abc', '"x" , W/"abc" '])
def test_a_list_that_names_the_tag_matches(header: str) -> None:
    assert tag_matches(header, ETAG)


@pytest.mark.parametrize("header", ["", '""', '"ABC"', '"ab,c"', "abcd", '"x"', '"x,abc,y"', '"a" "b"', "," * 20_000])
def test_a_list_that_does_not_name_the_tag_does_not_match(header: str) -> None:
    assert not tag_matches(header, ETAG)


def test_a_weak_tag_never_matches_strongly() -> None:
    assert not tag_matches('W/"abc"', ETAG, strong=True)
    assert tag_matches('W/"x", "abc"', ETAG, strong=True)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, Outcome.PROCEED),
        ({"if_match": '"abc"'}, Outcome.PROCEED),
        ({"if_match": '"x"'}, Outcome.FAILED),
        ({"if_none_match": '"abc"'}, Outcome.NOT_MODIFIED),
        ({"if_none_match": "*"}, Outcome.NOT_MODIFIED),
        ({"if_none_match": '"x"'}, Outcome.PROCEED),
        ({"if_modified_since": SAME}, Outcome.NOT_MODIFIED),
        ({"if_modified_since": AFTER}, Outcome.NOT_MODIFIED),
        ({"if_modified_since": BEFORE}, Outcome.PROCEED),
        ({"if_unmodified_since": SAME}, Outcome.PROCEED),
        ({"if_unmodified_since": BEFORE}, Outcome.FAILED),
        ({"if_match": '"x"', "if_none_match": '"abc"'}, Outcome.FAILED),
        ({"if_match": '"abc"', "if_unmodified_since": BEFORE}, Outcome.PROCEED),
        ({"if_none_match": '"x"', "if_modified_since": AFTER}, Outcome.PROCEED),
        ({"if_match": '"abc"', "if_none_match": '"abc"'}, Outcome.NOT_MODIFIED),
        ({"if_modified_since": "yesterday"}, Outcome.PROCEED),
        ({"if_unmodified_since": "yesterday"}, Outcome.PROCEED),
    ],
)
def test_preconditions_are_evaluated_in_the_order_of_rfc_9110(headers: dict[str, str], expected: Outcome) -> None:
    assert outcome(**headers) is expected


@pytest.mark.parametrize(
    ("if_range", "applies"),
    [
        (None, True),
        ('"abc"', True),
        ("abc", True),
        (SAME, True),
        ('W/"abc"', False),
        ('"x"', False),
        ("*", False),
        (BEFORE, False),
        (AFTER, False),
        ("", False),
        ("yesterday", False),
    ],
)
def test_a_range_applies_only_to_exactly_the_same_content(if_range: str | None, applies: bool) -> None:
    assert range_applies(if_range, etag=ETAG, last_modified=MODIFIED) is applies


def test_dates_are_written_in_the_fixed_form_and_read_back() -> None:
    assert http_date(MODIFIED) == "Sun, 01 Mar 2026 12:00:00 GMT"
    assert parse_http_date(SAME) == MODIFIED.replace(microsecond=0)


@pytest.mark.parametrize(
    "text", ["", "x", "Sun, 99 Mar 2026 12:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 -2359", "9" * 10_000, "\x00"]
)
def test_what_is_no_date_is_none(text: str) -> None:
    assert parse_http_date(text) is None


def test_the_old_forms_of_dates_are_read_too() -> None:
    assert parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT") == datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)
    assert parse_http_date("Sun Nov  6 08:49:37 1994") == datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)
