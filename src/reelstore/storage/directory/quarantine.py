"""Copies of suspect bytes, set aside for an operator to look at."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from reelstore.domain.chunk import ShardName
from reelstore.storage.directory.layout import QUARANTINE, subdirectory
from reelstore.storage.directory.os_errors import ABSENT
from reelstore.storage.directory.place import CREATE_FLAGS, FILE_MODE, READ_FLAGS, Place, write_all

FILES_MAX = 1000
CAPACITY_PART = 20  # one twentieth: 5 %

COPY_SIZE_BYTES = 1024**2


def set_aside(place: Place, name: ShardName, *, capacity_bytes: int) -> None:
    """Keep a copy of what is stored under a name; nothing stored is fine.

    The copy is a second link to the same file where the file system can: a put renames over the name, so that the
    link keeps the old bytes, and takes no room before. Not synced: what a power cut loses here is only evidence.
    """
    place.prove()  # nothing is made in a place that is no longer marked
    place.make_directory(QUARANTINE)
    with place.directory(QUARANTINE) as quarantine:
        try:
            with place.directory(*subdirectory(name)) as folder:
                _link_or_copy(folder, name.leaf, quarantine, f"{name.policy}.{name.leaf}.{time.time_ns():020d}")
        except OSError as error:
            if error.errno not in ABSENT:
                raise
            place.prove()
        _drop_oldest(quarantine, capacity_bytes // CAPACITY_PART)


def _link_or_copy(folder: int, leaf: str, quarantine: int, copy: str) -> None:
    try:
        os.link(leaf, copy, src_dir_fd=folder, dst_dir_fd=quarantine, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError:  # no links here, too many of them, or another file system is mounted there
        _copy(folder, leaf, quarantine, copy)


def _copy(folder: int, leaf: str, quarantine: int, copy: str) -> None:
    source = os.open(leaf, READ_FLAGS, dir_fd=folder)
    try:
        target = os.open(copy, CREATE_FLAGS, FILE_MODE, dir_fd=quarantine)
        try:
            while piece := os.read(source, COPY_SIZE_BYTES):
                write_all(target, memoryview(piece))
        except BaseException:
            with suppress(OSError):
                os.unlink(copy, dir_fd=quarantine)
            raise
        finally:
            os.close(target)
    finally:
        os.close(source)


def _drop_oldest(quarantine: int, size_bytes_max: int) -> None:
    with os.scandir(quarantine) as entries:
        kept = [(entry.name, entry.stat(follow_symlinks=False).st_size) for entry in entries]
    kept.sort(key=lambda item: item[0].rpartition(".")[2])  # by time
    size_bytes = sum(size for _, size in kept)
    while kept and (len(kept) > FILES_MAX or size_bytes > size_bytes_max):
        name, size = kept.pop(0)
        with suppress(OSError):  # a stray folder, say
            os.unlink(name, dir_fd=quarantine)
        size_bytes -= size
