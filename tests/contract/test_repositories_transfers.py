"""What the metadata promises of videos on their way to another policy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reelstore.domain.errors import IntegrityViolation
from reelstore.domain.file import FileState
from reelstore.domain.video import Transfer
from reelstore.repositories.interface import Metadata, NewChunk, UnitOfWork
from tests.contract.metadata_values import NOW, SIZE_BYTES, add_file, add_videos, digest, open_file, places, video


async def complete(uow: UnitOfWork, file_id: str, numbers: list[int], *, policy: str = "default") -> None:
    if policy == "default":
        await add_file(uow, file_id, numbers)
    else:
        await uow.files.add(open_file(file_id, policy=policy))
        new = [NewChunk(f"{policy}{number}", digest(number), SIZE_BYTES) for number in numbers]
        await uow.files.set_references(file_id, places(await uow.chunks.obtain(policy, new)))
        size_bytes, count = len(numbers) * SIZE_BYTES, len(numbers)
        await uow.files.advance(
            file_id, from_offset_bytes=0, to_offset_bytes=size_bytes, chunk_count=count, expires_at=NOW
        )
    assert await uow.files.complete(file_id, length_bytes=len(numbers) * SIZE_BYTES)


async def test_a_transfer_is_kept_replaced_listed_and_forgotten(metadata: Metadata) -> None:
    await add_videos(metadata, *(video(name) for name in ("v1", "v2", "v3")))
    kept = {name: Transfer(name, "coded", NOW) for name in ("v3", "v1", "v2")}
    async with metadata.unit_of_work() as uow:
        assert await uow.transfers.list(limit=9) == []
        for transfer in kept.values():
            await uow.transfers.put(transfer)
        assert await uow.transfers.list(limit=2) == [kept["v1"], kept["v2"]]
        assert await uow.transfers.list(limit=2, after="v2") == [kept["v3"]]
        other = replace(kept["v1"], policy="wide", file_id="f9", problem="straße")
        await uow.transfers.put(other)
        assert await uow.transfers.get("v1") == other
        assert await uow.transfers.get("v") is None
        assert await uow.transfers.delete("v2")
        assert not await uow.transfers.delete("v2")
        assert await uow.videos.delete("v3")
        assert await uow.transfers.list(limit=9) == [other]
        await uow.commit()
    async with metadata.snapshot() as view:
        assert await view.transfers.list(limit=9) == [other]


async def test_a_transfer_needs_its_video(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        with pytest.raises(IntegrityViolation):
            await uow.transfers.put(Transfer("never", "coded", NOW))


async def test_a_file_takes_over_another_ones_chunks_and_keeps_its_id(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await complete(uow, "f", [1, 2, 3])
        await complete(uow, "g", [1, 2, 3], policy="wide")
        await uow.videos.add(video("v"))
        before = await uow.files.get("f")
        assert before is not None
        assert await uow.files.take_over("f", "g")
        assert await uow.files.get("f") == replace(before, policy="wide")
        assert await uow.files.get("g") is None
        chunks = [place.chunk for place in await uow.files.chunk_map("f", 0, 99, limit=9)]
        assert [(chunk.policy, chunk.digest) for chunk in chunks] == [("wide", digest(number)) for number in (1, 2, 3)]
        gone = await uow.chunks.delete_unreferenced("default", bytes(32), None)
        assert {chunk.id for chunk in gone} == {"c1", "c2", "c3"}
        assert await uow.chunks.delete_unreferenced("wide", bytes(32), None) == []
        assert await uow.files.unshared_bytes("f") == 3 * SIZE_BYTES


async def test_only_complete_files_of_one_length_are_taken_over(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await complete(uow, "f", [1, 2, 3])
        await complete(uow, "short", [1, 2], policy="wide")
        await uow.files.add(open_file("open"))
        for file_id, other in (
            ("f", "short"),
            ("f", "open"),
            ("open", "f"),
            ("f", "never"),
            ("never", "f"),
            ("f", "f"),
        ):
            assert not await uow.files.take_over(file_id, other), (file_id, other)
        assert len(await uow.files.chunk_map("f", 0, 99, limit=9)) == 3
        file = await uow.files.get("f")
        assert file is not None
        assert file.state is FileState.COMPLETE


async def test_a_file_that_a_video_has_is_not_taken_from_it(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await complete(uow, "f", [1])
        await complete(uow, "g", [1], policy="wide")
        await uow.videos.add(video("v", file_id="g"))
        with pytest.raises(IntegrityViolation):
            await uow.files.take_over("f", "g")
