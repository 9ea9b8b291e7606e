"""The table that maps the database's errors to ours."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy.exc import OperationalError, StatementError

from reelstore.domain.errors import IntegrityViolation, InvalidInput, MetadataFull, MetadataUnavailable
from reelstore.repositories.sql.errors import DEFECTS, UNAVAILABLE, translate


def _error(code: int) -> sqlite3.Error:
    error = sqlite3.DatabaseError("a message")
    error.sqlite_errorcode = code
    return error


def test_each_of_sqlites_primary_codes_is_in_one_part_of_the_table() -> None:
    assert set(UNAVAILABLE) | DEFECTS == set(range(1, 29))  # https://www.sqlite.org/rescode.html
    assert not set(UNAVAILABLE) & DEFECTS


@pytest.mark.parametrize("code", range(1, 29))
def test_each_code_becomes_an_error_of_ours_also_extended_and_wrapped(code: int) -> None:
    expected = MetadataUnavailable if code in UNAVAILABLE else IntegrityViolation
    for each in (_error(code), _error(code | 5 << 8), OperationalError("SELECT", {}, _error(code))):
        assert isinstance(translate(each), expected)


def test_a_full_volume_is_told_apart() -> None:
    assert isinstance(translate(_error(sqlite3.SQLITE_FULL)), MetadataFull)
    assert not isinstance(translate(_error(sqlite3.SQLITE_BUSY)), MetadataFull)


def test_a_closed_database_is_unavailable() -> None:
    connection = sqlite3.connect(":memory:")
    connection.close()
    with pytest.raises(sqlite3.ProgrammingError) as caught:
        connection.execute("SELECT 1")
    assert isinstance(translate(caught.value), MetadataUnavailable)


def test_values_that_no_database_can_hold_are_invalid_input() -> None:
    for error in (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "lone"), OverflowError("too large")):
        assert isinstance(translate(error), InvalidInput)
        assert isinstance(translate(StatementError("m", "SELECT", {}, error)), InvalidInput)


def test_what_is_no_database_error_is_left_alone() -> None:
    assert translate(ValueError("x")) is None
