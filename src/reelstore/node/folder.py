"""The folder of a node: held from the start, whoever it belongs to, and served to its owner alone."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from reelstore.domain.errors import ServerRefused, ServerUnavailable, StorageError
from reelstore.node.gate import Admitted
from reelstore.storage.directory import DirectoryServer
from reelstore.storage.directory.os_errors import storage_error
from reelstore.storage.directory.place import Place, make_folder
from reelstore.storage.interface import Marker

NOBODY = "node"
"""How a node is called in errors before its folder belongs to a server."""

log = logging.getLogger(__name__)


class NodeFolder:
    """Hold a folder for one node: as a `DirectoryServer` once it is marked, before that as it is.

    Args:
        path: the folder, absolute.
        reserve_bytes: see `DirectoryServer`.
    """

    def __init__(self, path: Path, *, reserve_bytes: int | None = None) -> None:
        self._path = path
        self._reserve_bytes = reserve_bytes
        self._unclaimed: Place | None = None
        self._owner: tuple[str, str] | None = None
        self._directory: DirectoryServer | None = None
        self._capacity_bytes: int | None = None
        self._changing = asyncio.Lock()

    @property
    def owner(self) -> tuple[str, str] | None:
        """Return cluster and server that the folder is attached for; None when it is for nobody."""
        return self._owner

    async def open(self) -> Marker | None:
        """Take the folder, made if it is not there; return its marker, None when it belongs to nobody yet.

        Raises:
            ServerUnavailable: it cannot be opened, or another process has it.
            ServerRefused: its marker cannot be used.
        """
        async with self._changing:
            marker = await asyncio.to_thread(self._hold)
            if marker is None:
                return None
            return await self._serve(marker, claim=False)

    async def attach(self, admitted: Admitted, marker: Marker, *, claim: bool) -> Marker:
        """Prove or claim the folder for a server; see `StorageServer.attach`."""
        async with self._changing:
            if self._directory is not None and self._owner == (marker.cluster, marker.server):
                self._resize(self._directory, admitted.capacity_bytes)
                return await self._directory.attach(marker, claim=claim)
            if self._directory is not None:
                await self._require_disowned(self._directory)
            try:
                found = await self._serve(marker, claim=claim)
            except StorageError:
                await asyncio.to_thread(self._hold_again)
                raise
            assert self._directory is not None
            self._resize(self._directory, admitted.capacity_bytes)
            return found

    async def check(self, admitted: Admitted) -> Marker:
        """See `StorageServer.check`; a folder that came back is taken up again."""
        marker = Marker(admitted.cluster, admitted.server, "", 0)
        async with self._changing:
            is_served = self._directory is not None and self._owner == (marker.cluster, marker.server)
        if is_served:
            return await self.served(admitted).check()
        return await self.attach(admitted, marker, claim=False)

    async def release(self, admitted: Admitted) -> bool:
        """See `Releasing`; the folder stays this node's, and belongs to nobody."""
        async with self._changing:
            directory = self.served(admitted)
            if not await directory.release():
                return False
            await self._let_go()
            await asyncio.to_thread(self._hold_again)
            return True

    def served(self, admitted: Admitted) -> DirectoryServer:
        """Return the directory for a request, with the capacity that it says.

        Raises:
            ServerRefused: the folder belongs to another server.
            ServerUnavailable: it belongs to nobody yet, or is away.
        """
        if self._directory is None or self._owner is None:
            raise ServerUnavailable("the node's folder is not attached", server=NOBODY)
        if self._owner != (admitted.cluster, admitted.server):
            raise _belongs(self._path, self._owner)
        self._resize(self._directory, admitted.capacity_bytes)
        return self._directory

    def size_bytes(self) -> int:
        """Return what the folder's file system holds, whoever it belongs to; blocks."""
        try:
            found = os.statvfs(self._path)
        except OSError as error:
            raise storage_error(error, server=NOBODY, doing="cannot ask how large the disk is") from error
        return found.f_blocks * found.f_frsize

    async def close(self) -> None:
        """Give the folder back."""
        async with self._changing:
            await self._let_go()
            self._drop_unclaimed()

    async def _serve(self, marker: Marker, *, claim: bool) -> Marker:
        directory = DirectoryServer(marker.server, self._path, reserve_bytes=self._reserve_bytes)
        self._drop_unclaimed()  # the directory locks the folder for itself
        try:
            found = await directory.attach(marker, claim=claim)
        except BaseException:
            await directory.close()
            raise
        self._directory, self._owner, self._capacity_bytes = directory, (marker.cluster, marker.server), None
        return found

    async def _require_disowned(self, directory: DirectoryServer) -> None:
        """Let a directory go whose folder is no longer its own: a new disk was put in its place.

        Raises:
            ServerRefused: it still is.
        """
        assert self._owner is not None
        try:
            await directory.check()
        except StorageError:
            await self._let_go()
            return
        raise _belongs(self._path, self._owner)

    def _resize(self, directory: DirectoryServer, capacity_bytes: int | None) -> None:
        if capacity_bytes is not None and capacity_bytes != self._capacity_bytes:
            directory.resize(capacity_bytes)
            self._capacity_bytes = capacity_bytes

    async def _let_go(self) -> None:
        directory, self._directory, self._owner = self._directory, None, None
        if directory is not None:
            await directory.close()

    def _hold(self) -> Marker | None:
        make_folder(self._path, server=NOBODY)
        place = Place(NOBODY, self._path)
        self._unclaimed = place
        try:
            return place.read_marker()
        except OSError as error:
            raise storage_error(error, server=NOBODY, doing=f"cannot read the marker in {self._path}") from error

    def _hold_again(self) -> None:
        """Keep other programs off a folder that could not be attached; where that fails, its marker still guards it."""
        if self._unclaimed is None:
            try:
                self._unclaimed = Place(NOBODY, self._path)
            except StorageError as error:
                log.warning("the folder is not held: %s", error)

    def _drop_unclaimed(self) -> None:
        place, self._unclaimed = self._unclaimed, None
        if place is not None:
            place.release()


def _belongs(path: Path, owner: tuple[str, str]) -> ServerRefused:
    return ServerRefused(f"the folder {path} belongs to server {owner[1]!r} of cluster {owner[0]!r}", server=NOBODY)
