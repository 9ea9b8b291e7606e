"""How much a server keeps: counted in listings, and followed from change to change.

A bucket cannot be asked how full it is. So the bytes are counted folder by folder (a policy and the first 12 bits of
the digest) by whatever lists it: the count that begins when the server is attached, and then every survey. Between two
counts each put and delete of this process is added; what other gateways did comes with the next count. It is an
estimate that heals itself: nothing but the fill that is shown and `ServerFull` follows from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from reelstore.domain.errors import ServerFull
from reelstore.storage.interface import Usage

Folder = tuple[str, int]
"""A policy, and the first 12 bits of digests."""


@dataclass(slots=True)
class Room:
    """Hold what a change under way may add, until it is known."""

    growth_bytes: int
    folder: Folder


class Books:
    """Keep the books of one attached server.

    Args:
        server: the server's name, for errors.
        capacity_bytes: what all shards may take together.
    """

    def __init__(self, server: str, capacity_bytes: int) -> None:
        self._server = server
        self._capacity_bytes = capacity_bytes
        self._used: dict[Folder, int] = {}
        self._used_bytes = 0
        self._growing_bytes = 0
        self._changing: dict[Folder, int] = {}  # how many changes are under way
        self._changed_at: dict[Folder, int] = {}  # the moment of the last one
        self._moment = 0

    def resize(self, capacity_bytes: int) -> None:
        """Let all shards take that together from now on."""
        self._capacity_bytes = capacity_bytes

    def usage(self) -> Usage:
        """Return how full the server is, as far as it is known."""
        left_bytes = self._capacity_bytes - self._used_bytes - self._growing_bytes
        return Usage(self._capacity_bytes, self._used_bytes, max(0, left_bytes))

    def has_room(self, growth_bytes: int) -> bool:
        """Tell whether so many bytes more would be within the capacity; fewer always are."""
        return growth_bytes <= 0 or self._used_bytes + self._growing_bytes + growth_bytes <= self._capacity_bytes

    @contextmanager
    def changing(self, folder: Folder, growth_bytes: int = 0, *, may_overfill: bool = False) -> Iterator[Room]:
        """Keep room for what a change may add, and every count away from the folder meanwhile.

        What the change did add is told with `settle`. When it ends otherwise, it may have been carried out or not: the
        next count shows.

        Raises:
            ServerFull: it would be above the capacity.
        """
        growth_bytes = max(0, growth_bytes)
        if not (may_overfill or self.has_room(growth_bytes)):
            raise ServerFull(f"the capacity of {self._capacity_bytes} bytes is used up", server=self._server)
        room = Room(growth_bytes, folder)
        self._growing_bytes += growth_bytes
        self._changing[folder] = self._changing.get(folder, 0) + 1
        try:
            yield room
        finally:
            self._growing_bytes -= room.growth_bytes
            self._changing[folder] -= 1
            if not self._changing[folder]:
                del self._changing[folder]
            self._moment += 1
            self._changed_at[folder] = self._moment

    def settle(self, room: Room, added_bytes: int) -> None:
        """Note what a change has added; below zero, what it has removed."""
        self._growing_bytes -= room.growth_bytes
        room.growth_bytes = 0
        self._set(room.folder, self._used.get(room.folder, 0) + added_bytes)

    def moment(self) -> int:
        """Return the present moment, for `count`."""
        return self._moment

    def count(self, folder: Folder, size_bytes: int, since: int) -> None:
        """Take what a listing found in a folder, unless something changed there since the listing began."""
        if folder not in self._changing and self._changed_at.get(folder, 0) <= since:
            self._set(folder, size_bytes)

    def _set(self, folder: Folder, size_bytes: int) -> None:
        size_bytes = max(0, size_bytes)
        self._used_bytes += size_bytes - self._used.pop(folder, 0)
        if size_bytes:
            self._used[folder] = size_bytes
