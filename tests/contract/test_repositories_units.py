"""What a unit of work and a snapshot promise."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from reelstore.domain.errors import IntegrityViolation, InvalidInput, OffsetConflict
from reelstore.repositories.interface import Metadata, UnitOfWork, VideoQuery
from tests.contract.metadata_values import POLICY, add_file, add_videos, new_chunk, open_file, places, video


async def _file_ids(metadata: Metadata) -> set[str]:
    async with metadata.snapshot() as seen:
        return {file_id for file_id in ("f", "g", "h") if await seen.files.get(file_id) is not None}


async def test_what_is_committed_is_seen_by_the_next_unit_and_the_next_snapshot(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.files.add(open_file("f"))
        await uow.commit()
    assert await _file_ids(metadata) == {"f"}
    async with metadata.unit_of_work() as uow:
        assert await uow.files.get("f") == open_file("f")


async def test_what_is_not_committed_is_rolled_back_in_every_table(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await add_file(uow, "f", [1, 2])
        await uow.files.add(open_file("g"))
        await uow.commit()
    await add_videos(metadata, video("v", tags=("a", "b")))
    async with metadata.snapshot() as seen:
        before = await seen.videos.totals(), await seen.chunks.in_range(POLICY, b"", None)

    async with metadata.unit_of_work() as uow:
        await add_file(uow, "h", [2, 3])
        await uow.videos.delete("v")
        await uow.files.delete("f")
        await uow.chunks.delete_unreferenced(POLICY, b"", None)
        await uow.files.renew("g", expires_at=datetime(2030, 1, 1, tzinfo=UTC))

    async with metadata.snapshot() as seen:
        assert (await seen.videos.totals(), await seen.chunks.in_range(POLICY, b"", None)) == before
        assert await seen.videos.list(VideoQuery(tags=("b",), words=("title",))) == [video("v", tags=("a", "b"))]
        assert len(await seen.files.references("f", 0, 10)) == 2
        assert await seen.files.get("g") == open_file("g")
        assert await seen.files.unshared_bytes("f") == 20


async def test_an_exception_rolls_back_and_comes_out(metadata: Metadata) -> None:
    async def fail() -> None:
        async with metadata.unit_of_work() as uow:
            await uow.files.add(open_file("f"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await _file_ids(metadata) == set()


async def test_a_second_writer_waits_for_the_first(metadata: Metadata) -> None:
    order = []

    async def second() -> None:
        async with metadata.unit_of_work() as uow:
            order.append(await uow.files.get("f"))

    async with metadata.unit_of_work() as uow:
        waiting = asyncio.create_task(second())
        await asyncio.sleep(0.02)
        await uow.files.add(open_file("f"))
        await asyncio.sleep(0.02)
        assert order == []
        await uow.commit()
        await asyncio.wait_for(waiting, 10)  # commit lets the next one in, before the block is left
    assert order == [open_file("f")]


async def test_writers_come_in_the_order_of_asking(metadata: Metadata) -> None:
    order: list[int] = []

    async def writer(number: int) -> None:
        async with metadata.unit_of_work() as uow:
            await asyncio.sleep(0)
            await uow.now()
            order.append(number)

    await asyncio.gather(*(writer(number) for number in range(20)))
    assert order == list(range(20))


async def test_a_snapshot_sees_nothing_uncommitted_and_does_not_wait(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await add_file(uow, "f", [1])
        assert await _file_ids(metadata) == set()
        async with metadata.snapshot() as seen:
            assert await seen.chunks.in_range(POLICY, b"", None) == []
            await uow.files.add(open_file("g"))
            await uow.commit()
            assert await seen.files.get("g") is None
    assert await _file_ids(metadata) == {"f", "g"}


async def test_a_snapshot_is_of_the_moment_it_began(metadata: Metadata) -> None:
    async with metadata.snapshot() as seen:
        async with metadata.unit_of_work() as uow:
            await uow.files.add(open_file("f"))
            await uow.commit()
        assert await seen.files.get("f") is None
        async with metadata.unit_of_work() as uow:
            await uow.files.delete("f")
            await uow.files.add(open_file("g"))
        assert await seen.files.get("f") is None
    assert await _file_ids(metadata) == {"f"}


async def test_snapshots_of_different_moments_stay_apart(metadata: Metadata) -> None:
    async with metadata.snapshot() as first:
        async with metadata.unit_of_work() as uow:
            await uow.files.add(open_file("f"))
            await uow.commit()
        async with metadata.snapshot() as second:
            async with metadata.unit_of_work() as uow:
                await uow.files.delete("f")
                await uow.commit()
            assert await first.files.get("f") is None
            assert await second.files.get("f") == open_file("f")
    assert await _file_ids(metadata) == set()


async def test_a_snapshot_refuses_to_write_to_lock_and_to_commit(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.files.add(open_file("f"))
        await uow.commit()
    async with metadata.snapshot() as seen:
        with pytest.raises(RuntimeError):
            await seen.files.add(open_file("g"))
        with pytest.raises(RuntimeError):
            await seen.files.get("f", lock=True)
        with pytest.raises(RuntimeError):
            await seen.rings.head(lock=True)
        with pytest.raises(RuntimeError):
            await seen.commit()
        assert await seen.files.get("f") == open_file("f")
    assert await _file_ids(metadata) == {"f"}


async def test_a_unit_cannot_be_used_after_its_end(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.commit()
        with pytest.raises(RuntimeError):
            await uow.files.add(open_file("f"))
        with pytest.raises(RuntimeError):
            await uow.commit()
    async with metadata.snapshot() as seen:
        pass
    with pytest.raises(RuntimeError):
        await seen.files.get("f")
    assert await _file_ids(metadata) == set()


async def test_a_unit_that_failed_can_only_be_rolled_back(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.files.add(open_file("f"))
        with pytest.raises(IntegrityViolation):
            await uow.files.add(open_file("f"))
        with pytest.raises(IntegrityViolation):
            await uow.files.get("f")
        with pytest.raises(IntegrityViolation):
            await uow.commit()
    assert await _file_ids(metadata) == set()
    async with metadata.unit_of_work() as uow:
        await uow.files.add(open_file("g"))
        await uow.commit()
    assert await _file_ids(metadata) == {"g"}


async def test_a_refused_query_leaves_the_unit_usable(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.files.add(open_file("f"))
        with pytest.raises(InvalidInput):
            await uow.videos.list(VideoQuery(limit=0))
        await uow.commit()
    assert await _file_ids(metadata) == {"f"}


async def test_what_is_transacted_is_committed_and_gives_its_result(metadata: Metadata) -> None:
    async def work(uow: UnitOfWork) -> str:
        await uow.files.add(open_file("f"))
        found = await uow.files.get("f")
        return found.id if found else "none"

    assert await metadata.transact(work) == "f"
    assert await _file_ids(metadata) == {"f"}


async def test_what_raises_while_it_is_transacted_leaves_nothing_and_lets_the_next_writer_in(
    metadata: Metadata,
) -> None:
    async def refuse(uow: UnitOfWork) -> None:
        await uow.files.add(open_file("f"))
        raise OffsetConflict("no")

    async def work(uow: UnitOfWork) -> None:
        await uow.files.add(open_file("g"))

    with pytest.raises(OffsetConflict, match="no"):
        await metadata.transact(refuse)
    assert await _file_ids(metadata) == set()
    await metadata.transact(work)
    assert await _file_ids(metadata) == {"g"}


async def test_a_cancelled_transaction_is_committed_whole_or_not_at_all(metadata: Metadata) -> None:
    async def work(uow: UnitOfWork) -> None:
        for file_id in ("f", "g", "h"):
            await uow.files.add(open_file(file_id))

    for wait_seconds in (0.0, 0.0005, 0.002, 0.01):
        task = asyncio.create_task(metadata.transact(work))
        await asyncio.sleep(wait_seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        found = await _file_ids(metadata)
        assert found in (set(), {"f", "g", "h"})
        async with metadata.unit_of_work() as uow:
            for file_id in found:
                await uow.files.delete(file_id)
            await uow.commit()


async def test_a_cancelled_unit_rolls_back_and_lets_the_next_writer_in(metadata: Metadata) -> None:
    begun = asyncio.Event()

    async def writer() -> None:
        async with metadata.unit_of_work() as uow:
            await uow.files.add(open_file("f"))
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(writer())
    await begun.wait()
    waiting = asyncio.create_task(metadata.unit_of_work().__aenter__())
    await asyncio.sleep(0.01)
    waiting.cancel()
    task.cancel()
    await asyncio.gather(task, waiting, return_exceptions=True)
    async with metadata.unit_of_work() as uow:
        assert await uow.files.get("f") is None
        await uow.files.add(open_file("g"))
        await uow.commit()
    assert await _file_ids(metadata) == {"g"}


async def test_time_is_utc_and_near_ours(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        now = await uow.now()
    assert now.tzinfo is UTC
    assert abs(now - datetime.now(UTC)) < timedelta(minutes=5)


async def test_closing_twice_is_fine(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.chunks.obtain(POLICY, [new_chunk(1)])
        await uow.commit()
    await metadata.close()
    await metadata.close()


async def test_two_hundred_commits_at_once_all_count(metadata: Metadata) -> None:
    async def writer(number: int) -> None:
        async with metadata.unit_of_work() as uow:
            file = open_file(f"f{number}")
            await uow.files.add(file)
            await uow.files.set_references(file.id, places(await uow.chunks.obtain(POLICY, [new_chunk(number % 7)])))
            await uow.commit()

    await asyncio.gather(*(writer(number) for number in range(200)))
    async with metadata.snapshot() as seen:
        totals = await seen.videos.totals()
    assert (totals.open_files, totals.chunks, totals.chunk_bytes) == (200, 7, 70)
