"""The directory driver: shards as files below one folder, durable by fsync and atomic by rename."""

from reelstore.storage.directory.server import DirectoryServer

__all__ = ["DirectoryServer"]
