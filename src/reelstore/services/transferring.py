"""Copy videos to another policy in the background.

A video's chunks are read, verified, and written once more as an open file under the policy that it is to have, by the
rules for any upload. One transaction then completes that file, gives its chunk map to the video's file and drops what
is left of it; the old chunks are without a reference from then on, and are collected. Until then readers have the old
chunks, afterwards the new ones, of the same bytes: the file's id stays, and with it the ETag of the content.

A crash, a pause or an error leaves the open file for a day: whoever goes on begins at its offset. Leases save double
work, and nothing is safe because of them: of two that write one file, one has its confirm refused.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from reelstore.chunkstore.store import ChunkStore
from reelstore.chunkstore.writing import FileWriter
from reelstore.domain.errors import OffsetConflict, PreconditionFailed, ReelstoreError, StoredFileNotFound
from reelstore.domain.file import FileState, StoredFile
from reelstore.domain.ids import Entropy, random_id
from reelstore.domain.video import Transfer, Video
from reelstore.repositories.interface import Metadata, UnitOfWork
from reelstore.services.attention import Attention, Need
from reelstore.services.control import Paused
from reelstore.services.locations import Locations
from reelstore.services.moves import Moves
from reelstore.services.video_events import video_transferred

KEEP_SECONDS = 24 * 3600.0
LEASE_SECONDS = 60.0
LEASE_RENEW_SECONDS = 20.0
PAGE_TRANSFERS = 100

log = logging.getLogger(__name__)


class Transferring:
    """Carry out transfers.

    Args:
        metadata: what is to be done.
        store: copies.
        locations: in which partitions a file's chunks lie.
        attention: told what is to be collected.
        moves: limits how fast is copied, for all workers together.
        holder: a random id of this process.
        entropy: draws ids of files.
    """

    def __init__(
        self,
        metadata: Metadata,
        store: ChunkStore,
        locations: Locations,
        attention: Attention,
        moves: Moves,
        *,
        holder: str,
        entropy: Entropy,
    ) -> None:
        self._metadata = metadata
        self._store = store
        self._locations = locations
        self._attention = attention
        self._moves = moves
        self._holder = holder
        self._entropy = entropy

    async def step(self) -> int:
        """Carry out what is to be done, one video after the other, but for what another process does.

        Nothing happens while moving is paused; what was copied is kept, and the rest goes on later.

        Returns:
            how many videos have their policy now.

        Raises:
            MetadataUnavailable: a retry can help.
        """
        done, after = 0, ""
        with suppress(Paused):
            while True:
                async with self._metadata.snapshot() as view:
                    page = await view.transfers.list(limit=PAGE_TRANSFERS, after=after)
                for transfer in page:
                    done += await self._lease(transfer) and await self._carry_out(transfer)
                    after = transfer.video_id
                if len(page) < PAGE_TRANSFERS:
                    break
        return done

    async def _lease(self, transfer: Transfer) -> bool:
        async with self._metadata.unit_of_work() as uow:
            taken = await uow.leases.take(
                f"transfer:{transfer.video_id}",
                holder=self._holder,
                now=await uow.now(),
                term_seconds=LEASE_SECONDS,
            )
            await uow.commit()
        return taken

    async def _carry_out(self, transfer: Transfer) -> bool:
        """Copy a video and give it the other policy; return whether it has it now."""
        policy = self._store.topology.present.policy(transfer.policy)
        try:
            transfer, video, file = await self._begin(transfer)
        except _NotWanted:
            return False
        writer = self._store.writer(policy, length_bytes=video.size_bytes, file=file, keep_seconds=KEEP_SECONDS)
        try:
            await self._copy(transfer, video, writer)
            await self._finish(transfer, video, writer)
        except _NotWanted:
            self._attention.add(policy.name, await asyncio.shield(writer.abandon()), Need(collect=True))
            return False
        except (OffsetConflict, StoredFileNotFound):  # ended from elsewhere, or another process writes to it
            await asyncio.shield(writer.leave())
            return False
        except ReelstoreError as error:
            await asyncio.shield(writer.leave())
            log.warning("video %s is not stored under %s yet: %s", video.id, policy.name, error)
            await self._note_problem(transfer, str(error))
            return False
        except BaseException:
            await asyncio.shield(writer.leave())
            raise
        log.info("video %s is stored under %s now", video.id, policy.name)
        return True

    async def _begin(self, transfer: Transfer) -> tuple[Transfer, Video, StoredFile]:
        """Return the open file to go on with; a new one, if need be, is made together with the note of it.

        So whoever calls the transfer off drops the file, too.
        """
        async with self._metadata.unit_of_work() as uow:
            present = await _wanted(uow, transfer)
            video = await uow.videos.get(transfer.video_id)
            if video is None:
                raise _NotWanted
            file = None if present.file_id is None else await uow.files.get(present.file_id)
            if file is not None and file.state is FileState.OPEN:
                return present, video, file
            file = StoredFile(
                id=random_id(self._entropy),
                policy=transfer.policy,
                state=FileState.OPEN,
                offset_bytes=0,
                chunk_count=0,
                length_bytes=video.size_bytes,
                expires_at=await uow.now() + timedelta(seconds=KEEP_SECONDS),
            )
            present = replace(present, file_id=file.id, problem=None)
            await uow.files.add(file)
            await uow.transfers.put(present)
            await uow.commit()
        return present, video, file

    async def _note_problem(self, transfer: Transfer, problem: str) -> None:
        async with self._metadata.unit_of_work() as uow:
            with suppress(_NotWanted):
                await uow.transfers.put(replace(await _wanted(uow, transfer), problem=problem))
                await uow.commit()

    async def _copy(self, transfer: Transfer, video: Video, writer: FileWriter) -> None:
        """Write what the open file does not have yet."""
        clock = asyncio.get_running_loop().time
        leased_at = clock()
        reader = await self._store.read(video.file_id, writer.size_bytes, video.size_bytes)
        try:
            async for piece in reader:
                await self._moves.enter()
                try:
                    await self._moves.begin(piece.nbytes)
                    await writer.write(piece)
                finally:
                    self._moves.leave()
                if clock() - leased_at >= LEASE_RENEW_SECONDS:
                    await self._lease(transfer)
                    leased_at = clock()
        finally:
            await reader.aclose()

    async def _finish(self, transfer: Transfer, video: Video, writer: FileWriter) -> None:
        prefixes: frozenset[int] = frozenset()

        async def swap(uow: UnitOfWork, file: StoredFile, now: datetime) -> None:
            nonlocal prefixes
            await _wanted(uow, transfer)
            present = await uow.videos.get(video.id)
            if present is None:
                raise _NotWanted
            prefixes = (await uow.files.digest_prefixes([present.file_id]))[present.file_id]
            if not await uow.files.take_over(present.file_id, file.id):
                raise _NotWanted
            changed = replace(present, policy=file.policy, version=present.version + 1, updated_at=now)
            if not await uow.videos.update(changed, expected_version=present.version):
                raise PreconditionFailed("the video was changed at the same moment")
            await uow.transfers.delete(video.id)
            await uow.events.add(video_transferred(changed, now, before=present.policy))

        await writer.finish(swap)
        self._attention.add(video.policy, self._locations.partitions(video.policy, prefixes), Need(collect=True))


class _NotWanted(Exception):
    """Say that the transfer was ended, or that the video is to have yet another policy."""


async def _wanted(uow: UnitOfWork, transfer: Transfer) -> Transfer:
    present = await uow.transfers.get(transfer.video_id)
    if present is None or (present.policy, present.requested_at) != (transfer.policy, transfer.requested_at):
        raise _NotWanted
    return present
