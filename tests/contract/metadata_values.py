"""Values for the tests of the metadata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reelstore.domain.chunk import Chunk, ChunkRef
from reelstore.domain.file import FileState, StoredFile
from reelstore.domain.video import Video, VideoState
from reelstore.placement.builder import first_ring
from reelstore.placement.ring import Member, RingSet
from reelstore.repositories.interface import Metadata, NewChunk, UnitOfWork

POLICY = "default"
NOW = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)
SIZE_BYTES = 10


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def digest(number: int) -> bytes:
    """Spread over the whole range: the low byte comes first."""
    return number.to_bytes(32, "little")


def new_chunk(number: int, *, id: str | None = None) -> NewChunk:  # noqa: A002  # as the field is called
    return NewChunk(id or f"c{number}", digest(number), SIZE_BYTES)


def open_file(file_id: str = "f", **changes: Any) -> StoredFile:
    file = StoredFile(file_id, POLICY, FileState.OPEN, 0, 0, None, later(60))
    return replace(file, **changes)


def video(video_id: str = "v", **changes: Any) -> Video:
    made = Video(
        id=video_id,
        name="name.mp4",
        title="Title",
        description="",
        tags=(),
        state=VideoState.STORED,
        file_id="f",
        policy=POLICY,
        size_bytes=1,
        content_type="video/mp4",
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(made, **changes)


def places(chunks: Sequence[Chunk], *, start_position: int = 0) -> list[ChunkRef]:
    return [
        ChunkRef(start_position + step, (start_position + step) * SIZE_BYTES, chunk)
        for step, chunk in enumerate(chunks)
    ]


async def add_file(uow: UnitOfWork, file_id: str, numbers: Sequence[int], *, confirmed: int | None = None) -> None:
    """Keep an open file of these chunks, the first `confirmed` (or all) of them confirmed."""
    await uow.files.add(open_file(file_id))
    chunks = await uow.chunks.obtain(POLICY, [new_chunk(number) for number in numbers])
    await uow.files.set_references(file_id, places(chunks))
    count = len(numbers) if confirmed is None else confirmed
    assert await uow.files.advance(
        file_id, from_offset_bytes=0, to_offset_bytes=count * SIZE_BYTES, chunk_count=count, expires_at=later(60)
    )


async def add_videos(metadata: Metadata, *videos: Video) -> None:
    async with metadata.unit_of_work() as uow:
        if await uow.files.get("f") is None:
            await uow.files.add(open_file("f"))
        for each in videos:
            await uow.videos.add(each)
        await uow.commit()


def ring_set(epoch: int) -> RingSet:
    def draw(count: int) -> NDArray[np.uint64]:
        return np.arange(1, count + 1, dtype=np.uint64)

    members = [Member(number, zone=f"z{number}", weight=1) for number in range(3)]
    ring = first_ring(POLICY, members, partition_bits=4, width=2, draw=draw, epoch=epoch)
    return RingSet(epoch, {POLICY: ring})
