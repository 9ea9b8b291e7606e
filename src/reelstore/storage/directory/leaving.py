"""Give up a folder: take away what a server keeps there besides shards, and its marker at last."""

from __future__ import annotations

import errno
import os

from reelstore.storage.directory.layout import MARKER, QUARANTINE, SHARDS
from reelstore.storage.directory.listing import existing_directory
from reelstore.storage.directory.place import Place, names

_OCCUPIED = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR})


def leave(place: Place) -> bool:
    """Remove the empty folders, the quarantine and the marker, durably; return False where more than that is there.

    To be called while the place is held alone: a put that looked for the marker before would still end after it.
    """
    place.prove()
    try:
        for policy in _names(place, SHARDS):
            for prefix in _names(place, SHARDS, policy):
                _remove_folder(place, SHARDS, policy, prefix)
            _remove_folder(place, SHARDS, policy)
        _remove_folder(place, SHARDS)
        with existing_directory(place, QUARANTINE) as quarantine:
            for copy in [] if quarantine is None else names(quarantine):
                os.unlink(copy, dir_fd=quarantine)
        _remove_folder(place, QUARANTINE)
    except IsADirectoryError:  # somebody's folder in the quarantine
        return False
    except OSError as error:
        if error.errno in _OCCUPIED:
            return False
        raise
    os.unlink(MARKER, dir_fd=place.fd)
    os.fsync(place.fd)
    return True


def _names(place: Place, *way: str) -> list[str]:
    with existing_directory(place, *way) as folder:
        return [] if folder is None else names(folder)


def _remove_folder(place: Place, *way: str) -> None:
    with existing_directory(place, *way[:-1]) as parent:
        if parent is None:
            return
        try:
            os.rmdir(way[-1], dir_fd=parent)
        except FileNotFoundError:
            return
