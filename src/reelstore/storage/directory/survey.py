"""The walk that begins when a folder is opened: count what it holds, and sweep what was never finished."""

from __future__ import annotations

import logging
import os
from contextlib import suppress

from reelstore.domain.errors import InvalidInput, StorageError
from reelstore.storage.directory.layout import SHARDS, is_prefix, is_temporary, parse_leaf
from reelstore.storage.directory.listing import existing_directory
from reelstore.storage.directory.place import Place, names
from reelstore.storage.directory.shard_files import entry_of
from reelstore.storage.directory.space import Space

logger = logging.getLogger(__name__)


def survey(place: Place, space: Space) -> None:
    """Count the used bytes and remove the temporary files of earlier openings; ends early when the place is released.

    A temporary file of an earlier opening has no writer: the folder is locked. Should the lock not hold (some network
    file systems), then removing one only fails the put that was writing it. So no age needs to be waited for, and
    safety does not depend on this walk: a temporary file is never taken for a shard.
    """
    try:
        with place.held():
            _sweep(place, place.fd)
            for policy in _names(place, SHARDS):
                for prefix in _names(place, SHARDS, policy):
                    if place.released:
                        return
                    if is_prefix(prefix):
                        _count(place, space, (SHARDS, policy, prefix))
            space.finish()
    except (OSError, StorageError) as error:
        if not place.released:
            logger.warning("server %s: counting %s ended early: %s", place.server, place.path, error)


def _names(place: Place, *way: str) -> list[str]:
    with existing_directory(place, *way) as folder:
        return [] if folder is None else names(folder)


def _count(place: Place, space: Space, way: tuple[str, str, str]) -> None:
    with existing_directory(place, *way) as folder, space.changing(way):
        if folder is None:
            return
        counting, size_bytes = space.begin(way), 0
        with os.scandir(folder) as entries:
            for entry in entries:
                if _remove_if_abandoned(place, folder, entry.name) or not counting:
                    continue
                with suppress(InvalidInput, FileNotFoundError):
                    found = entry_of(parse_leaf(way[1], way[2], entry.name), entry.stat(follow_symlinks=False))
                    size_bytes += 0 if found is None else found.size_bytes
        space.add(way, size_bytes)


def _sweep(place: Place, folder: int) -> None:
    for name in names(folder):
        _remove_if_abandoned(place, folder, name)


def _remove_if_abandoned(place: Place, folder: int, name: str) -> bool:
    """Remove a temporary file of an earlier opening; return whether it is a temporary file at all."""
    if not is_temporary(name):
        return False
    if not place.temporaries.owns(name):
        with suppress(OSError):
            os.unlink(name, dir_fd=folder)
    return True
