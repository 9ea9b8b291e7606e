"""A folder held open: every access goes through one handle, and no symbolic link below it is followed."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Condition

from reelstore.domain.errors import ServerRefused, ServerUnavailable, StorageError
from reelstore.storage.directory.layout import LOST_AND_FOUND, MARKER, Temporaries, is_temporary
from reelstore.storage.directory.os_errors import ABSENT, storage_error
from reelstore.storage.interface import Marker
from reelstore.storage.marker import MARKER_SIZE_BYTES_MAX, dump_marker, parse_marker

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a FIFO must not block
CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

FOLDER_MODE = 0o700  # the bytes are private: whoever may read them asks the gateway
FILE_MODE = 0o600


class Place:
    """Hold a server's folder open and locked until released.

    The lock (`flock`) is on the folder itself, not on a file in it, so that nothing which is replaced or deleted inside
    can let a second process in. It ends with the process, however that ends.

    All methods block; they raise `OSError` except where they say otherwise.

    Args:
        server: the server's name, for errors.
        path: where the folder is.

    Raises:
        ServerUnavailable: it cannot be opened, or is in use.
    """

    def __init__(self, server: str, path: Path) -> None:
        self.server = server
        self.path = path
        self.temporaries = Temporaries()
        self._users_changed = Condition()
        self._users = 0
        self._is_alone = False
        self._released = False
        try:
            # The last step of the path may be a link: it is the operator's own.
            self.fd = os.open(path, DIRECTORY_FLAGS & ~os.O_NOFOLLOW)
        except FileNotFoundError:
            raise ServerUnavailable(f"the folder {path} does not exist: is its disk mounted?", server=server) from None
        except OSError as error:
            raise storage_error(error, server=server, doing=f"cannot open {path}") from error
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self.fd)
            if isinstance(error, BlockingIOError):
                message = f"the folder {path} is in use by another process, or by another server of this one"
                raise ServerUnavailable(message, server=server) from None
            raise storage_error(error, server=server, doing=f"cannot lock {path}") from error

    @property
    def released(self) -> bool:
        """Tell whether the folder was given back; long work should end."""
        return self._released

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the handle open meanwhile, released or not, so that its number cannot come to mean another file.

        Raises:
            ServerUnavailable: the folder was released before.
        """
        with self._users_changed:
            self._users_changed.wait_for(lambda: not self._is_alone)
            self._begin_use()
        try:
            yield
        finally:
            self._end_use()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the folder while nobody else does: those who hold it end first, and those who come wait.

        Raises:
            ServerUnavailable: the folder was released before.
        """
        with self._users_changed:
            self._users_changed.wait_for(lambda: not self._is_alone)
            self._is_alone = True
            self._users_changed.wait_for(lambda: self._users == 0)
            try:
                self._begin_use()
            except ServerUnavailable:
                self._end_alone()
                raise
        try:
            yield
        finally:
            self._end_use()
            self._end_alone()

    def _begin_use(self) -> None:
        if self._released:
            raise ServerUnavailable("the server was closed", server=self.server)
        self._users += 1

    def _end_use(self) -> None:
        with self._users_changed:
            self._users -= 1
            self._close_when_unused()
            self._users_changed.notify_all()

    def _end_alone(self) -> None:
        with self._users_changed:
            self._is_alone = False
            self._users_changed.notify_all()

    def release(self) -> None:
        """Unlock the folder now, and close it when nobody uses it any more; again is fine."""
        with self._users_changed:
            if not self._released:
                self._released = True
                fcntl.flock(self.fd, fcntl.LOCK_UN)
                self._close_when_unused()

    def _close_when_unused(self) -> None:
        if self._released and self._users == 0 and self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def open_directory(self, *way: str) -> int:
        """Return a handle, the caller's to close, of the folder that the way leads to; no link on it is followed."""
        fd = os.dup(self.fd)
        for step in way:
            parent = fd
            try:
                fd = os.open(step, DIRECTORY_FLAGS, dir_fd=parent)
            finally:
                os.close(parent)
        return fd

    @contextmanager
    def directory(self, *way: str) -> Iterator[int]:
        """Open the folder that the way leads to, and close it again."""
        fd = self.open_directory(*way)
        try:
            yield fd
        finally:
            os.close(fd)

    def make_directory(self, *way: str) -> int:
        """Make the folder that the way leads to, and those before it; return how many of them were there."""
        present = len(way) - 1  # mostly so; to try the others each time would have all puts wait for their parents
        try:
            parent = self.open_directory(*way[:-1])
        except FileNotFoundError:
            present = self.make_directory(*way[:-1])
            parent = self.open_directory(*way[:-1])
        try:
            os.mkdir(way[-1], FOLDER_MODE, dir_fd=parent)
        except FileExistsError:
            present = len(way)
        finally:
            os.close(parent)
        return present

    def prove(self) -> None:
        """Prove that the folder still exists and is marked, so that what is missing in it is truly missing.

        Raises:
            ServerRefused: it is not so.
        """
        if os.fstat(self.fd).st_nlink == 0:
            raise ServerRefused(f"the folder {self.path} was deleted", server=self.server)
        try:
            os.stat(MARKER, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            raise ServerRefused(f"the marker {MARKER} in {self.path} is gone", server=self.server) from None

    def explain(self, error: OSError, doing: str) -> StorageError:
        """Return what a failure means: that the place is gone, if it is, or else what the system said."""
        try:
            self.prove()
        except OSError as proof:
            error = proof
        except ServerRefused as refused:
            return refused
        return storage_error(error, server=self.server, doing=doing)

    def is_at_its_path(self) -> bool:
        """Tell whether the path still leads to the folder that is held: not unmounted, moved away or replaced."""
        try:
            found = self.path.stat()
        except OSError as error:
            if error.errno in ABSENT:
                return False
            raise
        return os.path.samestat(found, os.fstat(self.fd))

    def read_marker(self) -> Marker | None:
        """Return the marker, or None when there is none.

        Raises:
            ServerRefused: it is there and says nothing that can be relied on.
        """
        try:
            fd = os.open(MARKER, READ_FLAGS, dir_fd=self.fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in ABSENT:
                raise ServerRefused(f"{self.path / MARKER} is not a file", server=self.server) from None
            raise
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise ServerRefused(f"{self.path / MARKER} is not a file", server=self.server)
            return parse_marker(os.read(fd, MARKER_SIZE_BYTES_MAX))
        except ValueError as error:
            raise ServerRefused(
                f"the marker {self.path / MARKER} cannot be used: {error}", server=self.server
            ) from None
        finally:
            os.close(fd)

    def write_marker(self, marker: Marker) -> None:
        """Replace the marker atomically and durably."""
        temporary = self.temporaries.draw()
        fd = os.open(temporary, CREATE_FLAGS, FILE_MODE, dir_fd=self.fd)
        try:
            try:
                write_all(fd, memoryview(dump_marker(marker)))
                os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(temporary, MARKER, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=self.fd)
            raise
        os.fsync(self.fd)

    def claim(self, marker: Marker) -> None:
        """Mark a folder that nobody has marked, durably.

        Raises:
            ServerRefused: it holds what is not ours.
        """
        for entry in names(self.fd):
            if entry != LOST_AND_FOUND and not is_temporary(entry):
                raise ServerRefused(
                    f"the folder {self.path} has no marker and is not empty (it holds {entry!a}): "
                    "give an empty or a new folder, or put its marker back",
                    server=self.server,
                )
        self.write_marker(marker)

    def sync_path(self) -> None:
        """Make the entries durable that lead here from the root of the file system."""
        for parent in self.path.resolve().parents:
            with suppress(PermissionError):  # what may not be opened was not made by us
                if parent.stat().st_dev != os.fstat(self.fd).st_dev:
                    break
                fsync_path(parent)


def make_folder(path: Path, *, server: str) -> None:
    """Make the folder and its parents, where they are missing.

    Raises:
        ServerRefused: something else is there; a retry does not help.
        ServerUnavailable: that is not possible.
    """
    try:
        path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ServerRefused(f"{error.filename} is not a folder", server=server) from None
    except OSError as error:
        raise storage_error(error, server=server, doing=f"cannot make the folder {path}") from error


def names(folder: int) -> list[str]:
    """Return the names in a folder that is held open."""
    return os.listdir(folder)


def write_all(fd: int, data: memoryview) -> None:
    """Write everything: one call may write less."""
    written = 0
    while written < len(data):
        written += os.write(fd, data[written:])


def fsync_path(path: Path) -> None:
    """Make the entries of a folder durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
