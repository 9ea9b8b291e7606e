"""`DirectoryServer`: a `StorageServer` on a folder."""

from __future__ import annotations

from pathlib import Path

from reelstore.storage.memory import MemoryServer


class DirectoryServer(MemoryServer):
    """Stand in for the driver until it is here: keeps shards in memory."""

    def __init__(
        self, name: str, path: Path, *, capacity_bytes: int | None = None, reserve_bytes: int | None = None
    ) -> None:
        super().__init__(name, capacity_bytes=capacity_bytes)
        self._path, self._reserve_bytes = path, reserve_bytes
