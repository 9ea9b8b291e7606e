"""Give videos another policy: ask for it, and see how far it is. `transferring.py` does it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from reelstore.domain.errors import PolicyNotFound, VideoStateConflict
from reelstore.domain.file import FileState
from reelstore.domain.video import Transfer, Video, VideoState
from reelstore.repositories.interface import Metadata, UnitOfWork
from reelstore.services.lookup import SHOWN_LENGTH_MAX, expected_video

LISTED_MAX = 1000


@dataclass(frozen=True, slots=True)
class TransferView:
    """A video on its way to another policy.

    Args:
        video_id, name, size_bytes: the video's.
        policy, policy_before: what it is to have, and what it has until everything is copied.
        bytes_copied: how much of it is durable under the policy that it is to have.
        requested_at: in UTC.
        problem: what went wrong the last time; it is tried again. None while all is well.
    """

    video_id: str
    name: str
    size_bytes: int
    policy: str
    policy_before: str
    bytes_copied: int
    requested_at: datetime
    problem: str | None


class Transfers:
    """Keep the list of what is to be transferred.

    Args:
        metadata: where it is kept.
    """

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    async def request(self, video_id: str, policy: str, *, expected_version: int | None) -> Video:
        """Have a video stored under another policy, in the background; it can be read all the time.

        Asking again changes nothing; asking for the policy that it has ends a transfer that is under way.

        Args:
            video_id: which.
            policy: which one.
            expected_version: act only on this version of the video; None for any.

        Returns:
            the video as it is: its policy is another once everything is copied.

        Raises:
            PreconditionFailed: its version is not the expected one; read it again.
            VideoNotFound, PolicyNotFound, VideoStateConflict: a retry does not help.
        """
        async with self._metadata.unit_of_work() as uow:
            video = expected_video(await uow.videos.get(video_id), video_id, expected_version)
            if video.state is VideoState.TRASHED:
                raise VideoStateConflict("the video is in the trash; restore it first")
            if policy not in {each.name for each in await uow.policies.list()}:
                shown = policy[:SHOWN_LENGTH_MAX]
                raise PolicyNotFound(f"there is no policy {shown!r}", key=shown)
            present = await uow.transfers.get(video_id)
            if policy == (video.policy if present is None else present.policy):
                return video
            await forget_transfer(uow, video_id)
            if policy != video.policy:
                await uow.transfers.put(Transfer(video_id, policy, await uow.now()))
            await uow.commit()
        return video

    async def list(self) -> tuple[TransferView, ...]:
        """Return up to `LISTED_MAX` transfers, in order of the video's id."""
        async with self._metadata.snapshot() as view:
            return tuple(
                [
                    await _described(view, transfer, video)
                    for transfer in await view.transfers.list(limit=LISTED_MAX)
                    if (video := await view.videos.get(transfer.video_id)) is not None
                ]
            )


async def _described(view: UnitOfWork, transfer: Transfer, video: Video) -> TransferView:
    file = None if transfer.file_id is None else await view.files.get(transfer.file_id)
    return TransferView(
        video_id=video.id,
        name=video.name,
        size_bytes=video.size_bytes,
        policy=transfer.policy,
        policy_before=video.policy,
        bytes_copied=0 if file is None else file.offset_bytes,
        requested_at=transfer.requested_at,
        problem=transfer.problem,
    )


async def forget_transfer(uow: UnitOfWork, video_id: str) -> None:
    """End a video's transfer, if there is one, and drop what was copied: it becomes garbage."""
    transfer = await uow.transfers.get(video_id)
    if transfer is None:
        return
    await uow.transfers.delete(video_id)
    if transfer.file_id is not None:
        file = await uow.files.get(transfer.file_id, lock=True)
        if file is not None and file.state is FileState.OPEN:
            await uow.files.delete(file.id)
