"""Rules 7 and 10: a partition is called clean only when a listing proved it, and everything is seen again."""

from __future__ import annotations

from reelstore.services.rebalancer import Rebalancer
from tests.cluster import POLICY
from tests.protocol.world import Process, a_world, many_chunks, one_chunk


async def partition_of_the_chunk(process: Process) -> int:
    chunk = await process.chunk()
    return process.app.topology.present.ring(POLICY).partition_of(chunk.digest)


async def work_without_surveys(rebalancer: Rebalancer) -> None:
    """Do what is noted and what is unproved, and nothing that would find the rest by looking everywhere."""
    while await rebalancer._needs() or await rebalancer._unproved():
        pass


# ---------------------------------------------------------------------- rule 7: synced is a compare-and-swap


async def test_a_round_that_was_overtaken_by_an_upload_does_not_call_its_partition_clean() -> None:
    async with a_world() as world:
        gateway, worker = await world.process(), await world.process()
        failing = (await gateway.primaries(one_chunk()))[1]
        await gateway.empty_servers()  # a new epoch, so that the round has something to record

        async def upload() -> None:
            gateway.server(failing).fail_next("put")
            await gateway.store(one_chunk())

        await worker.catch_up()
        worker.hooks.before_unit(upload)  # the round has listed and read; it is about to swap
        await worker.round()
        assert failing not in await gateway.holders()
        assert await gateway.unsettled() == [await partition_of_the_chunk(gateway)]


async def test_a_round_under_an_older_ring_records_nothing() -> None:
    async with a_world() as world:
        admin, worker = await world.process(), await world.process()
        await admin.store(many_chunks())
        await admin.empty_servers()
        await worker.catch_up()

        async def another_epoch() -> None:
            await admin.add_server("disk4")

        worker.hooks.before_unit(another_epoch)
        await worker.round()
        assert {state.synced_epoch for state in await admin.states()} == {1}
        assert await admin.unsettled() == [0, 1, 2, 3]


async def test_adding_a_server_raises_the_version_of_exactly_the_rows_that_it_changes() -> None:
    async with a_world() as world:
        admin = await world.process()
        before = admin.app.topology.present.ring(POLICY)
        await admin.add_server("disk4")
        after = admin.app.topology.present.ring(POLICY)
        changed = [index for index in range(4) if before.row(index) != after.row(index)]
        assert 0 < len(changed) < 4
        assert [state.index for state in await admin.states() if state.version == 1] == changed


async def test_no_partition_is_clean_at_a_new_epoch_before_it_was_listed_not_even_an_unchanged_one() -> None:
    async with a_world() as world:
        admin = await world.process()
        await admin.add_server("disk4")
        assert await admin.unsettled() == [0, 1, 2, 3]
        for server in admin.servers:
            server.down = True
        await admin.round()
        assert await admin.unsettled() == [0, 1, 2, 3]
        for server in admin.servers:
            server.down = False
        await admin.probe()
        await admin.round()
        assert await admin.unsettled() == []


async def test_a_partition_is_not_clean_while_a_server_of_its_row_lacks_a_shard() -> None:
    async with a_world() as world:
        gateway = await world.process()
        await gateway.store(one_chunk())
        _, (loser, name) = await gateway.row(await gateway.chunk())
        await gateway.server(loser).inner.delete(name)
        gateway.server(loser).full = True
        await gateway.round()
        assert await gateway.unsettled() == [await partition_of_the_chunk(gateway)]
        assert (await gateway.app.rebalancer.status()).state != "idle"
        await gateway.round()
        assert await gateway.unsettled() == [await partition_of_the_chunk(gateway)]
        gateway.server(loser).full = False
        await gateway.settle()
        await gateway.assert_whole()


async def test_a_round_that_crashes_before_any_commit_is_repeated_without_harm() -> None:
    async with a_world() as world:
        gateway = await world.process()
        kept = await gateway.store(many_chunks(8))
        gone = await gateway.store(many_chunks(8, seed=7), name="gone")
        await gateway.app.videos.purge(gone.id, expected_version=None)
        await gateway.add_server("disk4")
        for crash_at in range(20):
            worker = await world.process()
            worker.hooks.commits = 0

            async def crash(worker: Process = worker, crash_at: int = crash_at) -> None:
                if worker.hooks.commits >= crash_at:
                    raise _Crash
                worker.hooks.before_commit(crash)

            worker.hooks.before_commit(crash)
            try:
                await worker.round(collect=True)
            except _Crash:
                continue
            break
        assert crash_at > 1
        await gateway.settle()
        await gateway.assert_whole()
        assert await gateway.read(kept.id) == many_chunks(8)


class _Crash(Exception):
    pass


# ---------------------------------------------------------------------- rule 10: everything is seen again


async def test_a_server_that_comes_back_is_looked_at_whole_before_the_next_survey() -> None:
    async with a_world() as world:
        gateway = await world.process()
        video = await gateway.store(many_chunks())
        await gateway.settle()
        gateway.server("disk2").down = True
        await gateway.probe()
        for entry in await gateway.listing("disk2"):  # its disk was replaced by an empty copy
            await gateway.server("disk2").inner.delete(entry.name)
        gateway.server("disk2").down = False
        await gateway.probe()
        await work_without_surveys(gateway.app.rebalancer)
        await gateway.assert_whole()
        assert await gateway.read(video.id) == many_chunks()


async def test_a_server_that_comes_back_while_another_process_splits_the_partitions_unsettles_all_of_them() -> None:
    async with a_world() as world:
        gateway, other = await world.process(), await world.process()
        await gateway.store(many_chunks())
        await gateway.settle()
        await other.catch_up()
        other.server("disk2").down = True
        await other.probe()
        other.server("disk2").down = False
        before = [state.version for state in await gateway.states()]

        async def split_and_settle() -> None:
            await gateway.app.changes.split()
            await gateway.settle()
            assert await gateway.unsettled() == []

        other.hooks.before_unit(split_and_settle)
        await other.probe()
        assert len(before) == 4
        assert await gateway.unsettled() == list(range(8))


async def test_a_shard_that_vanished_unseen_is_put_again() -> None:
    async with a_world() as world:
        gateway = await world.process()
        await gateway.store(one_chunk())
        await gateway.settle()
        for _ in range(3):
            (server, name), _ = await gateway.row(await gateway.chunk())
            await gateway.server(server).inner.delete(name)
            await gateway.settle()
            await gateway.assert_whole()


async def test_bytes_that_nobody_refers_to_are_found_and_deleted_though_nobody_noted_them() -> None:
    async with a_world() as world:
        gateway = await world.process()
        video = await gateway.store(one_chunk())
        await gateway.settle()
        left_over = await gateway.shards()
        await gateway.app.videos.purge(video.id, expected_version=None)
        await gateway.restart()
        await gateway.settle()
        assert await gateway.chunks() == []
        for name, shards in left_over.items():  # a put that arrives late
            for shard in shards:
                await gateway.server(name).inner.put(shard, one_chunk())
        await gateway.settle()
        assert await gateway.shards() == {name: set() for name in gateway.names}


async def test_a_scrub_reads_every_expected_shard_whatever_its_change_time_says() -> None:
    async with a_world() as world:
        gateway = await world.process()
        await gateway.store(many_chunks())
        await gateway.settle()
        chunk = (await gateway.chunks())[3]
        (server, name), _ = await gateway.row(chunk)
        stored = world.places[server]._stored
        stored[name] = type(stored[name])(b"\0" * 4096, stored[name].changed_ns)  # rot leaves no trace
        await gateway.settle()
        assert not await gateway.app.store.is_good_shard(gateway.server(server), name)
        world.clock.advance(8 * 86_400)
        await gateway.settle()
        await gateway.assert_whole()
