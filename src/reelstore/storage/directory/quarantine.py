"""Copies of suspect bytes, set aside for an operator to look at.

A copy's file is named `<policy>.<leaf of the shard>.<when, in nanoseconds, 20 digits>`: that is its id too. What is
named otherwise is not ours; it counts as the oldest, and goes first when room is needed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import nlargest

from reelstore.domain.chunk import ShardName
from reelstore.domain.errors import InvalidInput
from reelstore.storage.directory.layout import QUARANTINE, subdirectory
from reelstore.storage.directory.listing import existing_directory
from reelstore.storage.directory.os_errors import ABSENT
from reelstore.storage.directory.place import CREATE_FLAGS, FILE_MODE, READ_FLAGS, Place, write_all
from reelstore.storage.interface import QuarantinedCopy

FILES_MAX = 1000
CAPACITY_PART = 20  # one twentieth: 5 %

COPY_SIZE_BYTES = 1024**2

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME_DIGITS = 20


@dataclass(frozen=True, slots=True)
class _Kept:
    file: str
    size_bytes: int
    inode: int
    set_aside_ns: int  # 0 for what is not ours
    name: ShardName | None

    def copy(self) -> QuarantinedCopy | None:
        if self.name is None:
            return None
        at = _EPOCH + timedelta(microseconds=self.set_aside_ns // 1000)
        return QuarantinedCopy(self.file, self.name, self.size_bytes, at)


def set_aside(place: Place, name: ShardName, *, capacity_bytes: int) -> None:
    """Keep a copy of what is stored under a name; nothing stored is fine, and so is what is kept already.

    The copy is a second link to the same file where the file system can: a put renames over the name, so that the
    link keeps the old bytes, and takes no room before. Not synced: what a power cut loses here is only evidence.
    """
    place.prove()  # nothing is made in a place that is no longer marked
    place.make_directory(QUARANTINE)
    with place.directory(QUARANTINE) as quarantine:
        try:
            with place.directory(*subdirectory(name)) as folder:
                inode = os.stat(name.leaf, dir_fd=folder, follow_symlinks=False).st_ino
                if any(kept.inode == inode for kept in _all(quarantine)):
                    return  # a repair that is tried again and again keeps one copy
                copy = f"{name.policy}.{name.leaf}.{time.time_ns():0{_TIME_DIGITS}d}"
                _link_or_copy(folder, name.leaf, quarantine, copy)
        except OSError as error:
            if error.errno not in ABSENT:
                raise
            place.prove()
        _drop_oldest(quarantine, capacity_bytes // CAPACITY_PART)


def quarantined(place: Place, limit: int) -> Sequence[QuarantinedCopy]:
    """Return up to `limit` copies, the newest first."""
    place.prove()
    with existing_directory(place, QUARANTINE) as quarantine:
        found = [] if quarantine is None else _all(quarantine)
    newest = nlargest(limit, (kept for kept in found if kept.name is not None), key=lambda kept: kept.set_aside_ns)
    return [copy for kept in newest if (copy := kept.copy()) is not None]


def drop_quarantined(place: Place, before: datetime) -> Sequence[QuarantinedCopy]:
    """Drop the copies that were set aside before then; return them. What is not ours is left alone."""
    place.prove()
    dropped = []
    with existing_directory(place, QUARANTINE) as quarantine:
        for kept in () if quarantine is None else _all(quarantine):
            copy = kept.copy()
            if quarantine is not None and copy is not None and copy.set_aside_at < before:
                with suppress(FileNotFoundError):
                    os.unlink(kept.file, dir_fd=quarantine)
                    dropped.append(copy)
    return dropped


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
    kept = sorted(_all(quarantine), key=lambda one: one.set_aside_ns)
    size_bytes = sum(one.size_bytes for one in kept)
    for index, one in enumerate(kept):
        if len(kept) - index <= FILES_MAX and size_bytes <= size_bytes_max:
            break
        with suppress(OSError):  # a stray folder, say
            os.unlink(one.file, dir_fd=quarantine)
        size_bytes -= one.size_bytes


def _all(quarantine: int) -> list[_Kept]:
    found = []
    with os.scandir(quarantine) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # another call drops meanwhile
                status = entry.stat(follow_symlinks=False)
                name, at_ns = _parse(entry.name) if entry.is_file(follow_symlinks=False) else (None, 0)
                found.append(_Kept(entry.name, status.st_size, status.st_ino, at_ns, name))
    return found


def _parse(file: str) -> tuple[ShardName | None, int]:
    shard, _, at = file.rpartition(".")
    if len(at) != _TIME_DIGITS or not (at.isascii() and at.isdigit()):
        return None, 0
    policy, _, leaf = shard.partition(".")
    try:
        return ShardName.parse(f"{policy}/{leaf}"), int(at)
    except InvalidInput:
        return None, 0
