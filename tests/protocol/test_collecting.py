"""Rules 5, 6 and 12: what may be dropped and deleted, when, and by whom."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from reelstore.bootstrap import DATABASE_FILE
from reelstore.domain.chunk import ChunkState
from reelstore.repositories.interface import Metadata
from reelstore.repositories.memory import InMemoryMetadata
from reelstore.repositories.sql import SqlMetadata
from tests.protocol.world import Process, World, a_world, many_chunks, one_chunk


@pytest.fixture(params=["memory", "sqlite"])
async def metadata(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Metadata]:
    """Make the metadata that the protocol's transactions are tried on: the dictionary, and a database."""
    made = (
        InMemoryMetadata()
        if request.param == "memory"
        else await SqlMetadata.open(f"sqlite:///{tmp_path / DATABASE_FILE}")
    )
    yield made
    await made.close()


# ---------------------------------------------------------------------- rule 5: the foreign key is the count


async def test_a_chunk_that_an_open_file_refers_to_is_never_collected(metadata: Metadata) -> None:
    async with a_world(metadata=metadata) as world:
        gateway, worker = await world.process(), await world.process()
        for name in gateway.names:
            gateway.server(name).before("put", lambda: worker.round(collect=True))
        video = await gateway.store(one_chunk())
        await worker.round(collect=True)
        assert (await gateway.chunk()).state is ChunkState.LIVE
        assert await gateway.read(video.id) == one_chunk()


async def test_a_purge_leaves_what_another_video_shares_and_says_so(metadata: Metadata) -> None:
    async with a_world(metadata=metadata) as world:
        gateway = await world.process()
        longer, shorter = many_chunks(5), many_chunks(5)[: 4096 * 3]
        kept = await gateway.store(shorter, name="kept")
        purged = await gateway.store(longer, name="purged")
        assert (await gateway.app.videos.purge(purged.id, expected_version=None)).freed_bytes == 4096 * 2
        await gateway.settle()
        assert len(await gateway.chunks()) == 3
        assert await gateway.shards() == await gateway.promised()
        assert await gateway.read(kept.id) == shorter


async def test_a_crash_in_a_purge_leaves_the_video_whole_or_nothing_of_it(metadata: Metadata) -> None:
    async with a_world(metadata=metadata) as world:
        for crash_at in (0, 1):
            gateway = await world.process()
            video = await gateway.store(one_chunk(crash_at), name=f"number {crash_at}")
            (gateway.hooks.before_commit if crash_at == 0 else gateway.hooks.after_commit)(_crash)
            with pytest.raises(_Crash):
                await gateway.app.videos.purge(video.id, expected_version=None)
            after = await world.process()
            names = [each.name for each in await after.videos()]
            async with metadata.snapshot() as view:
                file = await view.files.get(video.file_id)
            assert (video.name in names) == (file is not None) == (crash_at == 0)


class _Crash(Exception):
    pass


async def _crash() -> None:
    raise _Crash


async def test_a_row_is_dropped_at_once_though_a_server_with_its_shards_is_down() -> None:
    async with a_world() as world:
        gateway = await world.process()
        video = await gateway.store(one_chunk())
        down = (await gateway.primaries(one_chunk()))[0]
        gateway.server(down).down = True
        await gateway.probe()
        await gateway.app.videos.purge(video.id, expected_version=None)
        await gateway.settle()
        assert await gateway.chunks() == []

        again = await gateway.store(one_chunk())
        assert await gateway.read(again.id) == one_chunk()
        gateway.server(down).down = False
        await gateway.settle()
        await gateway.assert_whole()


# ---------------------------------------------------------------------- rule 6: only workers delete


async def test_a_gateway_sends_no_delete_whatever_fails() -> None:
    async with a_world() as world:
        gateway = await world.process()
        first, second = await gateway.primaries(one_chunk())
        gateway.server(second).fail_next("put", times=1)
        video = await gateway.store(one_chunk())
        await gateway.app.videos.trash(video.id, expected_version=None)
        await gateway.app.videos.purge(video.id, expected_version=None)
        for server in gateway.servers:
            server.full = server.name != first
        with pytest.raises(Exception, match="2 servers must"):
            await gateway.store(one_chunk(1))
        assert [server.calls["delete"] for server in gateway.servers] == [0, 0, 0]


@pytest.mark.parametrize("point", ["before", "after"])
@pytest.mark.parametrize("slot", [0, 1])
async def test_an_upload_that_comes_between_the_listing_and_the_metadata_loses_nothing(point: str, slot: int) -> None:
    async with a_world() as world:
        gateway, worker = await world.process(), await world.process()
        listing = worker.server((await gateway.primaries(one_chunk()))[slot])
        getattr(listing, point)("list", lambda: gateway.store(one_chunk()))
        await worker.round(collect=True)
        (video,) = await gateway.videos()
        assert await gateway.shards() == await gateway.promised()
        assert await gateway.read(video.id) == one_chunk()


async def test_a_handoff_is_kept_until_its_primary_has_the_shard() -> None:
    async with a_world() as world:
        gateway, worker = await world.process(), await world.process()
        primary, failing = await gateway.primaries(one_chunk())
        (handoff,) = set(gateway.names) - {primary, failing}
        gateway.server(failing).down = True
        video = await gateway.store(one_chunk())
        assert await gateway.holders() == {primary, handoff}

        worker.server(failing).down = True  # it does not list
        await worker.round()
        assert await gateway.holders() == {primary, handoff}

        worker.server(failing).down, worker.server(failing).full = False, True  # it lists, and takes nothing
        await worker.probe()
        await worker.round()
        assert await gateway.holders() == {primary, handoff}

        worker.server(failing).full = False
        await worker.round()
        assert await gateway.holders() == {primary, failing}
        assert await gateway.read(video.id) == one_chunk()


async def test_nothing_is_deleted_that_the_listing_did_not_show() -> None:
    async with a_world() as world:
        gateway, worker = await world.process(), await world.process()
        video = await gateway.store(one_chunk())
        row = await gateway.row(await gateway.chunk())
        await gateway.app.videos.purge(video.id, expected_version=None)

        listed = [await gateway.listing(name) for name in gateway.names]
        again: list[str] = []

        async def store_anew() -> None:
            again.append((await gateway.store(one_chunk())).id)

        worker.server(row[0][0]).before("record_delete_rounds", store_anew)  # listed is listed, nothing is deleted yet
        await worker.round(collect=True)
        deleted = {name for server in worker.servers for operation, name in server.log if operation == "delete"}
        assert deleted == {entry.name for entries in listed for entry in entries}
        assert await gateway.read(again[0]) == one_chunk()


async def test_copies_of_a_lost_chunk_are_left_where_they_are_though_none_is_good() -> None:
    async with a_world() as world:
        gateway = await world.process()
        primary, failing = await gateway.primaries(one_chunk())
        (handoff,) = set(gateway.names) - {primary, failing}
        gateway.server(failing).down = True
        await gateway.store(one_chunk())
        gateway.server(failing).down = False
        for name in (primary, handoff):
            (entry,) = await gateway.listing(name)
            await gateway.server(name).flip(entry.name)
        await gateway.settle()
        assert (await gateway.app.rebalancer.status()).reasons == ("lost: 1 chunk on no server",)
        assert await gateway.holders() == {primary, handoff}


# ---------------------------------------------------------------------- rule 12: a server knows its owner


async def garbage(world: World) -> tuple[Process, Process]:
    """Make a gateway and a worker, and shards that the worker has to delete."""
    gateway, worker = await world.process(), await world.process()
    video = await gateway.store(many_chunks())
    await gateway.app.videos.purge(video.id, expected_version=None)
    return gateway, worker


async def test_a_round_of_deletes_is_counted_in_the_metadata_and_then_in_the_marker_before_the_first_delete() -> None:
    async with a_world() as world:
        _, worker = await garbage(world)
        counted = []

        async def look() -> None:
            async with world.metadata.snapshot() as view:
                cluster = await view.cluster.get()
            assert cluster is not None
            counted.append(cluster.delete_rounds)

        for server in worker.servers:
            server.before("record_delete_rounds", look)
        await worker.round(collect=True)
        assert counted == [1, 1, 1]
        for server in worker.servers:
            operations = [operation for operation, _ in server.log]
            assert operations.index("record_delete_rounds") < operations.index("delete")
            assert (await server.inner.check()).delete_rounds == 1


async def test_a_marker_ahead_of_the_metadata_stops_every_delete_in_the_cluster() -> None:
    async with a_world() as world:
        gateway, worker = await garbage(world)
        before = await gateway.shards()
        await worker.server("disk2").inner.record_delete_rounds(7)
        await worker.settle()
        assert await gateway.shards() == before
        (reason,) = (await worker.app.rebalancer.status()).reasons
        assert "disk2 has seen 7 rounds of deletes" in reason


async def test_a_marker_of_another_generation_stops_every_delete_in_the_cluster() -> None:
    async with a_world() as world:
        gateway, worker = await garbage(world)
        before = await gateway.shards()
        marker = world.places["disk3"]._marker
        assert marker is not None
        world.places["disk3"]._marker = replace(marker, generation="0" * 32)
        await worker.settle()
        assert await gateway.shards() == before
        (reason,) = (await worker.app.rebalancer.status()).reasons
        assert "disk3 belongs to another generation" in reason


async def test_nothing_is_deleted_on_a_server_that_could_not_note_the_round() -> None:
    async with a_world() as world:
        gateway, worker = await garbage(world)
        before = await gateway.shards()
        worker.server("disk1").fail_next("record_delete_rounds")
        await worker.round(collect=True)
        assert await gateway.shards() == {"disk1": before["disk1"], "disk2": set(), "disk3": set()}


async def test_a_delete_round_that_another_worker_begins_at_the_same_moment_is_no_alarm() -> None:
    async with a_world() as world:
        gateway, worker = await garbage(world)
        other = await world.process()

        async def another_round() -> None:
            await other.app.rebalancer.reconciler.deletes.begin()

        worker.server("disk1").before("check", another_round)
        await worker.round(collect=True)
        assert worker.app.rebalancer.reconciler.deletes.stopped_because is None
        assert await gateway.shards() == {name: set() for name in gateway.names}
