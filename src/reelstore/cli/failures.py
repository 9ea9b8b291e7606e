"""What goes wrong, in one line: what happened, what was kept, what to do next. And with which exit code."""

from __future__ import annotations

from reelstore.cli.exit_codes import ExitCode


class CommandFailed(Exception):
    """End a command with one line and an exit code.

    Args:
        message: the line.
        code: the exit code.
    """

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.code = code


def explain(error: Exception) -> CommandFailed | None:
    """Return the failure as a user should see it; None for what can only be a defect of ours."""
    if isinstance(error, CommandFailed):
        return error
    if isinstance(error, BrokenPipeError):
        return None  # whoever reads the output has left: see `ReelstoreGroup`
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        return CommandFailed(f"{error.filename}: {reason}" if error.filename else reason)
    from reelstore.cli.client_failures import explain_client_error  # noqa: PLC0415 - imports httpx, which is slow

    return explain_client_error(error)
