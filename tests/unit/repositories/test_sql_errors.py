"""The table that maps the database's errors to ours."""

from __future__ import annotations

import sqlite3

import psycopg.errors
import pytest
from sqlalchemy.exc import OperationalError, StatementError

from reelstore.domain.errors import (
    IntegrityViolation,
    InvalidInput,
    MetadataFull,
    MetadataUnavailable,
)
from reelstore.repositories.sql.errors import (
    CLASS_OF_VALUES,
    DEFECTS,
    STATES_UNAVAILABLE,
    UNAVAILABLE,
    MetadataContended,
    translate,
)


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


STATES = {
    error.sqlstate: error
    for error in vars(psycopg.errors).values()
    if isinstance(error, type) and issubclass(error, psycopg.Error) and error.sqlstate
}
_WORDS = "02 03 09 0A 0B 0F 0L 0P 0Z 10 20 21 23 24 26 27 2B 2D 2F 34 38 39 3B 3F 42 44 54 72 HV P0"
CLASSES_OF_DEFECTS = set(_WORDS.split())


def test_each_class_of_postgresqls_states_is_in_one_part_of_the_table() -> None:
    classes = {state[:2] for state in STATES}
    known = {state for state in STATES_UNAVAILABLE if len(state) == 2} | {CLASS_OF_VALUES}
    assert classes == known | CLASSES_OF_DEFECTS
    assert not known & CLASSES_OF_DEFECTS


@pytest.mark.parametrize("state", sorted(STATES))
def test_each_state_becomes_an_error_of_ours(state: str) -> None:
    if state in {"40001", "40P01"}:
        expected: type[Exception] = MetadataContended
    elif state == "53100":
        expected = MetadataFull
    elif state.startswith("22"):
        expected = InvalidInput
    elif state in STATES_UNAVAILABLE or state[:2] in STATES_UNAVAILABLE:
        expected = MetadataUnavailable
    else:
        expected = IntegrityViolation
    assert type(translate(OperationalError("SELECT", {}, STATES[state]("a message")))) is expected


def test_what_psycopg_raises_by_itself_is_told_apart() -> None:
    assert isinstance(translate(psycopg.OperationalError("connection refused")), MetadataUnavailable)
    assert isinstance(translate(psycopg.InterfaceError("the connection is closed")), MetadataUnavailable)
    assert isinstance(translate(psycopg.DataError("NUL")), InvalidInput)
    assert isinstance(translate(psycopg.ProgrammingError("no placeholders")), IntegrityViolation)
