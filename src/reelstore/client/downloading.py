"""Fetching a video to disk: resumed where it stopped, checked against its chunks' digests, renamed when whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import httpx
from blake3 import blake3

from reelstore.client.errors import DownloadFailed, Problem, ReelstoreClientError, TargetExists
from reelstore.client.part import PartFile
from reelstore.client.retrying import persist
from reelstore.client.uploading import Progress
from reelstore.client.values import ChunkPlace, Downloaded, Video
from reelstore.client.wire import Wire, segment

READ_BYTES = 1024**2
# A gateway that does not tell where chunks lie, to anybody or to this token.
_DIGESTS_WITHHELD = frozenset({403, 404, 405, 501})


class _Faulty(ReelstoreClientError):
    """Report bytes that are not those asked for; asking again may bring them."""

    retryable = True


class Download:
    """Fetch one video into one file.

    Args:
        wire: to the gateway.
        video: as described by it.
        target: the file to be.
        places: lists the video's chunks with their digests.
        on_progress: called with the bytes kept so far, and in all.
        overwrite: replace a file that is there.
    """

    def __init__(
        self,
        wire: Wire,
        video: Video,
        target: Path,
        *,
        places: Callable[[], Iterable[ChunkPlace]],
        on_progress: Progress | None,
        overwrite: bool,
    ) -> None:
        self._wire = wire
        self._video = video
        self._target = target
        self._places = places
        self._on_progress = on_progress
        self._overwrite = overwrite

    def run(self) -> Downloaded:
        """Fetch, check, and put the file in its place; see `Client.download`."""
        if not self._overwrite and os.path.lexists(self._target):
            raise TargetExists(self._target)
        try:
            with PartFile(self._target, self._video.id) as part:
                return self._complete(part)
        except OSError as error:
            raise DownloadFailed(
                f"cannot write {self._target}: {error.strerror or error}",
                target=self._target,
                kept_bytes=_size_of(self._target.with_name(self._target.name + ".part")),
            ) from error

    def _complete(self, part: PartFile) -> Downloaded:
        resumed_bytes = part.size_bytes
        best = resumed_bytes

        def progress() -> int:
            nonlocal best
            best = max(best, part.size_bytes)
            return best

        try:
            verified = persist(
                lambda: self._fetch_and_check(part),
                retries=self._wire.retries,
                may_pass=self._wire.may_pass,
                progress=progress,
            )
        except ReelstoreClientError as error:
            raise DownloadFailed(
                str(error), target=self._target, kept_bytes=part.size_bytes, retryable=error.retryable
            ) from error
        part.finish(overwrite=self._overwrite)
        return Downloaded(self._target, part.size_bytes, min(resumed_bytes, part.size_bytes), verified)

    def _fetch_and_check(self, part: PartFile) -> bool:
        self._fetch(part)
        return self._check(part)

    def _fetch(self, part: PartFile) -> None:
        """Receive what the part lacks.

        Raises:
            ConnectionFailed, Problem: the server does not deliver; what came is kept.
            _Faulty: it delivers something else than was asked for.
        """
        headers = {"Accept": "*/*"}
        # At least one byte is asked for even if none is missing: the answer tells whether the others still hold.
        start = min(part.size_bytes, self._video.size_bytes - 1)
        if part.etag is not None and start > 0:
            headers |= {"Range": f"bytes={start}-", "If-Range": part.etag}
        path = f"/videos/{segment(self._video.id)}/content"
        try:
            with self._wire.open("GET", path, headers=headers) as response:
                if response.status_code == 206:
                    self._expect_range(response, start, part.etag)
                    part.cut(start)
                else:
                    self._expect_whole(response)
                    part.begin(response.headers.get("ETag"))
                self._receive(part, response)
        except Problem as problem:
            if problem.status != 416:
                raise
            part.cut(0)
            raise _Faulty("the server has no such range of the video") from problem

    def _expect_range(self, response: httpx.Response, start: int, etag: str | None) -> None:
        size_bytes = self._video.size_bytes
        told = response.headers.get("Content-Range", "")
        if told != f"bytes {start}-{size_bytes - 1}/{size_bytes}" or response.headers.get("ETag", etag) != etag:
            raise _Faulty(f"the server sent another range than was asked for ({told or 'untold'})")

    def _expect_whole(self, response: httpx.Response) -> None:
        told = response.headers.get("Content-Length", str(self._video.size_bytes))
        if response.status_code != 200 or told != str(self._video.size_bytes):
            raise _Faulty(f"the server sends {told} bytes of a video of {self._video.size_bytes}")

    def _receive(self, part: PartFile, response: httpx.Response) -> None:
        size_bytes = self._video.size_bytes
        self._report(part)
        # In pieces as they come: a buffer in between would be lost with the connection.
        for piece in response.iter_raw():
            part.append(piece[: size_bytes - part.size_bytes])
            self._report(part)
        if part.size_bytes != size_bytes:
            raise _Faulty(f"the server sent {part.size_bytes} bytes of a video of {size_bytes}")

    def _report(self, part: PartFile) -> None:
        if self._on_progress is not None:
            self._on_progress(part.size_bytes, self._video.size_bytes)

    def _check(self, part: PartFile) -> bool:
        """Return whether every byte was checked; False when the server tells no digests.

        Raises:
            _Faulty: a chunk's bytes are wrong (a bad disk or memory on the way, a part that a power cut tore); they
                and what follows are cut off, so that they are fetched again.
        """
        checked_bytes = 0
        try:
            for place in self._places():
                if place.offset_bytes != checked_bytes:
                    return False
                if _digest(part, place.offset_bytes, place.size_bytes) != place.digest.lower():
                    part.cut(place.offset_bytes)
                    raise _Faulty(f"the bytes from {place.offset_bytes} on do not match their digest")
                checked_bytes += place.size_bytes
        except Problem as problem:
            if problem.status not in _DIGESTS_WITHHELD:
                raise
            return False
        return checked_bytes == self._video.size_bytes


def _digest(part: PartFile, start: int, size_bytes: int) -> str:
    hasher = blake3()
    for offset in range(start, start + size_bytes, READ_BYTES):
        hasher.update(part.read(offset, min(offset + READ_BYTES, start + size_bytes)))
    return hasher.hexdigest()


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
