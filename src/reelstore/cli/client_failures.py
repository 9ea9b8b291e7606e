"""What the client raises, in one line each, with its exit code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reelstore.cli.exit_codes import ExitCode
from reelstore.cli.failures import CommandFailed
from reelstore.cli.quantities import size
from reelstore.client import (
    ConnectionFailed,
    DownloadFailed,
    InvalidRequest,
    Problem,
    ReelstoreClientError,
    TargetExists,
    UnexpectedAnswer,
)


def explain_client_error(error: BaseException | None) -> CommandFailed | None:
    """Return the failure as a user should see it; None when the client does not raise such errors."""
    for kind, explanation in _EXPLANATIONS:
        if isinstance(error, kind):
            return explanation(error)
    return None


def _target_exists(error: TargetExists) -> CommandFailed:
    return CommandFailed(f"{error}; --overwrite replaces it, -o takes another name")


def _download_failed(error: DownloadFailed) -> CommandFailed:
    kept = f"; {size(error.kept_bytes)} are kept, and the same command goes on from there" if error.kept_bytes else ""
    cause = explain_client_error(error.__cause__)
    return CommandFailed(f"{error}{kept}", cause.code if cause is not None else ExitCode.FAILED)


def _connection_failed(error: ConnectionFailed) -> CommandFailed:
    hint = "" if error.connected else "; 'reelstore serve' starts a server here, --url names one elsewhere"
    return CommandFailed(f"{error}{hint}", ExitCode.UNREACHABLE)


def _problem(problem: Problem) -> CommandFailed:
    message = problem.detail or problem.title
    if problem.status in {401, 403}:
        return CommandFailed(f"{message}; --token or REELSTORE_TOKEN gives a token", ExitCode.NOT_ALLOWED)
    if problem.status == 404:
        return CommandFailed(message, ExitCode.NOT_FOUND)
    if problem.retryable:
        return CommandFailed(f"{message}; trying again later can help")
    request_id = problem.data.get("request_id")
    if problem.status >= 500 and request_id:
        return CommandFailed(f"{message} (the server's log says more, under {request_id})")
    return CommandFailed(message)


# The first that fits counts: the more special before the more general.
_EXPLANATIONS: tuple[tuple[type[ReelstoreClientError], Callable[[Any], CommandFailed]], ...] = (
    (TargetExists, _target_exists),
    (DownloadFailed, _download_failed),
    (ConnectionFailed, _connection_failed),
    (Problem, _problem),
    (UnexpectedAnswer, lambda error: CommandFailed(str(error), ExitCode.UNREACHABLE)),
    (InvalidRequest, lambda error: CommandFailed(str(error), ExitCode.WRONG_USE)),
    (ReelstoreClientError, lambda error: CommandFailed(str(error))),
)
