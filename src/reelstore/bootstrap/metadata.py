"""Where the metadata is kept, and that no other process keeps it in the same folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reelstore.config import Settings
from reelstore.domain.errors import (
    ConfigurationError,
)
from reelstore.repositories.interface import Metadata
from reelstore.repositories.memory import InMemoryMetadata
from reelstore.repositories.sql import SqlMetadata
from reelstore.repositories.sql.postgresql import database_url, is_postgresql, shown

DATABASE_FILE = "metadata.sqlite"
LOCK_FILE = "reelstore.lock"


def is_shared(settings: Settings) -> bool:
    """Return whether other processes may use the same metadata: gateways and workers over one PostgreSQL."""
    return not settings.memory and settings.database_url is not None and is_postgresql(settings.database_url)


def describe(settings: Settings) -> str:
    """Say for people where the metadata is, without a password."""
    if is_shared(settings):
        return shown(database_url(settings.database_url or ""))
    return "in memory, gone when this ends" if settings.memory else str(settings.data.resolve())


async def open_metadata(settings: Settings) -> Metadata:
    """Open the metadata that the settings name, brought up to date.

    Raises:
        ConfigurationError: the database cannot be used.
        MetadataUnavailable: it is locked, or its volume is full; a retry can help.
    """
    if settings.memory:
        return InMemoryMetadata()
    return await SqlMetadata.open(metadata_url(settings))


def metadata_url(settings: Settings) -> str:
    """Return where the metadata is: what was set, or the file in the data folder."""
    return settings.database_url or f"sqlite:///{settings.data.resolve() / DATABASE_FILE}"


@contextmanager
def sole_owner(settings: Settings) -> Iterator[None]:
    """Make the data folder, and hold it for this process where the metadata is its alone.

    Raises:
        ConfigurationError: it cannot be made, or another process holds it.
    """
    if settings.memory:
        yield
        return
    folder, how = settings.data, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = None if is_shared(settings) else os.open(folder / LOCK_FILE, how, 0o600)
    except OSError as error:
        raise ConfigurationError(f"the data folder {folder} cannot be used: {error.strerror}") from None
    if lock is None:
        yield
        return
    try:
        _lock(lock, folder)
        yield
    finally:
        os.close(lock)


def _lock(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigurationError(f"the data folder {folder} is in use by another process") from None
    except OSError as error:
        raise ConfigurationError(f"the data folder {folder} cannot be locked: {error.strerror}") from None
