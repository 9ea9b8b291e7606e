"""The in-memory table: undo, and views that share until something changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelstore.repositories.memory.table import Table

CHANGES = st.lists(st.tuples(st.integers(0, 4), st.none() | st.integers()))


def _change(table: Table[int, int], changes: list[tuple[int, int | None]]) -> None:
    for key, value in changes:
        if value is None:
            table.drop(key)
        else:
            table.put(key, value)


@given(CHANGES, CHANGES)
def test_rolling_back_restores_what_was_committed(
    kept: list[tuple[int, int | None]], undone: list[tuple[int, int | None]]
) -> None:
    table: Table[int, int] = Table()
    _change(table, kept)
    table.commit()
    before = dict(table.items())
    _change(table, undone)
    table.roll_back()
    assert dict(table.items()) == before


@given(CHANGES, CHANGES, CHANGES)
def test_a_view_shows_what_was_committed_when_it_began(
    kept: list[tuple[int, int | None]],
    pending: list[tuple[int, int | None]],
    later: list[tuple[int, int | None]],
) -> None:
    table: Table[int, int] = Table()
    _change(table, kept)
    table.commit()
    before = dict(table.items())
    early = table.view()
    _change(table, pending)
    late = table.view()
    _change(table, later)
    table.commit()
    assert dict(early.items()) == dict(late.items()) == before
    table.release(early)
    table.release(late)


def test_a_view_is_no_copy_until_something_changes_and_none_is_made_after_its_end() -> None:
    table: Table[int, int] = Table()
    table.put(1, 1)
    table.commit()
    view = table.view()
    assert view._rows is table._rows
    table.release(view)
    rows = table._rows
    table.put(2, 2)
    assert table._rows is rows


def test_a_view_cannot_be_written() -> None:
    table: Table[int, int] = Table()
    with pytest.raises(RuntimeError):
        table.view().put(1, 1)
    with pytest.raises(RuntimeError):
        table.view().drop(1)
