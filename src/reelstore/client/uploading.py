"""Sending a file as one request, from disk, in bounded memory."""

from __future__ import annotations

import mimetypes
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from reelstore.client.documents import Document
from reelstore.client.errors import ConnectionFailed, InvalidRequest, ReelstoreClientError, SourceChanged
from reelstore.client.retrying import persist
from reelstore.client.values import Video
from reelstore.client.wire import Wire

READ_BYTES = 1024**2

Progress = Callable[[int, int | None], object]
"""Called with the bytes done so far and the bytes in all (None when unknown); a retry starts at 0 again."""


def upload(
    wire: Wire,
    source: BinaryIO,
    *,
    query: Mapping[str, Any],
    content_type: str,
    idempotency_key: str | None,
    on_progress: Progress | None,
) -> Video:
    """Send everything from the source's present position on; see `Client.upload`."""
    body = _Body(source, on_progress)
    headers = {
        "Accept": "application/json",
        "Content-Type": content_type,
        "Idempotency-Key": idempotency_key or str(uuid.uuid4()),
    }
    if body.length_bytes is not None:
        headers["Content-Length"] = str(body.length_bytes)

    def once() -> Video:
        with wire.open("POST", "/videos", query=query, content=body, headers=headers) as response:
            return Video.parse(Document.of(wire.document(response), "video"))

    def may_pass(error: ReelstoreClientError) -> bool:
        # What cannot be read again can still be sent if not a byte of it is gone.
        nothing_sent = isinstance(error, ConnectionFailed) and not error.connected
        return wire.may_pass(error) and (body.repeatable or nothing_sent)

    return persist(once, retries=wire.retries, may_pass=may_pass)


@contextmanager
def opened(source: str | os.PathLike[str] | BinaryIO) -> Iterator[BinaryIO]:
    """Open a path, or hand through a file that is open already and stays open.

    Raises:
        OSError: the path cannot be read.
    """
    if isinstance(source, str | os.PathLike):
        with Path(source).open("rb") as file:
            yield file
    else:
        yield source


def default_name(source: str | os.PathLike[str] | BinaryIO) -> str:
    """Return the name to store a source under when none was given: its file name.

    Raises:
        InvalidRequest: the source has no file name.
    """
    path = source if isinstance(source, str | os.PathLike) else getattr(source, "name", None)
    name = Path(path).name if isinstance(path, str | os.PathLike) else ""
    if not name:
        raise InvalidRequest("a name is needed for what has no file name")
    # A file name may hold any bytes; the API's names are Unicode.
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def content_type_of(name: str) -> str:
    """Guess a media type from the name's extension."""
    return mimetypes.guess_type(name, strict=False)[0] or "application/octet-stream"


class _Body:
    """Read a source piece by piece, each time it is iterated over from where it stood at first."""

    def __init__(self, source: BinaryIO, on_progress: Progress | None) -> None:
        self._source = source
        self._on_progress = on_progress
        self.repeatable = source.seekable()
        self.length_bytes: int | None = None
        self._start = 0
        if self.repeatable:
            self._start = source.tell()
            self.length_bytes = max(source.seek(0, os.SEEK_END) - self._start, 0)
            source.seek(self._start)

    def __iter__(self) -> Iterator[bytes]:
        if self.repeatable:
            self._source.seek(self._start)
        sent_bytes = 0
        self._report(sent_bytes)
        while piece := self._source.read(READ_BYTES):
            sent_bytes += len(piece)
            if self.length_bytes is not None and sent_bytes > self.length_bytes:
                raise SourceChanged("the file grew while it was being sent; nothing was stored")
            yield piece
            self._report(sent_bytes)
        if self.length_bytes is not None and sent_bytes < self.length_bytes:
            raise SourceChanged("the file shrank while it was being sent; nothing was stored")

    def _report(self, sent_bytes: int) -> None:
        if self._on_progress is not None:
            self._on_progress(sent_bytes, self.length_bytes)
