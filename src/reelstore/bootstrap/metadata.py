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

DATABASE_FILE = "metadata.sqlite"
LOCK_FILE = "reelstore.lock"


async def open_metadata(settings: Settings) -> Metadata:
    """Open the metadata that the settings name, brought up to date.

    Raises:
        ConfigurationError: the database cannot be used.
        MetadataUnavailable: it is locked, or its volume is full; a retry can help.
    """
    if settings.memory:
        return InMemoryMetadata()
    url = settings.database_url or f"sqlite:///{settings.data.resolve() / DATABASE_FILE}"
    return await SqlMetadata.open(url)


@contextmanager
def sole_owner(settings: Settings) -> Iterator[None]:
    """Make the data folder and hold it for this process.

    Raises:
        ConfigurationError: it cannot be made, or another process holds it.
    """
    if settings.memory:
        yield
        return
    folder = settings.data
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(f"the data folder {folder} cannot be used: {error.strerror}") from None
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
