"""Rules 3, 5, 7 and 11 on a real PostgreSQL: two processes, each with connections of its own, at the worst moments.

A transaction is held open at a chosen point, the other one is begun, and only then the first goes on.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from reelstore.domain.chunk import Chunk
from reelstore.domain.errors import Conflict, IntegrityViolation
from reelstore.repositories.interface import Metadata, UnitOfWork
from reelstore.repositories.sql import SqlMetadata
from tests.contract.metadata_values import NOW, POLICY, add_file, new_chunk, open_file, places, ring_set, video
from tests.postgres import Postgres

MOMENT_SECONDS = 0.15


@dataclass
class Held:
    """Work that stops in the middle of its transaction until it is let go."""

    reached: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)

    def stop_here(self) -> None:
        self.reached.set()
        assert self.let_go.wait(30)

    async def until_reached(self) -> None:
        assert await asyncio.to_thread(self.reached.wait, 30)


@pytest.fixture
async def gateway(postgres_url: str) -> AsyncIterator[Metadata]:
    metadata = await SqlMetadata.open(postgres_url)
    async with metadata.unit_of_work() as uow:
        await uow.rings.add(ring_set(1), reason="first", at=NOW)
        await uow.partitions.add(POLICY, 4, epoch=1)
        await uow.commit()
    yield metadata
    await metadata.close()


@pytest.fixture
async def worker(postgres_url: str) -> AsyncIterator[Metadata]:
    metadata = await SqlMetadata.open(postgres_url)
    yield metadata
    await metadata.close()


async def _is_waiting(task: asyncio.Task[Any]) -> bool:
    await asyncio.sleep(MOMENT_SECONDS)
    return not task.done()


def _confirm(held: Held, *numbers: int) -> Callable[[UnitOfWork], Awaitable[int]]:
    async def work(uow: UnitOfWork) -> int:
        epoch = await uow.rings.head(lock=True)
        await add_file(uow, "f", numbers)
        await uow.partitions.raise_versions(POLICY, [2])
        held.stop_here()
        return epoch

    return work


# ---------------------------------------------------------------------- rules 3 and 11


async def test_an_epoch_waits_for_a_confirm_under_way_and_sees_what_it_confirmed(
    gateway: Metadata, worker: Metadata
) -> None:
    held = Held()

    async def apply() -> tuple[int, int]:
        async with worker.unit_of_work() as uow:
            await uow.rings.head(lock=True)
            found = len(await uow.chunks.in_range(POLICY, b"", None))
            state = await uow.partitions.get(POLICY, 2)
            await uow.rings.add(ring_set(2), reason="second", at=NOW)
            await uow.commit()
        assert state is not None
        return found, state.version

    confirming = asyncio.create_task(gateway.transact(_confirm(held, 1)))
    await held.until_reached()
    applying = asyncio.create_task(apply())
    assert await _is_waiting(applying)
    held.let_go.set()
    assert await confirming == 1
    assert await applying == (1, 1)


async def test_a_confirm_waits_for_an_epoch_under_way_and_meets_the_new_one(
    gateway: Metadata, worker: Metadata
) -> None:
    async def look(uow: UnitOfWork) -> int:
        return await uow.rings.head(lock=True)

    async with worker.unit_of_work() as uow:
        await uow.rings.add(ring_set(2), reason="second", at=NOW)
        confirming = asyncio.create_task(gateway.transact(look))
        assert await _is_waiting(confirming)
        async with gateway.snapshot() as view:  # who only reads waits for nobody
            assert await view.rings.head() == 1
        await uow.commit()
        assert await confirming == 2


async def test_confirms_of_two_gateways_run_side_by_side(gateway: Metadata, worker: Metadata) -> None:
    held = Held()

    async def other(uow: UnitOfWork) -> int:
        epoch = await uow.rings.head(lock=True)
        await uow.files.add(open_file("g"))
        return epoch

    async def first(uow: UnitOfWork) -> None:
        await uow.rings.head(lock=True)
        await uow.files.add(open_file("f"))
        held.stop_here()

    confirming = asyncio.create_task(gateway.transact(first))
    await held.until_reached()
    assert await worker.transact(other) == 1
    held.let_go.set()
    await confirming


async def test_of_two_epochs_at_once_one_is_refused(gateway: Metadata, worker: Metadata) -> None:
    async def apply(metadata: Metadata) -> None:
        async with metadata.unit_of_work() as uow:
            await uow.rings.head(lock=True)
            await asyncio.sleep(0.01)
            await uow.rings.add(ring_set(2), reason="second", at=NOW)
            await uow.commit()

    results = await asyncio.gather(apply(gateway), apply(worker), return_exceptions=True)
    assert {type(result) for result in results} == {type(None), Conflict}


async def test_a_stream_of_confirms_does_not_keep_an_epoch_waiting(gateway: Metadata, worker: Metadata) -> None:
    begun = asyncio.Event()

    async def confirm_for_ever() -> None:
        async def work(uow: UnitOfWork) -> None:
            await uow.rings.head(lock=True)
            await uow.files.get("f")

        while True:
            await gateway.transact(work)
            begun.set()

    uploads = [asyncio.create_task(confirm_for_ever()) for _ in range(8)]
    await begun.wait()
    async with worker.unit_of_work() as uow:
        await uow.rings.add(ring_set(2), reason="second", at=NOW)
        await uow.commit()
    for upload in uploads:
        upload.cancel()
    await asyncio.gather(*uploads, return_exceptions=True)


# ---------------------------------------------------------------------- rule 5


async def test_what_is_being_referred_to_is_not_collected(gateway: Metadata, worker: Metadata) -> None:
    async with gateway.unit_of_work() as uow:
        await uow.chunks.obtain(POLICY, [new_chunk(1), new_chunk(2)])
        await uow.commit()
    held = Held()

    async def collect() -> list[Chunk]:
        async with worker.unit_of_work() as uow:
            gone = await uow.chunks.delete_unreferenced(POLICY, b"", None)
            await uow.commit()
        return list(gone)

    referring = asyncio.create_task(gateway.transact(_confirm(held, 1)))
    await held.until_reached()
    collecting = asyncio.create_task(collect())
    assert await _is_waiting(collecting)
    held.let_go.set()
    await referring
    assert [chunk.id for chunk in await collecting] == ["c2"]
    async with worker.snapshot() as view:
        assert set(await view.chunks.get_many(["c1", "c2"])) == {"c1"}


async def test_who_refers_to_what_is_being_collected_gets_a_new_row(gateway: Metadata, worker: Metadata) -> None:
    async with gateway.unit_of_work() as uow:
        await uow.chunks.obtain(POLICY, [new_chunk(1)])
        await uow.commit()

    async def refer(uow: UnitOfWork) -> str:
        await uow.files.add(open_file("f"))
        chunks = await uow.chunks.obtain(POLICY, [new_chunk(1, id="anew")])
        await uow.files.set_references("f", places(chunks))
        return chunks[0].id

    async with worker.unit_of_work() as uow:
        assert len(await uow.chunks.delete_unreferenced(POLICY, b"", None)) == 1
        referring = asyncio.create_task(gateway.transact(refer))
        assert await _is_waiting(referring)
        await uow.commit()
    assert await referring == "anew"


async def test_two_uploads_of_the_same_new_chunk_share_one_row(gateway: Metadata, worker: Metadata) -> None:
    held = Held()

    async def obtain(uow: UnitOfWork) -> str:
        return (await uow.chunks.obtain(POLICY, [new_chunk(1, id="second")]))[0].id

    first = asyncio.create_task(gateway.transact(_confirm(held, 1)))
    await held.until_reached()
    second = asyncio.create_task(worker.transact(obtain))
    assert await _is_waiting(second)
    held.let_go.set()
    await first
    assert await second == "c1"


async def test_the_database_itself_refuses_to_delete_what_a_stranger_refers_to(
    gateway: Metadata, postgres: Postgres, postgres_url: str
) -> None:
    """Nobody has to keep to our locks for a reference to count."""
    async with gateway.unit_of_work() as uow:
        await uow.chunks.obtain(POLICY, [new_chunk(1)])
        await uow.files.add(open_file("f"))
        await uow.commit()

    async def collect() -> None:
        async with gateway.unit_of_work() as uow:
            await uow.chunks.delete_unreferenced(POLICY, b"", None)
            await uow.commit()

    with psycopg.connect(postgres_url) as stranger:
        stranger.execute("INSERT INTO file_chunks (file, position, offset_bytes, chunk) VALUES ('f', 0, 0, 'c1')")
        collecting = asyncio.create_task(collect())
        assert await _is_waiting(collecting)
        stranger.commit()
        with pytest.raises(IntegrityViolation):
            await collecting
    async with gateway.snapshot() as view:
        assert set(await view.chunks.get_many(["c1"])) == {"c1"}


async def test_a_video_is_purged_once(gateway: Metadata, worker: Metadata) -> None:
    async with gateway.unit_of_work() as uow:
        await add_file(uow, "f", [1])
        await uow.videos.add(video("v"))
        await uow.commit()

    async def purge(metadata: Metadata) -> bool:
        async with metadata.unit_of_work() as uow:
            found = await uow.videos.get("v")
            await asyncio.sleep(0.01)
            if found is None:
                return False
            await uow.videos.delete("v")
            await uow.files.delete("f")
            await uow.commit()
        return True

    assert sorted(await asyncio.gather(purge(gateway), purge(worker))) == [False, True]


async def test_transactions_that_lock_each_other_out_are_both_done_in_the_end(
    gateway: Metadata, worker: Metadata
) -> None:
    async with gateway.unit_of_work() as uow:
        for file_id in ("f", "g"):
            await uow.files.add(open_file(file_id))
        await uow.commit()
    both = threading.Barrier(2, timeout=30)
    tries = 0

    def lock(*file_ids: str) -> Callable[[UnitOfWork], Awaitable[None]]:
        met = False

        async def work(uow: UnitOfWork) -> None:
            nonlocal tries, met
            tries += 1
            await uow.files.get(file_ids[0], lock=True)
            if not met:
                met = True
                both.wait()
            await uow.files.get(file_ids[1], lock=True)
            await uow.files.renew(file_ids[1], expires_at=NOW)

        return work

    await asyncio.gather(gateway.transact(lock("f", "g")), worker.transact(lock("g", "f")))
    assert tries == 3  # the database ended one of them, and it was done again


# ---------------------------------------------------------------------- rule 7


async def test_a_partition_is_not_called_synced_when_a_confirm_unsettles_it_at_that_moment(
    gateway: Metadata, worker: Metadata
) -> None:
    async with worker.snapshot() as view:
        versions = {state.index: state.version for state in await view.partitions.list(POLICY)}
    held = Held()

    async def swap() -> frozenset[int]:
        async with worker.unit_of_work() as uow:
            assert await uow.rings.head(lock=True) == 1
            swapped = await uow.partitions.swap_synced(POLICY, versions, epoch=1)
            await uow.commit()
        return swapped

    confirming = asyncio.create_task(gateway.transact(_confirm(held, 1)))
    await held.until_reached()
    swapping = asyncio.create_task(swap())
    assert await _is_waiting(swapping)
    held.let_go.set()
    await confirming
    assert await swapping == frozenset({0, 1, 3})
    async with gateway.snapshot() as view:
        assert list(await view.partitions.unsettled(POLICY, epoch=1)) == [2]
