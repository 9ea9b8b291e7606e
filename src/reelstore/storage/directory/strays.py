"""Tell what lies in a server's folder and is not ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice

from reelstore.domain.errors import InvalidInput
from reelstore.storage.checks import check_policy
from reelstore.storage.directory.layout import (
    LOST_AND_FOUND,
    MARKER,
    QUARANTINE,
    SHARDS,
    is_prefix,
    is_temporary,
    parse_leaf,
)
from reelstore.storage.directory.listing import existing_directory
from reelstore.storage.directory.place import Place
from reelstore.storage.interface import Stray


def strays(place: Place, limit: int) -> list[Stray]:
    """Return up to `limit` things that are passed over, each with the reason; raises `OSError` where reading fails."""
    place.prove()
    return list(islice(_strays(place), limit))


def _strays(place: Place) -> Iterator[Stray]:
    for entry in _entries(place):
        if entry.name in {SHARDS, QUARANTINE}:
            if not entry.is_dir(follow_symlinks=False):
                yield Stray(printable(entry.name), "it is in the place of a folder")
        elif entry.name not in {MARKER, LOST_AND_FOUND} and not is_temporary(entry.name):
            yield Stray(printable(entry.name), "it is nothing that a server keeps")
    for policy in _entries(place, SHARDS):
        try:
            check_policy(policy.name)
        except InvalidInput:
            yield _stray("it is not the name of a policy", SHARDS, policy.name)
            continue
        if not policy.is_dir(follow_symlinks=False):
            yield _stray("it is in the place of a folder", SHARDS, policy.name)
            continue
        for folder in _entries(place, SHARDS, policy.name):
            if is_prefix(folder.name) and folder.is_dir(follow_symlinks=False):
                yield from _strays_among_shards(place, policy.name, folder.name)
            else:
                yield _stray("it is not a folder of shards", SHARDS, policy.name, folder.name)


def _strays_among_shards(place: Place, policy: str, prefix: str) -> Iterator[Stray]:
    for entry in _entries(place, SHARDS, policy, prefix):
        if is_temporary(entry.name):
            continue
        try:
            parse_leaf(policy, prefix, entry.name)
        except InvalidInput as error:
            reason = "it is not the name of a shard" if "not the name" in str(error) else str(error)
            yield _stray(reason, SHARDS, policy, prefix, entry.name)
        else:
            if not entry.is_file(follow_symlinks=False):
                yield _stray("it is not a regular file", SHARDS, policy, prefix, entry.name)


def _entries(place: Place, *way: str) -> Iterator[os.DirEntry[str]]:
    with existing_directory(place, *way) as folder:
        if folder is not None:
            with os.scandir(folder) as entries:
                yield from entries


def _stray(reason: str, *way: str) -> Stray:
    return Stray("/".join(printable(step) for step in way), reason)


def printable(name: str) -> str:
    """Return a file's name fit for a log or a page: what is not printable, or not UTF-8, is escaped."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
