from __future__ import annotations

import io
import json
import re
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelstore.cli import output
from reelstore.cli.output import Column, printable

COLUMNS = (Column("ID"), Column("SIZE", "right"), Column("CREATED", optional=True), Column("NAME"))
ROWS = [("one", "1 B", "yesterday", "short"), ("two", "1.00 KiB", "today", "a" * 60)]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> list[str]:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    output.table(COLUMNS, ROWS)
    return re.sub(r"\x1b\[\d+m", "", terminal.getvalue()).splitlines()


@given(st.text(st.characters()))
def test_printed_text_neither_steers_the_terminal_nor_hides(text: str) -> None:
    shown = printable(text)

    shown.encode()  # no lone surrogates are left
    assert not any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in shown)
    assert all(c in "\u200c\u200d" for c in shown if unicodedata.category(c) == "Cf")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("日本 👨‍👩‍👧 é", "日本 👨‍👩‍👧 é"),
        ("\x1b[31mred\n", "\\x1b[31mred\\n"),
        ("\x9b31m", "\\x9b31m"),
        ("exe\u202e4pm", "exe\\u202e4pm"),
        ("caf\udce9", "caf\\udce9"),
        ("[red]markup[/red]", "[red]markup[/red]"),
    ],
)
def test_only_what_is_dangerous_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_pipe_gets_aligned_columns_with_nothing_cut_off(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(COLUMNS, ROWS)

    assert capsys.readouterr().out.splitlines() == [
        "ID       SIZE  CREATED    NAME",
        "one       1 B  yesterday  short",
        f"two  1.00 KiB  today      {'a' * 60}",
    ]


def test_a_terminal_gets_a_ruled_table_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    head, rule, one, two = on_terminal(monkeypatch, 60)

    assert head.split() == ["ID", "SIZE", "CREATED", "NAME"]
    assert set(rule) == {"─"}
    assert one.split() == ["one", "1", "B", "yesterday", "short"]
    assert two.rstrip().endswith("a…")
    assert all(len(line) <= 60 for line in (head, rule, one, two))


def test_a_narrower_terminal_loses_what_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    head, *_ = on_terminal(monkeypatch, 35)

    assert head.split() == ["ID", "SIZE", "NAME"]


def test_a_terminal_that_is_too_narrow_gets_plain_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = on_terminal(monkeypatch, 20)

    assert lines[0] == "ID       SIZE  CREATED    NAME"
    assert lines[2].endswith("a" * 60)


def test_markup_and_links_in_a_table_are_text(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")

    output.table((Column("NAME"),), [("[link=http://x]y[/link] :smile: \x1b]8;;http://x\x07",)])

    assert "[link=http://x]y[/link] :smile: \\x1b]8;;http://x\\x07" in terminal.getvalue()


def test_wide_characters_are_counted_as_wide(capsys: pytest.CaptureFixture[str]) -> None:
    output.table((Column("NAME"), Column("X")), [("日本", "1"), ("abcd", "2")])

    assert capsys.readouterr().out.splitlines() == ["NAME  X", "日本  1", "abcd  2"]


def test_a_table_without_rows_has_its_head(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(COLUMNS, [])

    assert capsys.readouterr().out == "ID  SIZE  CREATED  NAME\n"


def test_json_is_ascii_and_comes_back_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"name": "日本\x1b\u202e\udc80"}

    output.document(value)

    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == value


def test_fields_are_aligned_and_empty_ones_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    output.fields([("name", "a\x1b"), ("title", ""), ("description", "two\nlines")])

    assert capsys.readouterr().out.splitlines() == [
        "name         a\\x1b",
        "description  two",
        "             lines",
    ]
