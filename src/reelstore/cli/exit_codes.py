"""Exit codes: the one table, from which `reelstore --help` and docs/cli.md are written."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a script can tell from how a command ended."""

    OK = 0
    FAILED = 1
    WRONG_USE = 2
    UNREACHABLE = 3
    NOT_FOUND = 4
    PROBLEMS_FOUND = 5
    NOT_ALLOWED = 6
    HELD_UP = 7
    INTERRUPTED = 130
    BROKEN_PIPE = 141


MEANINGS: dict[ExitCode, str] = {
    ExitCode.OK: "everything asked for was done",
    ExitCode.FAILED: "something asked for failed; standard error says what",
    ExitCode.WRONG_USE: "the command was used in a wrong way; nothing was done",
    ExitCode.UNREACHABLE: "no Reelstore server answers there",
    ExitCode.NOT_FOUND: "there is no such video or server",
    ExitCode.PROBLEMS_FOUND: "a verification or a check found problems",
    ExitCode.NOT_ALLOWED: "the server wants another token",
    ExitCode.HELD_UP: "moving and mending are blocked or paused",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C)",
    ExitCode.BROKEN_PIPE: "whoever read the output left",
}


def epilog() -> str:
    """Return the table as the end of a help text."""
    rows = (f"  {code.value:>3}  {meaning}" for code, meaning in MEANINGS.items())
    # Typer takes this mark for: leave the lines that follow as they are.
    return "\b\n" + "\n".join(("Exit codes:", *rows))


def of_several(codes: set[ExitCode]) -> ExitCode:
    """Return one code for several things: their common failure, or the general one when they failed differently."""
    failures = codes - {ExitCode.OK}
    if not failures:
        return ExitCode.OK
    return failures.pop() if len(failures) == 1 else ExitCode.FAILED
