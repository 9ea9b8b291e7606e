"""Whose a bucket's prefix is: its marker, claimed and changed by conditional puts (rule 12 of the storage protocol)."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace

from reelstore.domain.errors import ServerRefused, ServerUnavailable, ShardCorrupt, StorageError
from reelstore.storage.bucket.connection import BucketConnection, Key
from reelstore.storage.bucket.layout import MARKER, QUARANTINE, TRIAL
from reelstore.storage.interface import Marker
from reelstore.storage.marker import MARKER_SIZE_BYTES_MAX, dump_marker, parse_marker, recorded

CHANGES_MAX = 10
"""So many times the marker may have become another before it is written: a gateway writes it once for a round."""
TRYING = "try it out"
_READING, _WRITING = "read the marker", "write the marker"
_STALE_TAG = '"00000000000000000000000000000000"'


class BucketPlace:
    """Prove whose a place is.

    Args:
        connection: leads there.
        server: the server's name, for errors.
        expected: its cluster and its server are those that the place should be of.
    """

    def __init__(self, connection: BucketConnection, server: str, expected: Marker) -> None:
        self._connection = connection
        self._server = server
        self._expected = expected

    async def prove(self, *, claiming: bool = False) -> Marker:
        """Return the marker as it is now.

        Raises:
            ServerRefused: there is none, or it is another's.
        """
        _, marker = await self._own(claiming=claiming)
        return marker

    async def claim(self) -> Marker:
        """Make the place ours if it is nobody's, and return the marker that is there then.

        Of many that claim at once one wins, and the others find its marker. A crash leaves nothing, or the marker.

        Raises:
            ServerRefused: it is another's, or holds something, or the store cannot keep what a server promises.
        """
        if await self._read() is None:
            await self._refuse_what_is_used()
            path = f"{TRIAL}/{os.urandom(16).hex()}"
            try:
                await self._try_out(path)
            except StorageError:
                with suppress(StorageError):
                    await self._connection.delete(path, TRYING)
                raise
            await self._connection.create(MARKER, dump_marker(self._expected), _WRITING)
        return await self.prove(claiming=True)

    async def record_delete_rounds(self, rounds: int, generation: str | None) -> None:
        """Raise the count in the marker; bound to the marker that was read, so that nobody's is lost."""
        for _ in range(CHANGES_MAX):
            key, marker = await self._own()
            changed = recorded(marker, rounds, generation)
            if changed == marker or await self._connection.replace(key, dump_marker(changed), _WRITING):
                return
        raise ServerUnavailable("the marker becomes another again and again", server=self._server)

    async def release(self) -> bool:
        """Take the marker away where nothing else is left but quarantine and trials; return whether it was done."""
        await self.prove()
        left = []
        async for page in self._connection.pages("", "list it"):
            for key in page:
                if key.path.startswith((f"{QUARANTINE}/", f"{TRIAL}/")):
                    left.append(key.path)
                elif key.path != MARKER:
                    return False
        for path in left:
            await self._connection.delete(path, "empty it")
        await self._connection.delete(MARKER, "give it up")
        return True

    async def _own(self, *, claiming: bool = False) -> tuple[Key, Marker]:
        found = await self._read()
        where = self._connection.address
        if found is None:
            raise ServerRefused(f"{where} has no marker {MARKER}: is it the right place?", server=self._server)
        _, marker = found
        if (marker.cluster, marker.server) != (self._expected.cluster, self._expected.server):
            owned = f"{where} belongs to server {marker.server!r} of cluster {marker.cluster!r}"
            hint = f"; if that server was removed, empty the place, its {MARKER} too, and add it again"
            raise ServerRefused(owned + (hint if claiming else ""), server=self._server)
        return found

    async def _read(self) -> tuple[Key, Marker] | None:
        try:
            found = await self._connection.fetch(MARKER, size_bytes_max=MARKER_SIZE_BYTES_MAX, doing=_READING)
            return None if found is None else (found[0], parse_marker(found[1]))
        except (ShardCorrupt, ValueError) as error:
            raise ServerRefused(
                f"the marker {MARKER} in {self._connection.address} cannot be used: {error}", server=self._server
            ) from None

    async def _refuse_what_is_used(self) -> None:
        async for page in self._connection.pages("", "list it"):
            for key in page:
                if not key.path.startswith(f"{TRIAL}/") and key.path != MARKER:
                    raise ServerRefused(
                        f"{self._connection.address} holds other things, such as {key.path!r}: give a prefix of its "
                        f"own, as in {self._connection.address.scheme}://bucket/prefix",
                        server=self._server,
                    )

    async def _try_out(self, path: str) -> None:
        """Do to a path of its own what the driver relies on, and refuse a store that only seems to do it.

        Raises:
            ServerRefused: it ignores conditions, or keeps what is deleted; what it says itself otherwise.
        """
        connection = self._connection
        if not await connection.create(path, b"1", TRYING) or await connection.create(path, b"2", TRYING):
            raise self._unconditional("If-None-Match")
        fetched = await connection.fetch(path, size_bytes_max=1, doing=TRYING)
        if fetched is None or fetched[1] != b"1":
            raise ServerRefused(f"{connection.address} does not give back what was stored", server=self._server)
        key = fetched[0]
        stale = replace(key, e_tag=_STALE_TAG, version="1" if key.version else None)
        if await connection.replace(stale, b"3", TRYING) or not await connection.replace(key, b"4", TRYING):
            raise self._unconditional("If-Match")
        await connection.delete(path, TRYING)
        if await connection.head(path, TRYING) is not None:
            raise ServerRefused(f"{connection.address} keeps what is deleted: is it locked?", server=self._server)

    def _unconditional(self, header: str) -> ServerRefused:
        return ServerRefused(
            f"{self._connection.address} does not keep to conditions ({header}): two clusters could take it at once, "
            "and each delete what the other keeps. Use a store, or a version of it, that does",
            server=self._server,
        )
