"""A dictionary with a way back: changes are undone at a cost of what was changed, not of what there is."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, ValuesView
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class _Absent:
    """Mark a key that was not there before."""


_ABSENT = _Absent()


class Table(Generic[K, V]):
    """Keep immutable values by key, with an undo journal and cheap consistent views.

    A view shares the dictionary with the table. Only when the table changes while a view is open is the dictionary
    copied; usually none is, since nothing in memory suspends between a view's beginning and its end.
    """

    def __init__(self) -> None:
        self._rows: dict[K, V] = {}
        self._journal: list[tuple[K, V | _Absent]] = []
        self._views = 0
        self._frozen = False

    def get(self, key: K) -> V | None:
        """Return the value or None."""
        return self._rows.get(key)

    def __getitem__(self, key: K) -> V:
        return self._rows[key]

    def __contains__(self, key: K) -> bool:
        return key in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[K]:
        return iter(self._rows)

    def values(self) -> ValuesView[V]:
        """Return the values, in no promised order."""
        return self._rows.values()

    def items(self) -> ItemsView[K, V]:
        """Return keys and values, in no promised order."""
        return self._rows.items()

    def put(self, key: K, value: V) -> None:
        """Keep the value under the key."""
        self._record(key)
        self._rows[key] = value

    def drop(self, key: K) -> V | None:
        """Forget the key; return what it held."""
        self._record(key)
        return self._rows.pop(key, None)

    def _record(self, key: K) -> None:
        if self._frozen:
            raise RuntimeError("a snapshot only reads")
        self._leave_views()
        self._journal.append((key, self._rows.get(key, _ABSENT)))

    def _leave_views(self) -> None:
        if self._views:
            self._rows = self._rows.copy()
            self._views = 0

    def commit(self) -> None:
        """Keep all changes since the last commit."""
        self._journal.clear()

    def roll_back(self) -> None:
        """Undo all changes since the last commit."""
        _undo(self._rows, self._journal)
        self._journal.clear()

    def view(self) -> Table[K, V]:
        """Return the committed state, which later changes leave as it is; to be given to `release`."""
        view: Table[K, V] = Table()
        view._frozen = True
        if self._journal:
            view._rows = self._rows.copy()
            _undo(view._rows, self._journal)
        else:
            view._rows = self._rows
            self._views += 1
        return view

    def release(self, view: Table[K, V]) -> None:
        """End a view, so that its dictionary need not be copied for its sake."""
        if view._rows is self._rows and self._views:
            self._views -= 1


def _undo(rows: dict[K, V], journal: list[tuple[K, V | _Absent]]) -> None:
    for key, before in reversed(journal):
        if isinstance(before, _Absent):
            rows.pop(key, None)
        else:
            rows[key] = before
