"""Everything that the client raises by intent, as one tree.

    ReelstoreClientError
    ├── InvalidRequest          the call makes no sense; nothing was sent
    ├── ConnectionFailed        no answer, or it was cut; trying again can help
    ├── Problem                 the server answered, and said no (RFC 9457)
    ├── UnexpectedAnswer        what answered is not a Reelstore that this client understands
    ├── SourceChanged           a file grew or shrank while it was being sent; nothing was stored
    └── DownloadFailed          the file is not complete; what was received is kept beside it
        └── TargetExists        there is a file of that name, and it may not be replaced

`retryable` says whether the same call may succeed later without anything being changed by the caller. Errors of the
local file system are `OSError`, as everywhere in Python.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class ReelstoreClientError(Exception):
    """Be the root of the tree."""

    retryable: bool = False


class InvalidRequest(ReelstoreClientError):
    """Refuse a call that cannot be sent: a URL, token or id that is none."""


class ConnectionFailed(ReelstoreClientError):
    """Report that no whole answer came: refused, cut, or silent for too long.

    Args:
        message: what happened, for people.
        connected: False when not even a connection came about, so that nothing was sent.
    """

    retryable = True

    def __init__(self, message: str, *, connected: bool) -> None:
        super().__init__(message)
        self.connected = connected


class Problem(ReelstoreClientError):
    """Carry an answer of status 400 or above, whether or not it has a problem document.

    Args:
        status: the HTTP status.
        slug: the problem's type without its path, such as `video-not-found`; `http-<status>` when there is none.
        title: what kind of problem this is.
        detail: what happened this time; may be empty.
        retryable: whether the same request may succeed later.
        retry_after_seconds: when the server asks to try again.
        data: every field of the document, known or not.
    """

    def __init__(
        self,
        *,
        status: int,
        slug: str,
        title: str,
        detail: str = "",
        retryable: bool = False,
        retry_after_seconds: float | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail or title)
        self.status = status
        self.slug = slug
        self.title = title
        self.detail = detail
        self.retryable = retryable
        self.retry_after_seconds = retry_after_seconds
        self.data = dict(data or {})


class UnexpectedAnswer(ReelstoreClientError):
    """Report an answer that breaks the API's form: another program listens there, or a much newer version."""


class SourceChanged(ReelstoreClientError):
    """Report a file whose size changed while it was being sent; the server keeps nothing of it."""


class DownloadFailed(ReelstoreClientError):
    """Report a download that is not complete.

    Args:
        message: what happened, for people.
        target: where the file was to be.
        kept_bytes: bytes kept in the `.part` file, from which the next download goes on.
    """

    def __init__(self, message: str, *, target: Path, kept_bytes: int = 0, retryable: bool = False) -> None:
        super().__init__(message)
        self.target = target
        self.kept_bytes = kept_bytes
        self.retryable = retryable


class TargetExists(DownloadFailed):
    """Refuse to replace a file that is there already."""

    def __init__(self, target: Path) -> None:
        super().__init__(f"{target} exists already", target=target)
