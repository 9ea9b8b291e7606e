"""Progress counts bytes that really move: what is to be moved, what was, how fast, and by whichever process."""

from __future__ import annotations

import pytest

from reelstore.services import rebalancer
from reelstore.services.rebalance_status import RebalanceStatus
from tests.cluster import CHUNK, Cluster, content, memory_cluster
from tests.protocol.world import a_world, many_chunks


async def status_of(cluster: Cluster) -> RebalanceStatus:
    return await cluster.app.rebalancer.status()


async def to_be_moved(cluster: Cluster) -> int:
    """Return the bytes of the shards that servers should have and lack."""
    present, promised = await cluster.shards(), await cluster.promised()
    sizes = {chunk.id: chunk.size_bytes for chunk in await cluster.chunks()}
    return sum(sizes[name.chunk] for server in promised for name in promised[server] - present[server])


async def test_what_a_change_asks_to_be_moved_is_known_before_anything_is_listed(cluster: Cluster) -> None:
    await cluster.store(content(40 * CHUNK + 17))
    await cluster.settle()
    await cluster.add_server("disk4")
    lists = [server.calls["list"] for server in cluster.servers]
    status = await status_of(cluster)
    assert [server.calls["list"] for server in cluster.servers] == lists
    assert (status.bytes_total, status.bytes_moved) == (await to_be_moved(cluster), 0)
    assert status.bytes_total > 0
    assert status.eta_seconds is None  # nothing tells


async def test_after_each_step_what_was_moved_and_what_is_left_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebalancer, "SLICE_MOVED_BYTES", 2 * CHUNK)
    async with memory_cluster(partition_bits=4) as cluster:
        await cluster.store(content(40 * CHUNK))
        await cluster.settle()
        await cluster.add_server("disk4")
        whole, seen = await to_be_moved(cluster), []
        while (status := await status_of(cluster)).partitions_done < 16:
            assert status.bytes_total == whole
            assert status.bytes_moved == whole - await to_be_moved(cluster)
            seen.append(status.bytes_moved)
            assert await cluster.app.rebalancer._unproved()
        assert len(seen) > 2
        assert seen == sorted(seen)
        assert (status.bytes_moved, status.eta_seconds, status.rate_bytes_per_second) == (whole, None, 0.0)


async def test_the_rate_is_measured_and_tells_when_it_ends_and_is_nothing_while_it_is_paused(
    cluster: Cluster,
) -> None:
    await cluster.store(content(60 * CHUNK))
    await cluster.settle()
    await cluster.add_server("disk4")
    before = await status_of(cluster)
    progress = cluster.app.rebalancer.progress
    partition, moved = next(each for each in await _unproved(cluster) if progress.left_in(each) > CHUNK), CHUNK
    cluster.clock.advance(2)
    progress.moved(*partition, moved)
    status = await status_of(cluster)
    assert (status.bytes_total, status.bytes_moved) == (before.bytes_total, moved)  # and so much less is left
    assert status.rate_bytes_per_second == moved / 2
    assert status.eta_seconds == (status.bytes_total - status.bytes_moved) / (moved / 2)
    await cluster.app.rebalancer.control.change(paused=True)
    status = await status_of(cluster)
    assert (status.state, status.rate_bytes_per_second, status.eta_seconds) == ("paused", 0.0, None)
    await cluster.app.rebalancer.control.change(paused=False, bytes_per_second=64 * 1024)
    status = await status_of(cluster)
    assert status.rate_bytes_per_second == moved / 2
    cluster.clock.advance(60)
    assert (await status_of(cluster)).rate_bytes_per_second < moved / 2  # over the last half minute


async def _unproved(cluster: Cluster) -> list[tuple[str, int]]:
    return await cluster.app.rebalancer._list_unproved()


async def test_what_another_process_has_moved_counts_once_it_is_recorded() -> None:
    async with a_world(partition_bits=4) as world:
        working, looking = await world.process(), await world.process()
        await working.store(many_chunks(40))
        await working.settle()
        await working.add_server("disk4")
        await looking.catch_up()
        whole = await to_be_moved(looking)
        before = await status_of(looking)
        assert (before.bytes_total, before.bytes_moved) == (whole, 0)
        while await working.unsettled():
            assert await working.app.rebalancer.step()
        after = await status_of(looking)
        assert (after.bytes_total, after.bytes_moved, after.partitions_done) == (whole, whole, 16)
        assert (await status_of(working)).bytes_moved == whole
