"""Go through the shards of a folder, in order of sub-directory, with bounded memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from reelstore.domain.chunk import ShardName
from reelstore.domain.errors import InvalidInput
from reelstore.storage.directory.layout import SHARDS, parse_leaf, prefixes
from reelstore.storage.directory.os_errors import ABSENT
from reelstore.storage.directory.place import Place
from reelstore.storage.directory.shard_files import entry_of
from reelstore.storage.interface import ShardEntry


def shards(place: Place, policy: str, start: bytes, stop: bytes | None) -> Iterator[ShardEntry]:
    """Yield the shards whose digest is in `[start, stop)`; raises `OSError` where reading fails.

    What lies there and is no shard, or vanishes meanwhile, is passed over. A folder is read as it is gone through, so
    that one with very many shards takes no memory. When this is dropped half-way, its handles close with it.

    Raises:
        ServerRefused: the place is gone, so that what is missing says nothing.
    """
    for prefix in prefixes(start, stop):
        with existing_directory(place, SHARDS, policy, prefix) as folder:
            if folder is None:
                continue
            with os.scandir(folder) as entries:
                for entry in entries:
                    name = _parse(policy, prefix, entry.name)
                    if name is None or name.digest < start or (stop is not None and stop <= name.digest):
                        continue
                    with suppress(FileNotFoundError):
                        found = entry_of(name, entry.stat(follow_symlinks=False))
                        if found is not None:
                            yield found
    place.prove()  # at the end: it may have gone meanwhile


@contextmanager
def existing_directory(place: Place, *way: str) -> Iterator[int | None]:
    """Open a folder; None when there is none, or a stray in its place."""
    try:
        folder = place.open_directory(*way)
    except OSError as error:
        if error.errno not in ABSENT:
            raise
        yield None
        return
    try:
        yield folder
    finally:
        os.close(folder)


def _parse(policy: str, prefix: str, leaf: str) -> ShardName | None:
    try:
        return parse_leaf(policy, prefix, leaf)
    except InvalidInput:
        return None
