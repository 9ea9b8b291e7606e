"""`DirectoryServer`: a `StorageServer` on a folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TypeVar

from reelstore.domain.chunk import ShardName
from reelstore.domain.errors import InvalidInput, ServerRefused, ServerUnavailable, StorageError
from reelstore.storage.checks import check_capacity, check_policy, check_size, check_span
from reelstore.storage.directory import listing, quarantine, strays
from reelstore.storage.directory.layout import MARKER
from reelstore.storage.directory.leaving import leave
from reelstore.storage.directory.os_errors import storage_error
from reelstore.storage.directory.place import Place, make_folder
from reelstore.storage.directory.shard_files import ShardFiles
from reelstore.storage.directory.space import Space
from reelstore.storage.directory.survey import survey
from reelstore.storage.interface import ByteString, Marker, QuarantinedCopy, ShardEntry, Stray, Usage
from reelstore.storage.marker import recorded

THREADS = 8
BATCH = 512  # entries that a listing fetches at a time
SURVEY_WAIT_SECONDS = 1.0

T = TypeVar("T")


class DirectoryServer:
    """Keep shards as files below a folder of one file system.

    See `StorageServer`, `Quarantining`, `Adopting`, `Releasing`, `Resizable`, `Verifying` and `StrayReporting`. What
    differs, or is decided here:

    - The folder is held open and locked; one process at a time has it. A folder that was deleted, or lost its marker,
      fails every call with `ServerRefused`: it is never taken for an empty one. `check` also sees that the path leads
      elsewhere (unmounted, moved, replaced) and then lets the folder go; a later `check` takes it up again once the
      path leads to a folder with this server's marker.
    - All work is done in threads of its own. A `put` whose caller is cancelled leaves nothing under the name or all
      of the bytes; a call that is cancelled otherwise may still take effect.
    - Used bytes are counted in the background once the folder is opened; `attach` (or `check`) waits for that for at
      most one second. Until it is done, `usage` tells what was counted so far.
    - A delete is not synced; see `ShardFiles.delete`.

    Args:
        name: the server's name in the cluster.
        path: the folder, absolute.
        capacity_bytes: what all shards may take together; None: what the file system has.
        reserve_bytes: what is left free on the file system; None: 2 % of it, at most 1 GiB.
        threads: how many calls are at work at a time.

    Raises:
        InvalidInput: a relative path, a capacity below 1 or a reserve below 0.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        *,
        capacity_bytes: int | None = None,
        reserve_bytes: int | None = None,
        threads: int = THREADS,
    ) -> None:
        if not path.is_absolute():
            raise InvalidInput(f"the path of a folder must be absolute, not {path}", field="url")
        if reserve_bytes is not None and reserve_bytes < 0:
            raise InvalidInput("the reserve must not be below 0", field="reserve_bytes")
        self._name = name
        self._path = path
        self._capacity_bytes = check_capacity(capacity_bytes)
        self._reserve_bytes = reserve_bytes
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._expected: Marker | None = None
        self._opened: _Opened | None = None
        self._absence: tuple[type[StorageError], str] = (ServerUnavailable, "the server is not attached")
        self._changing = Lock()  # of what is opened, and of the marker; taken in threads only

    @property
    def name(self) -> str:
        """See `StorageServer`."""
        return self._name

    def resize(self, capacity_bytes: int) -> None:
        """See `Resizable`."""
        self._capacity_bytes = check_capacity(capacity_bytes)
        if self._opened is not None:
            self._opened.space.resize(capacity_bytes)

    async def attach(self, marker: Marker, *, claim: bool) -> Marker:
        """See `StorageServer`. A claim makes the folder too; it refuses one that holds anything but `lost+found`."""
        self._expected = marker
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix=f"storage-{self._name}")
        return await self._verify(self._pool, marker, claim=claim)

    async def check(self) -> Marker:
        """See `StorageServer`."""
        if self._pool is None or self._expected is None:
            raise self._absent()
        return await self._verify(self._pool, self._expected, claim=False)

    async def record_delete_rounds(self, rounds: int, *, generation: str | None = None) -> None:
        """See `StorageServer`."""

        def work(opened: _Opened) -> None:
            with self._changing:
                marker = self._own_marker(opened.place)
                changed = recorded(marker, rounds, generation)
                if changed != marker:
                    opened.place.write_marker(changed)

        await self._run("cannot write the marker", work)

    async def put(self, name: ShardName, data: ByteString) -> None:
        """See `StorageServer`. The bytes are written from where they are; they must not change before this returns."""
        view = memoryview(data).cast("B")
        check_size(len(view))
        abandoned = False
        try:
            await self._run(
                "cannot store a shard", lambda opened: opened.files.put(name, view, abandoned=lambda: abandoned)
            )
        except asyncio.CancelledError:
            abandoned = True
            raise

    async def receive(self, name: ShardName, size_bytes: int, pieces: AsyncIterator[bytes]) -> None:
        """Store a shard while its bytes arrive; see `put`. Where the pieces end in an error, nothing was changed.

        Args:
            name: the shard.
            size_bytes: how many bytes will come.
            pieces: the bytes; each is written before the next is asked for, and nothing waits for them in a thread.

        Raises:
            InvalidInput: they were more or fewer bytes, or the shard is too large.
        """
        check_size(size_bytes)
        opened = self._require_opened()

        async def work(job: Callable[[], T]) -> T:
            return await _to_its_end(self._run("cannot store a shard", lambda _: job(), opened))

        with ExitStack() as begun:
            incoming = await work(lambda: begun.enter_context(opened.files.incoming(name, size_bytes)))
            received = 0
            async for piece in pieces:
                received += len(piece)
                if received > size_bytes:
                    break
                await work(partial(incoming.write, memoryview(piece)))
            if received != size_bytes:
                raise InvalidInput(f"a shard of {size_bytes} bytes came with {received}", field="shard")
            await work(incoming.store)
            await work(begun.pop_all().close)

    async def get(self, name: ShardName, start: int = 0, stop: int | None = None) -> bytes:
        """See `StorageServer`."""
        check_span(start, stop)
        return await self._run("cannot read a shard", lambda opened: opened.files.get(name, start, stop))

    async def stat(self, name: ShardName) -> ShardEntry | None:
        """See `StorageServer`."""
        return await self._run("cannot look for a shard", lambda opened: opened.files.stat(name))

    async def delete(self, name: ShardName) -> bool:
        """See `StorageServer`."""
        return await self._run("cannot delete a shard", lambda opened: opened.files.delete(name))

    async def list(self, policy: str, start: bytes, stop: bytes | None) -> AsyncIterator[ShardEntry]:
        """See `StorageServer`."""
        check_policy(policy)
        doing, opened = "cannot list shards", self._require_opened()
        found = listing.shards(opened.place, policy, start, stop)
        while batch := await self._run(doing, lambda _: tuple(islice(found, BATCH)), opened):
            for entry in batch:
                yield entry

    async def find(self, policy: str, digest: bytes) -> Sequence[ShardEntry]:
        """See `StorageServer`."""
        check_policy(policy)
        return await self._run(
            "cannot look for shards",
            lambda opened: tuple(listing.shards(opened.place, policy, digest, digest + b"\0")),
        )

    async def usage(self) -> Usage:
        """See `StorageServer`."""
        return await self._run("cannot ask how full it is", lambda opened: opened.space.usage())

    async def close(self) -> None:
        """See `StorageServer`. Waits for the calls at work; the server may be attached again."""
        pool, self._pool = self._pool, None

        def finish() -> None:
            self._let_go(ServerUnavailable, "the server was closed")  # so that long work ends early
            if pool is not None:
                pool.shutdown()
            self._let_go(ServerUnavailable, "the server was closed")  # what an `attach` at work opened meanwhile

        await asyncio.to_thread(finish)

    async def set_aside(self, name: ShardName) -> None:
        """See `Quarantining`. At most 1,000 copies, and 5 % of the capacity."""

        def work(opened: _Opened) -> None:
            quarantine.set_aside(opened.place, name, capacity_bytes=opened.space.usage().capacity_bytes)

        await self._run("cannot set a shard aside", work)

    async def quarantined(self, limit: int) -> Sequence[QuarantinedCopy]:
        """See `Quarantining`."""
        return await self._run("cannot list the quarantine", lambda opened: quarantine.quarantined(opened.place, limit))

    async def drop_quarantined(self, before: datetime) -> Sequence[QuarantinedCopy]:
        """See `Quarantining`."""
        return await self._run(
            "cannot empty the quarantine", lambda opened: quarantine.drop_quarantined(opened.place, before)
        )

    async def adopt(self, old: ShardName, new: ShardName) -> bool:
        """See `Adopting`. The two names share their bytes, where the file system has hard links."""
        return await self._run("cannot adopt a shard", lambda opened: opened.files.adopt(old, new))

    async def release(self) -> bool:
        """See `Releasing`. The folder itself stays, empty but for what is not ours."""

        def work(opened: _Opened) -> bool:
            left = leave(opened.place)
            if left:
                opened.place.release()  # while it is held alone: a call that waits for it finds it gone
            return left

        left = await self._run("cannot give the folder up", work, alone=True)
        if left:
            await asyncio.to_thread(self._note_given_up)
        return left

    def _note_given_up(self) -> None:
        with self._changing:
            self._let_go(ServerRefused, f"the folder {self._path} was given up")

    async def digest(self, name: ShardName) -> bytes:
        """See `Verifying`."""
        return await self._run("cannot hash a shard", lambda opened: opened.files.digest(name))

    async def strays(self, limit: int) -> Sequence[Stray]:
        """See `StrayReporting`."""
        return await self._run("cannot look for strays", lambda opened: strays.strays(opened.place, limit))

    async def _run(
        self, doing: str, work: Callable[[_Opened], T], opened: _Opened | None = None, *, alone: bool = False
    ) -> T:
        """Do blocking work on what is open in a thread; every `OSError` becomes a `StorageError`."""
        of = self._require_opened() if opened is None else opened

        def job() -> T:
            with of.place.alone() if alone else of.place.held():
                try:
                    return work(of)
                except OSError as error:
                    raise of.place.explain(error, doing) from error

        if self._pool is None:
            raise self._absent()
        return await asyncio.get_running_loop().run_in_executor(self._pool, job)

    async def _verify(self, pool: ThreadPoolExecutor, marker: Marker, *, claim: bool) -> Marker:
        """Prove what is open, or open what the path leads to; a survey of it is begun if none was."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(pool, lambda: self._verify_or_open(marker, claim=claim))
        opened = self._opened
        if opened is not None and opened.survey is None and pool is self._pool:
            opened.survey = loop.run_in_executor(pool, survey, opened.place, opened.space)
            await asyncio.wait({opened.survey}, timeout=SURVEY_WAIT_SECONDS)
        return found

    def _verify_or_open(self, marker: Marker, *, claim: bool) -> Marker:
        with self._changing:
            opened = self._opened
            try:
                if opened is not None:
                    with opened.place.held():
                        if opened.place.is_at_its_path():
                            return self._own_marker(opened.place)
                    self._let_go(ServerUnavailable, f"the path {self._path} no longer leads to the folder")
                place, found = self._open(marker, claim=claim)
            except OSError as error:
                raise storage_error(error, server=self._name, doing=f"cannot open {self._path}") from error
            except StorageError as error:
                self._let_go(type(error), str(error))
                raise
            space = Space(place, capacity_bytes=self._capacity_bytes, reserve_bytes=self._reserve_bytes)
            self._opened = _Opened(place, space, ShardFiles(place, space))
            space.resize(self._capacity_bytes)  # again: `resize` takes no lock, and may have come in between
            return found

    def _open(self, marker: Marker, *, claim: bool) -> tuple[Place, Marker]:
        if claim:
            make_folder(self._path, server=self._name)
        place = Place(self._name, self._path)
        try:
            if claim:
                if place.read_marker() is None:
                    place.claim(marker)
                place.sync_path()
            return place, self._own_marker(place, claim=claim)
        except BaseException:
            place.release()
            raise

    def _own_marker(self, place: Place, *, claim: bool = False) -> Marker:
        """Read the marker, and make sure that it is ours."""
        found, expected = place.read_marker(), self._expected
        if found is None:
            raise ServerRefused(
                f"the folder {self._path} has no marker {MARKER}: is its disk mounted?", server=self._name
            )
        if expected is None or (found.cluster, found.server) != (expected.cluster, expected.server):
            owned = f"the folder {self._path} belongs to server {found.server!r} of cluster {found.cluster!r}"
            hint = f"; if that server was removed, empty the folder, its {MARKER} too, and add it again"
            raise ServerRefused(owned + (hint if claim else ""), server=self._name)
        return found

    def _let_go(self, kind: type[StorageError], message: str) -> None:
        self._absence = (kind, message)
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.place.release()

    def _require_opened(self) -> _Opened:
        opened = self._opened
        if opened is None:
            raise self._absent()
        return opened

    def _absent(self) -> StorageError:
        kind, message = self._absence
        return kind(message, server=self._name)


async def _to_its_end(work: Awaitable[T]) -> T:
    """Wait for work in a thread even when cancelled: what it works on is closed afterwards."""
    working = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(working)
    finally:
        while not working.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({working})


@dataclass(slots=True)
class _Opened:
    """What is there between an attach and the moment when the folder is let go."""

    place: Place
    space: Space
    files: ShardFiles
    survey: asyncio.Future[None] | None = None
