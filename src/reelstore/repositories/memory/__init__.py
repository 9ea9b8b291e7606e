"""The metadata in dictionaries: the first implementation, and the reference for the others."""

from reelstore.repositories.memory.metadata import InMemoryMetadata

__all__ = ["InMemoryMetadata"]
