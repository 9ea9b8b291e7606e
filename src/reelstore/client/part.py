"""The unfinished download beside its target: `NAME.part`, and in `NAME.part.json` what its bytes are of."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

from reelstore.client.errors import DownloadFailed, TargetExists

if sys.platform != "win32":
    import fcntl

_FORMAT = 1


class PartFile:
    """Hold the bytes of one download until they are complete.

    The file is locked while it is open, so that two downloads of one target cannot mix. A crash at any point leaves
    a `.part` file that a later download goes on with, and never a target that is not whole.

    Args:
        target: what the file is to become.
        video_id: bytes of another video that are found in the part are thrown away.

    Raises:
        DownloadFailed: another download is writing this target, or a `.part` file lies there that is not ours.
        OSError: the folder cannot be written.
    """

    def __init__(self, target: Path, video_id: str) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self._state_path = target.with_name(target.name + ".part.json")
        self._video_id = video_id
        if not os.path.lexists(self._state_path):
            if os.path.lexists(self.path):
                raise DownloadFailed(f"{self.path} is in the way, and not of a download", target=target)
            self.etag: str | None = None
            self._write_state()
        self._file = self._open_locked()
        self._finished = False
        self.size_bytes = os.fstat(self._file.fileno()).st_size
        self.etag = self._read_etag()
        if self.etag is None:
            self.cut(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def begin(self, etag: str | None) -> None:
        """Throw away what is there, and remember which bytes come now; without a strong ETag they cannot resume."""
        self.cut(0)
        self.etag = etag if etag and not etag.startswith("W/") else None
        self._write_state()

    def cut(self, size_bytes: int) -> None:
        """Keep only the first bytes."""
        self._file.truncate(size_bytes)
        self.size_bytes = size_bytes

    def append(self, piece: bytes) -> None:
        """Write a piece at the end."""
        rest = memoryview(piece)
        while rest:
            written = self._file.write(rest)
            self.size_bytes += written
            rest = rest[written:]

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes `[start, stop)`; fewer only at the file's end."""
        self._file.seek(start)
        return self._file.read(stop - start)

    def finish(self, *, overwrite: bool) -> None:
        """Make the part the target, durably and in one step.

        Raises:
            TargetExists: the target has come into being meanwhile and may not be replaced; the part is kept.
            OSError: the disk says no; the part is kept.
        """
        os.fsync(self._file.fileno())
        if overwrite:
            self.path.replace(self.target)
        else:
            _rename_exclusively(self.path, self.target)
        self._finished = True
        self._state_path.unlink(missing_ok=True)
        _sync_folder(self.target.parent)

    def close(self) -> None:
        """Unlock, and leave nothing behind when there is nothing worth keeping."""
        if self.size_bytes == 0 and not self._finished and not self._file.closed:
            for leftover in (self.path, self._state_path):
                leftover.unlink(missing_ok=True)
        self._file.close()

    def _open_locked(self) -> FileIO:
        # Unbuffered: what was received is in the kernel, whatever becomes of this process.
        while True:
            file = FileIO(self.path, "a+", opener=_open_no_link)
            try:
                if sys.platform != "win32":
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Between open and lock another download may have finished, and made this very file its target.
                if self._is_at_path(file.fileno()):
                    return file
            except BlockingIOError:
                file.close()
                raise DownloadFailed(f"another download of {self.target} is running", target=self.target) from None
            file.close()

    def _is_at_path(self, descriptor: int) -> bool:
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(descriptor), self.path.stat(follow_symlinks=False))
        return False

    def _read_etag(self) -> str | None:
        try:
            state = json.loads(self._state_path.read_bytes())
        except (OSError, ValueError):
            return None
        if not isinstance(state, dict) or state.get("format") != _FORMAT or state.get("video_id") != self._video_id:
            return None
        etag = state.get("etag")
        return etag if isinstance(etag, str) and etag else None

    def _write_state(self) -> None:
        state = {"format": _FORMAT, "video_id": self._video_id, "etag": self.etag}
        with FileIO(self._state_path, "w", opener=_open_no_link) as file:
            file.write(json.dumps(state).encode() + b"\n")


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _rename_exclusively(path: Path, target: Path) -> None:
    try:
        target.hardlink_to(path)
    except FileExistsError:
        raise TargetExists(target) from None
    except OSError:
        # A file system without hard links: looking first is the best there is.
        if os.path.lexists(target):
            raise TargetExists(target) from None
        path.rename(target)
    else:
        path.unlink()


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
