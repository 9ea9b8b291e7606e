"""Ask before something is done that matters; never where nobody can answer."""

from __future__ import annotations

import sys

import typer

from reelstore.cli.exit_codes import ExitCode
from reelstore.cli.failures import CommandFailed


def check_can_ask(*, yes: bool, json: bool) -> None:
    """Make sure that there is somebody who decides, before anything is done.

    Raises:
        CommandFailed: there is no terminal, or nothing is printed to decide by.
    """
    if yes:
        return
    if json:
        raise CommandFailed("with --json nothing is shown to decide by; add --yes", ExitCode.WRONG_USE)
    check_terminal("this")


def check_terminal(what: str) -> None:
    """Make sure that somebody can be asked.

    Args:
        what: asks first, for the message.

    Raises:
        CommandFailed: there is no terminal.
    """
    if not sys.stdin.isatty():
        raise CommandFailed(f"{what} asks first, and there is no terminal to ask on; add --yes", ExitCode.WRONG_USE)


def confirm(question: str, *, otherwise: str) -> None:
    """Ask on the terminal; what was printed before is shown first.

    Args:
        question: to which yes is the answer that goes on.
        otherwise: what the command ends with when it is not.

    Raises:
        CommandFailed: the answer is no.
    """
    sys.stdout.flush()
    if not typer.confirm(question, err=True):
        raise CommandFailed(otherwise)
