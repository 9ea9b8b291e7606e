"""How much room is left, kept in step with what happens so that nobody has to count again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from reelstore.domain.errors import ServerFull
from reelstore.storage.directory.place import Place
from reelstore.storage.interface import Usage

RESERVE_BYTES_MAX = 1024**3
RESERVE_PART = 50  # one fiftieth of the file system: 2 %

STRIPES = 256


@dataclass(slots=True)
class Reservation:
    """Hold what a put under way will add to the used bytes, until it has."""

    growth_bytes: int


class Space:
    """Keep the books of one opening of a folder.

    The used bytes are counted once, folder by folder, by the survey that begins when the server is attached; from then
    on each put and delete is added. Until the survey has come to a folder, what happens there is left for it to count;
    the quota is then held against too small a number, the file system's reserve against the true one.

    Args:
        place: the folder.
        capacity_bytes: what all shards may take together; None: no such limit.
        reserve_bytes: what is left free on the file system; None: 2 % of it, at most 1 GiB.
    """

    def __init__(self, place: Place, *, capacity_bytes: int | None, reserve_bytes: int | None) -> None:
        self._place = place
        self._capacity_bytes = capacity_bytes
        self._reserve_bytes = reserve_bytes
        self._used_bytes = 0
        self._growing_bytes = 0  # what the puts under way will add to the used bytes
        self._writing_bytes = 0  # what they need on the file system until they are done
        self._counted: set[tuple[str, ...]] | None = set()  # folders; None: all
        self._lock = Lock()
        self._stripes = [Lock() for _ in range(STRIPES)]

    def resize(self, capacity_bytes: int | None) -> None:
        """Let all shards take that together from now on."""
        with self._lock:
            self._capacity_bytes = capacity_bytes

    def usage(self) -> Usage:
        """Return how full the folder is; costs one system call."""
        total_bytes, spare_bytes = self._file_system()
        with self._lock:
            disk_free_bytes = max(0, spare_bytes)
            if self._capacity_bytes is None:
                return Usage(total_bytes, self._used_bytes, disk_free_bytes, disk_free_bytes)
            left_bytes = max(0, self._capacity_bytes - self._used_bytes - self._growing_bytes)
            return Usage(self._capacity_bytes, self._used_bytes, min(disk_free_bytes, left_bytes), disk_free_bytes)

    @contextmanager
    def reserved(self, size_bytes: int, *, replaces_bytes: int) -> Iterator[Reservation]:
        """Keep room for a shard while it is written, so that puts at the same time do not overshoot together.

        What replaces a shard may use the reserve: a full disk must not keep a bad shard from being repaired.

        Raises:
            ServerFull: there is not enough above the reserve, or within the capacity.
        """
        growth_bytes = max(0, size_bytes - replaces_bytes)
        with self._lock:
            # Now: a put that ended since is in no other number.
            _, spare_bytes = self._file_system(use_reserve=replaces_bytes > 0)
            if size_bytes > spare_bytes - self._writing_bytes:
                raise ServerFull("the file system is full up to its reserve", server=self._place.server)
            grown_bytes = self._used_bytes + self._growing_bytes + growth_bytes
            if self._capacity_bytes is not None and growth_bytes > 0 and grown_bytes > self._capacity_bytes:
                raise ServerFull(f"the capacity of {self._capacity_bytes} bytes is used up", server=self._place.server)
            self._writing_bytes += size_bytes
            self._growing_bytes += growth_bytes
        reservation = Reservation(growth_bytes)
        try:
            yield reservation
        finally:
            with self._lock:
                self._writing_bytes -= size_bytes
                self._growing_bytes -= reservation.growth_bytes

    def settle(self, reservation: Reservation, way: tuple[str, ...], size_bytes: int) -> None:
        """Turn what was reserved into what was added to a folder that the caller is `changing`."""
        with self._lock:
            self._growing_bytes -= reservation.growth_bytes
            reservation.growth_bytes = 0
            self._add(way, size_bytes)

    @contextmanager
    def changing(self, way: tuple[str, ...]) -> Iterator[None]:
        """Keep others from changing or counting a folder meanwhile."""
        with self._stripes[hash(way) % STRIPES]:
            yield

    def add(self, way: tuple[str, ...], size_bytes: int) -> None:
        """Add what was stored (or, below zero, removed) in a folder that the caller is `changing`."""
        with self._lock:
            self._add(way, size_bytes)

    def begin(self, way: tuple[str, ...]) -> bool:
        """Take a folder that the caller is `changing` as counted, from 0; return whether it was not before."""
        with self._lock:
            if self._counted is None or way in self._counted:
                return False
            self._counted.add(way)
            return True

    def finish(self) -> None:
        """Take every folder as counted: the survey is done."""
        with self._lock:
            self._counted = None

    def _add(self, way: tuple[str, ...], size_bytes: int) -> None:
        if self._counted is None or way in self._counted:
            self._used_bytes += size_bytes

    def _file_system(self, *, use_reserve: bool = False) -> tuple[int, int]:
        """Return the size of the file system and what it has free, above the reserve or with it; may be negative."""
        found = os.fstatvfs(self._place.fd)
        total_bytes = found.f_blocks * found.f_frsize
        reserve_bytes = 0 if use_reserve else self._reserve_bytes
        if reserve_bytes is None:
            reserve_bytes = min(RESERVE_BYTES_MAX, total_bytes // RESERVE_PART)
        return total_bytes, found.f_bavail * found.f_frsize - reserve_bytes
