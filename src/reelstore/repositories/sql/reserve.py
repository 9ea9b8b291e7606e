"""Room kept beside the database, so that a purge can still be written when the volume is full.

A delete needs room before it gives any: its transaction goes to the write-ahead log first. So a file holds some room,
which is given up for units of work that free (`unit_of_work(frees=True)`), and taken back as soon as there is enough.
While it cannot be taken, every other unit of work is refused, or uploads would eat what the purge needs.
"""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from reelstore.domain.errors import MetadataFull

RESERVE_BYTES: Final = 16 * 1024 * 1024
SHORT_BYTES: Final = 4 * 1024 * 1024


class ReserveFile:
    """Hold some of the database's volume. All methods block; one thread at a time may use it.

    Args:
        database: the database file; the reserve lies beside it and survives restarts.
        size_bytes: how much; 0 holds nothing.
    """

    def __init__(self, database: Path, *, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._path = database.with_name(f"{database.name}-reserve")
        self._held = False

    def take(self) -> bool:
        """Make sure that the room is held; return whether it is. Costs nothing once it is.

        Raises:
            OSError: the volume fails in another way than being full.
        """
        if not self._held:
            self._held = self._allocate()
        return self._held

    def _allocate(self) -> bool:
        present = self._path.stat().st_size if self._path.exists() else 0
        if shutil.disk_usage(self._path.parent).free < self._size_bytes - present + SHORT_BYTES:
            return False
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if self._size_bytes:
                os.posix_fallocate(handle, 0, self._size_bytes)  # truncating would leave a hole, which holds nothing
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            os.truncate(handle, 0)
            return False
        finally:
            os.close(handle)
        return True

    def release_when_short(self) -> None:
        """Give the room up if the volume has less than `SHORT_BYTES` left."""
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):  # opening the database says it better
            if shutil.disk_usage(self._path.parent).free < SHORT_BYTES:
                self._held = False
                self._path.unlink(missing_ok=True)


class Room:
    """Decide whether there is room for a unit of work that writes.

    Args:
        reserve: the room that is kept.
        frees: the unit deletes more than it adds.
    """

    def __init__(self, reserve: ReserveFile, *, frees: bool) -> None:
        self._reserve = reserve
        self._frees = frees

    def prepare(self, connection: Connection) -> None:
        """Make room, or refuse, before the transaction begins.

        Raises:
            MetadataFull: the volume is full, and this unit would not free any of it.
        """
        if self._reserve.take():
            if self._frees:
                self._reserve.release_when_short()
        elif not self._frees:
            _shorten_log(connection)
            if not self._reserve.take():
                raise MetadataFull("the volume of the metadata database is full; purge videos, or make it larger")


def _shorten_log(connection: Connection) -> None:
    """Give what the write-ahead log holds back to the volume: a purge has grown it."""
    driver = connection.connection.dbapi_connection
    if driver is not None:
        cursor = driver.cursor()  # not through the connection, which would begin a transaction
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        cursor.close()
