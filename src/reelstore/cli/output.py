"""Everything that is printed: results on standard output, words about them on standard error.

Text from elsewhere (names, titles, URLs, messages) goes through `printable`, so that it can neither steer the
terminal nor be taken for markup.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

_JOINERS = frozenset("\u200c\u200d")  # parts of emoji and of several scripts
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_LAST_COLUMN_WIDTH_MIN = 16


def printable(text: str) -> str:
    """Return text with everything that a terminal would obey, or not show, as an escape sequence in letters."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(character) if _is_hidden(character) else character for character in text)


def say(text: str) -> None:
    """Print a line about what happens, on standard error."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is where the command line speaks


def line(text: str) -> None:
    """Print a line of the result, on standard output."""
    print(text)  # noqa: T201 - this is where the command line speaks


def document(value: Mapping[str, Any]) -> None:
    """Print the result as JSON, in ASCII, so that it is the same everywhere."""
    line(json.dumps(value, indent=2))


def json_line(value: Mapping[str, Any]) -> None:
    """Print one of many results as JSON on a line of its own, at once, for whoever reads along."""
    print(json.dumps(value), flush=True)  # noqa: T201 - this is where the command line speaks


def fields(pairs: Iterable[tuple[str, str]]) -> None:
    """Print one thing: a line for each of its fields that has a value."""
    shown = [(label, value) for label, value in pairs if value]
    width = max((len(label) for label, _ in shown), default=0)
    for label, value in shown:
        first, *others = value.split("\n")
        line(f"{label:<{width}}  {printable(first)}")
        for other in others:
            line(f"{'':<{width}}  {printable(other)}")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Args:
        title: its head.
        align: `right` for numbers.
        optional: left out where the terminal is too narrow; of several, the last one first.
    """

    title: str
    align: Literal["left", "right"] = "left"
    optional: bool = False


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: ruled, on a terminal that is wide enough; else aligned columns, nothing cut off.

    The last column takes what room is left, so it should be the one whose texts may be long.
    """
    from rich.cells import cell_len  # noqa: PLC0415 - only tables need it; `--help` must not wait for it

    safe = [[printable(cell) for cell in row] for row in rows]
    widths = [
        max(cell_len(column.title), *(cell_len(row[index]) for row in safe)) if safe else cell_len(column.title)
        for index, column in enumerate(columns)
    ]
    if sys.stdout.isatty() and _fitted(columns, widths, safe):
        return
    for row in ([column.title for column in columns], *safe):
        cells = []
        for column, width, cell in zip(columns[:-1], widths, row, strict=False):
            padding = " " * (width - cell_len(cell))
            cells.append(padding + cell if column.align == "right" else cell + padding)
        line("  ".join((*cells, row[-1])).rstrip())


def _fitted(columns: Sequence[Column], widths: Sequence[int], rows: Sequence[Sequence[str]]) -> bool:
    """Print a ruled table if the terminal is wide enough for the columns that are needed; return whether it was."""
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - see `table`
    from rich.console import Console  # noqa: PLC0415 - see `table`
    from rich.table import Table  # noqa: PLC0415 - see `table`
    from rich.text import Text  # noqa: PLC0415 - see `table`

    console = Console(highlight=False)
    shown = list(range(len(columns)))
    while True:
        *others, last = shown
        room = console.width - sum(widths[index] + 2 for index in others)
        if room >= min(widths[last], _LAST_COLUMN_WIDTH_MIN):
            break
        droppable = [index for index in others if columns[index].optional]
        if not droppable:
            return False
        shown.remove(droppable[-1])
    # One blank of padding and one for the divider, which this box leaves blank: two between columns.
    ruled = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for index in shown:
        width = min(room, widths[index]) if index == last else widths[index]
        ruled.add_column(
            Text(columns[index].title), justify=columns[index].align, width=width, no_wrap=True, overflow="ellipsis"
        )
    for row in rows:
        ruled.add_row(*(Text(row[index]) for index in shown))
    console.print(ruled)
    return True


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in _HIDDEN_CATEGORIES and character not in _JOINERS


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
