"""Rule 1: an open file ends when nobody renews it, by the database's time, and not before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

from tests.cluster import CHUNK
from tests.protocol.world import Act, Process, a_world, many_chunks


async def begin(gateway: Process) -> str:
    """Begin an upload whose gateway dies after the first commit; return its file's id."""
    writer = gateway.app.store.writer(gateway.app.topology.present.policy(None))
    committed = asyncio.Event()
    gateway.hooks.after_commit(_setting(committed))
    await writer.write(many_chunks(4))
    await committed.wait()
    await writer._stop()
    return writer._file.id


async def test_a_file_that_was_renewed_at_the_last_moment_does_not_expire() -> None:
    async with a_world() as world:
        gateway, worker = await world.process(), await world.process()
        file_id = await begin(gateway)
        world.clock.advance(61)

        async def renew() -> None:
            async with world.metadata.unit_of_work() as uow:
                assert await uow.files.renew(file_id, expires_at=world.clock.utc() + timedelta(seconds=60))
                await uow.commit()

        worker.hooks.before_unit(renew)  # it has found the file among the ended ones, and is about to drop it
        assert await worker.app.expire() == 0
        world.clock.advance(61)
        assert await worker.app.expire() == 1


async def test_a_file_whose_time_has_not_ended_is_left_alone() -> None:
    async with a_world() as world:
        gateway, worker = await world.process(), await world.process()
        await begin(gateway)
        world.clock.advance(59)
        assert await worker.app.expire() == 0


async def test_an_upload_that_takes_longer_than_its_term_is_renewed() -> None:
    async with a_world(open_file_seconds=0.03) as world:
        gateway, worker = await world.process(), await world.process()
        data = many_chunks()

        async def body() -> AsyncIterator[bytes]:
            for piece in (data[:CHUNK], data[CHUNK:]):
                yield piece
                for _ in range(3):
                    committed = asyncio.Event()
                    gateway.hooks.after_commit(_setting(committed))
                    world.clock.advance(0.02)
                    async with asyncio.timeout(10):  # only so that a gateway that never renews does not wait for ever
                        await committed.wait()
                    await worker.app.expire()

        video = (await gateway.send(body())).video
        assert await gateway.read(video.id) == data


def _setting(event: asyncio.Event) -> Act:
    async def act() -> None:
        event.set()

    return act
