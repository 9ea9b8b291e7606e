"""Shards as files: written whole and durably, read through the handle of the place."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock

from blake3 import blake3

from reelstore.domain.chunk import ShardName
from reelstore.domain.errors import ShardCorrupt, ShardMissing
from reelstore.storage.checks import SHARD_SIZE_BYTES_MAX, check_adoption
from reelstore.storage.directory.layout import subdirectory
from reelstore.storage.directory.os_errors import ABSENT, LINKLESS, UNREADABLE
from reelstore.storage.directory.place import CREATE_FLAGS, FILE_MODE, READ_FLAGS, Place, write_all
from reelstore.storage.directory.space import Space
from reelstore.storage.interface import ShardEntry

READ_SIZE_BYTES = 1024**2


class ShardFiles:
    """Do what a `StorageServer` does with shards, blocking.

    All methods may raise `OSError`, which the caller explains by the place.
    """

    def __init__(self, place: Place, space: Space) -> None:
        self._place = place
        self._space = space
        self._durable: set[tuple[str, ...]] = set()  # folders whose entries in their parents are known to be durable
        self._durable_lock = Lock()

    def put(self, name: ShardName, data: memoryview, *, abandoned: Callable[[], bool]) -> None:
        """Store a shard; durable on return. An error leaves what was there before or, late, the new bytes: whole.

        The recipe is Swift's (`obj/diskfile.py`): temporary file in the same folder, write, fdatasync, rename, fsync of
        the folder. The folder's own entry is synced last, once: by then the same journal commit has mostly written it.

        Args:
            name: the shard.
            data: its bytes, which must not change until `abandoned`.
            abandoned: tells whether nobody waits any more, so that the bytes may have changed while they were written.

        Raises:
            ServerFull: see `Space.reserved`.
        """
        with self.incoming(name, len(data)) as incoming:
            incoming.write(data)
            incoming.store(abandoned=abandoned)

    @contextmanager
    def incoming(self, name: ShardName, size_bytes: int) -> Iterator[Incoming]:
        """Begin to store a shard whose bytes come in pieces; see `put`. What is not stored in the block is gone.

        The block may go from thread to thread; no lock is held in it.

        Raises:
            ServerFull: see `Space.reserved`.
        """
        way = subdirectory(name)
        with self._folder_for_writing(way) as folder:
            replaced = _size(folder, name.leaf)
            with self._space.reserved(size_bytes, replaces_bytes=replaced or 0) as reservation:
                temporary = self._place.temporaries.draw()

                def settle(stored_bytes: int) -> None:
                    with self._space.changing(way):
                        replaced = _size(folder, name.leaf)
                        os.rename(temporary, name.leaf, src_dir_fd=folder, dst_dir_fd=folder)
                        self._space.settle(reservation, way, stored_bytes - (replaced or 0))

                incoming = Incoming(folder, temporary, settle)
                try:
                    yield incoming
                finally:
                    incoming.discard()

    def adopt(self, old: ShardName, new: ShardName) -> bool:
        """Give the bytes of one name to another too; return whether they were there. Durable on return.

        Where it can be, that is a second link to the same file: a temporary one first, which then takes the place of
        what lies under the new name. A crash leaves the old name alone, or both, and at worst a temporary file.
        """
        check_adoption(old, new)
        try:
            with self._open(old) as (fd, size_bytes):
                os.fdatasync(fd)  # our puts did that; who carried files here by hand may not have
                linked = self._link(old, new, size_bytes)
            if not linked:
                self.put(new, memoryview(self.get(old, 0, None)), abandoned=lambda: False)
        except ShardMissing:
            return False
        return True

    def _link(self, old: ShardName, new: ShardName, size_bytes: int) -> bool:
        """Make the second link; return False where the file system cannot."""
        way = subdirectory(new)
        with self._place.directory(*subdirectory(old)) as source, self._folder_for_writing(way) as folder:
            temporary = self._place.temporaries.draw()
            try:
                os.link(old.leaf, temporary, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)
                with self._space.changing(way):
                    replaced = _size(folder, new.leaf)
                    os.rename(temporary, new.leaf, src_dir_fd=folder, dst_dir_fd=folder)
                    self._space.add(way, size_bytes - (replaced or 0))
            except FileNotFoundError:
                self._place.prove()
                raise self._missing(old) from None
            except OSError as error:
                if error.errno in LINKLESS:
                    return False
                raise
            finally:
                with suppress(OSError):  # there after an error; and where both names were links to one file already,
                    os.unlink(temporary, dir_fd=folder)  # for then POSIX has a rename do nothing
            os.fsync(folder)
        return True

    def get(self, name: ShardName, start: int, stop: int | None) -> bytes:
        """Return bytes `[start, stop)`, fewer when the shard is shorter."""
        with self._open(name) as (fd, size_bytes):
            end = min(size_bytes, start + SHARD_SIZE_BYTES_MAX)  # a foreign file of the name may have any size
            end = end if stop is None else min(stop, end)
            pieces: list[bytes] = []
            while start < end:
                piece = self._read(fd, end - start, start, name)
                if not piece:
                    break
                pieces.append(piece)
                start += len(piece)
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def digest(self, name: ShardName) -> bytes:
        """Return the BLAKE3 digest of what the medium holds: pages that the system has cached are dropped first."""
        hasher = blake3()
        with self._open(name) as (fd, size_bytes):
            with suppress(OSError):  # a file system without this reads from its cache
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            start = 0
            while start < min(size_bytes, SHARD_SIZE_BYTES_MAX + 1):  # one byte too many is wrong already
                piece = self._read(fd, READ_SIZE_BYTES, start, name)
                if not piece:
                    break
                hasher.update(piece)
                start += len(piece)
        return hasher.digest()

    def stat(self, name: ShardName) -> ShardEntry | None:
        """Return the shard's entry, or None."""
        try:
            with self._place.directory(*subdirectory(name)) as folder:
                return entry_of(name, os.stat(name.leaf, dir_fd=folder, follow_symlinks=False))
        except OSError as error:
            self._require_absent(error)
            return None

    def delete(self, name: ShardName) -> bool:
        """Remove a shard; return whether it was there.

        Not synced: a delete that a power cut undoes leaves bytes whose row is gone, which are collected again.
        """
        way = subdirectory(name)
        try:
            with self._place.directory(*way) as folder, self._space.changing(way):
                size_bytes = _size(folder, name.leaf)
                if size_bytes is None:
                    return False
                os.unlink(name.leaf, dir_fd=folder)
                self._space.add(way, -size_bytes)
                return True
        except OSError as error:
            self._require_absent(error)
            return False

    @contextmanager
    def _folder_for_writing(self, way: tuple[str, ...]) -> Iterator[int]:
        """Open a shard's folder, made if it is not there; at the end its own entry is durable too."""
        present = len(way)
        try:
            folder = self._place.open_directory(*way)
        except FileNotFoundError:
            self._place.prove()  # an unmarked place is not filled
            with self._space.changing(way):
                present = self._place.make_directory(*way)
                if present < len(way):
                    self._space.begin(way)
            folder = self._place.open_directory(*way)
        try:
            yield folder
        finally:
            os.close(folder)
        self._make_entries_durable(way, present)

    def _make_entries_durable(self, way: tuple[str, ...], present: int) -> None:
        """Sync the parents of the folders on a way, but for those of the first `present` that were synced before."""
        for depth in range(len(way), 0, -1):
            with self._durable_lock:
                if depth <= present and way[:depth] in self._durable:
                    return
            with self._place.directory(*way[: depth - 1]) as parent:
                os.fsync(parent)
            with self._durable_lock:
                self._durable.add(way[:depth])

    @contextmanager
    def _open(self, name: ShardName) -> Iterator[tuple[int, int]]:
        """Open a shard for reading; give its handle and its size in bytes."""
        try:
            with self._place.directory(*subdirectory(name)) as folder:
                fd = _open_without_atime(name.leaf, folder)
        except OSError as error:
            self._require_absent(error)
            raise self._missing(name) from None
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise self._missing(name)
            yield fd, status.st_size
        finally:
            os.close(fd)

    def _read(self, fd: int, size_bytes: int, start: int, name: ShardName) -> bytes:
        try:
            return os.pread(fd, size_bytes, start)
        except OSError as error:
            if error.errno in UNREADABLE:
                message = f"the medium cannot give back shard {name}: {error.strerror}"
                raise ShardCorrupt(message, server=self._place.server) from error
            raise

    def _missing(self, name: ShardName) -> ShardMissing:
        return ShardMissing(f"no shard {name}", server=self._place.server)

    def _require_absent(self, error: OSError) -> None:
        """Make sure that an error means that there is no shard, and not that there is no place."""
        if error.errno not in ABSENT:
            raise error
        self._place.prove()


class Incoming:
    """A shard that is being written, beside its final name.

    Args:
        folder: where, held open by the caller.
        temporary: the name of its file until it is stored.
        settle: gives the file, of that many bytes, its final name.
    """

    def __init__(self, folder: int, temporary: str, settle: Callable[[int], None]) -> None:
        self._folder = folder
        self._temporary = temporary
        self._settle = settle
        self._size_bytes = 0
        self._stored = False
        self._fd = os.open(temporary, CREATE_FLAGS, FILE_MODE, dir_fd=folder)

    def write(self, data: memoryview) -> None:
        """Append bytes."""
        write_all(self._fd, data)
        self._size_bytes += len(data)

    def store(self, *, abandoned: Callable[[], bool] = lambda: False) -> None:
        """Give the shard its name, unless it is abandoned by then; durable on return."""
        os.fdatasync(self._fd)
        if abandoned():
            return
        self._settle(self._size_bytes)
        self._stored = True
        os.fsync(self._folder)

    def discard(self) -> None:
        """Close the file; remove it unless it was stored."""
        os.close(self._fd)
        if not self._stored:
            with suppress(OSError):
                os.unlink(self._temporary, dir_fd=self._folder)


def entry_of(name: ShardName, status: os.stat_result) -> ShardEntry | None:
    """Return the entry of a file, or None when it is not a regular one."""
    if not stat.S_ISREG(status.st_mode):
        return None
    return ShardEntry(name, status.st_size, status.st_ctime_ns)


def _size(folder: int, leaf: str) -> int | None:
    """Return the size in bytes of a shard's file, or None when there is none."""
    try:
        status = os.stat(leaf, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _open_without_atime(leaf: str, folder: int) -> int:
    try:
        return os.open(leaf, READ_FLAGS | os.O_NOATIME, dir_fd=folder)
    except PermissionError:  # only the file's owner may ask for that
        return os.open(leaf, READ_FLAGS, dir_fd=folder)
