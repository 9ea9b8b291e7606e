"""docs/cli.md and the code say the same: every command with every option, the variables, and the exit codes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from reelstore.cli.app import app
from reelstore.cli.exit_codes import MEANINGS, ExitCode

PAGE = (Path(__file__).parents[3] / "docs" / "cli.md").read_text(encoding="utf-8")


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(command, TyperGroup):
        for child, below in command.commands.items():
            yield from commands(below, f"{name} {child}")
    else:
        yield name, command


COMMANDS = dict(commands(get_command(app), "reelstore"))


def section(name: str) -> str:
    match = re.search(rf"^### `{name}`\n(.*?)(?=^##|\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert match is not None, f"{name} has no section"
    return match[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_section_with_exactly_its_options(name: str) -> None:
    options = {
        flag
        for parameter in COMMANDS[name].params
        for flag in parameter.opts
        if flag.startswith("-") and flag not in {"-h", "--help"}
    }
    rows = re.findall(r"^\| ((?:`-[^|]*`,? ?)+)\|", section(name), re.MULTILINE)
    listed = {flag for row in rows for flag in re.findall(r"`(-[^`]+)`", row)}
    for line in re.findall(r"^(?:Also|Options:) .*$", section(name), re.MULTILINE):
        listed |= set(re.findall(r"`(-[^`]+)`", line))

    assert listed == options


@pytest.mark.parametrize("name", COMMANDS)
def test_every_variable_stands_beside_its_option(name: str) -> None:
    for parameter in COMMANDS[name].params:
        if parameter.envvar:
            assert re.search(rf"^\| `{parameter.opts[-1]}` \| `{parameter.envvar}` \|", PAGE, re.MULTILINE)


def test_no_section_is_about_a_command_that_is_gone() -> None:
    assert set(re.findall(r"^### `(.+)`$", PAGE, re.MULTILINE)) == set(COMMANDS)


def test_the_exit_codes_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", PAGE, re.MULTILINE)

    assert {int(code): meaning for code, meaning in rows} == {code.value: text for code, text in MEANINGS.items()}
    assert set(MEANINGS) == set(ExitCode)
