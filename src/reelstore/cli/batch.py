"""Doing the same to several things: each is tried, failures are named, and the exit code sums up."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import typer

from reelstore.cli import output
from reelstore.cli.exit_codes import ExitCode, of_several
from reelstore.cli.failures import CommandFailed, explain

T = TypeVar("T")


class Batch:
    """Collect what became of each thing.

    Args:
        as_json: print nothing but one JSON document at the end: `{"items": […], "failed": [{"subject", "error"}]}`.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.items: list[Mapping[str, Any]] = []
        self.failures: list[tuple[str, CommandFailed]] = []
        self._codes: set[ExitCode] = set()

    def each(self, things: Sequence[T], *, subject: Callable[[T], str] = str) -> Iterator[T]:
        """Iterate over the things, until the server cannot be reached: it would be the same for all others."""
        for index, thing in enumerate(things):
            if ExitCode.UNREACHABLE in self._codes:
                output.say(f"reelstore: {len(things) - index} more not tried")
                not_tried = CommandFailed("not tried", ExitCode.UNREACHABLE)
                self.failures += [(subject(other), not_tried) for other in things[index:]]
                return
            yield thing

    @contextmanager
    def trying(self, subject: str) -> Iterator[None]:
        """Do something for one subject; a failure is said at once, and the next subject has its turn."""
        try:
            yield
        except Exception as error:
            failure = explain(error)
            if failure is None:
                raise
            self.fail(subject, failure)

    def fail(self, subject: str, failure: CommandFailed) -> None:
        """Note and say a failure."""
        self.failures.append((subject, failure))
        self._codes.add(failure.code)
        message = str(failure) if subject in str(failure) else f"{subject}: {failure}"
        output.say(f"reelstore: {output.printable(message)}")

    def done(self, item: Mapping[str, Any], text: str) -> None:
        """Note a success, and print its line (unless the result is JSON)."""
        self.items.append(item)
        if not self.as_json:
            output.line(text)
            sys.stdout.flush()  # whoever reads along learns of each thing when it is done

    def note(self, code: ExitCode) -> None:
        """Let the exit code tell something that is no failure of the command itself."""
        self._codes.add(code)

    def end(self, *, interrupted: bool = False) -> None:
        """Print what is left to say, and end with the right exit code.

        Raises:
            typer.Exit: something failed, or the batch was interrupted.
        """
        if self.as_json:
            failed = [{"subject": subject, "error": str(failure)} for subject, failure in self.failures]
            output.document({"items": self.items, "failed": failed})
        if len(self.failures) > 1 and not self.as_json:
            output.say(f"reelstore: {len(self.failures)} failed:")
            for subject, _ in self.failures:
                output.say(f"  {output.printable(subject)}")
        code = ExitCode.INTERRUPTED if interrupted else of_several(self._codes)
        if code is not ExitCode.OK:
            raise typer.Exit(code)
