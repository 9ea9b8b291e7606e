"""Reconciling: whatever is missing, bad or too much on the servers, they end up with what the ring promises."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from reelstore.domain.chunk import ShardName
from reelstore.domain.errors import ShardCorrupt
from reelstore.services.rebalance import Verify
from reelstore.services.rebalancer import BLOCKED_RETRY_SECONDS
from reelstore.storage.memory import MemoryServer
from tests.cluster import CHUNK, POLICY, Cluster, content, memory_cluster, until
from tests.faults import FaultyServer
from tests.unit.services.scenes import EVERYTHING, kept, reconciler, shard_on

Harm = Callable[[FaultyServer, ShardName], Awaitable[object]]

HARMS: dict[str, Harm] = {
    "missing": lambda server, name: server.inner.delete(name),
    "flipped": lambda server, name: server.flip(name, 1),
    "truncated": lambda server, name: server.truncate(name, 10),
    "emptied": lambda server, name: server.replace(name, b""),
    "longer": lambda server, name: server.replace(name, bytes(CHUNK + 1)),
    "another's": lambda server, name: server.replace(name, content(CHUNK, seed=99)),
}

# ---------------------------------------------------------------------- repair


@pytest.mark.parametrize("harm", HARMS)
async def test_one_bad_shard_is_found_by_the_next_survey_and_made_good(cluster: Cluster, harm: str) -> None:
    await kept(cluster)
    shard = await shard_on(cluster, "disk2")
    await HARMS[harm](cluster.server("disk2"), shard)
    await cluster.settle()
    await cluster.assert_whole()


@pytest.mark.parametrize("harm", HARMS)
async def test_a_server_of_which_every_shard_is_bad_is_whole_again_so_that_another_may_go(
    cluster: Cluster, harm: str
) -> None:
    video_id, data = await kept(cluster)
    for shard in (await cluster.shards())["disk1"]:
        await HARMS[harm](cluster.server("disk1"), shard)
    assert await cluster.read(video_id) == data
    await cluster.app.store._cache.close()
    await cluster.settle()
    await cluster.assert_whole()
    cluster.server("disk2").down = True
    assert await cluster.read(video_id) == data


@pytest.mark.parametrize("capable", [True, False])
async def test_a_copy_of_suspect_bytes_is_set_aside_where_the_server_can(capable: bool) -> None:
    async with memory_cluster(capable=capable) as cluster:
        await kept(cluster)
        shard = await shard_on(cluster, "disk1")
        await cluster.server("disk1").replace(shard, b"bad")
        await cluster.settle()
        await cluster.assert_whole()
        inner = cluster.server("disk1").inner
        assert isinstance(inner, MemoryServer)
        assert inner.quarantine == (((shard, b"bad"),) if capable else ())


async def test_a_fault_on_the_way_is_not_taken_for_a_bad_shard() -> None:
    """Corrupt is only what a second reading calls corrupt (rule 9)."""
    async with memory_cluster(capable=False) as other:
        await kept(other)
        server = other.server("disk1")
        get = server.get
        first = True

        async def misread_once(name: ShardName, start: int = 0, stop: int | None = None) -> bytes:
            nonlocal first
            data = await get(name, start, stop)
            bad, first = first, False
            return bytes(len(data)) if bad else data

        server.get = misread_once  # type: ignore[method-assign] # misreads
        shard = await shard_on(other, "disk1")
        await server.replace(shard, await server.inner.get(shard))  # touched, so that it is read again
        puts = server.calls["put"]
        await other.settle()
        assert not first
        assert server.calls["put"] == puts


async def test_a_shard_on_a_bad_sector_is_put_again(cluster: Cluster) -> None:
    await kept(cluster)
    shard = await shard_on(cluster, "disk1")
    server = cluster.server("disk1")
    server.fail_next("digest", times=2, error=lambda: ShardCorrupt("a bad sector", server="disk1"))
    puts = server.calls["put"]
    outcome = await reconciler(cluster).reconcile(EVERYTHING, verify=Verify.ALL)
    assert (server.calls["put"] - puts, outcome.put_bytes) == (1, CHUNK)
    assert shard in (await cluster.shards())["disk1"]


async def test_rot_that_leaves_no_trace_is_found_by_scrubbing(cluster: Cluster) -> None:
    await kept(cluster)
    shard = await shard_on(cluster, "disk1")
    inner = cluster.server("disk1").inner
    assert isinstance(inner, MemoryServer)
    inner._stored[shard] = replace(inner._stored[shard], data=bytes(CHUNK))  # the change time is that of before
    await cluster.settle()
    assert await inner.get(shard) == bytes(CHUNK)  # a survey does not read what nobody touched
    cluster.clock.advance(cluster.settings.scrub_seconds)
    await cluster.settle()
    await cluster.assert_whole()


async def test_a_superfluous_copy_is_the_last_good_one_and_does_not_go(cluster: Cluster) -> None:
    _, data = await kept(cluster, chunks=1)
    (chunk,) = await cluster.chunks()
    row = await cluster.row(chunk)
    handoff = next(server for server in cluster.servers if server.name not in dict(row))
    last_good = replace(row[0][1], tenure=7)
    await handoff.put(last_good, data)
    for server, name in row:  # both primaries have rotted, and no change time tells
        inner = cluster.server(server).inner
        assert isinstance(inner, MemoryServer)
        inner._stored[name] = replace(inner._stored[name], data=bytes(chunk.size_bytes))
    await reconciler(cluster).reconcile(EVERYTHING, verify=Verify.CHANGED)
    await cluster.settle()
    await cluster.assert_whole()


async def test_a_server_that_does_not_give_back_what_was_put_there_is_not_relied_on(cluster: Cluster) -> None:
    await kept(cluster)
    shard = await shard_on(cluster, "disk1")
    server = cluster.server("disk1")
    await server.inner.delete(shard)
    server.lose_puts = True
    outcome = await reconciler(cluster).reconcile(EVERYTHING, verify=Verify.CHANGED)
    assert "does not have what was put there" in next(iter(outcome.blocked.values()))
    server.lose_puts = False
    await cluster.settle()
    await cluster.assert_whole()


async def test_a_survey_reads_only_what_was_touched_since(cluster: Cluster) -> None:
    await kept(cluster)
    digests = sum(server.calls["digest"] for server in cluster.servers)
    await cluster.settle()
    assert sum(server.calls["digest"] for server in cluster.servers) == digests
    shard = await shard_on(cluster, "disk1")
    await cluster.server("disk1").replace(shard, await cluster.server("disk1").inner.get(shard))  # touched, and good
    await cluster.settle()
    assert [name for kind, name in cluster.server("disk1").log if kind == "digest"][-1] == shard
    assert sum(server.calls["digest"] for server in cluster.servers) == digests + 1


async def test_what_a_read_met_is_repaired_before_any_survey(cluster: Cluster) -> None:
    video_id, data = await kept(cluster)
    for shard in (await cluster.shards())["disk1"]:
        await cluster.server("disk1").flip(shard)
    for member in cluster.app.fleet:
        member.latency_seconds = 1e-9 if member.server.name == "disk1" else 1.0  # asked first
    assert await cluster.read(video_id) == data
    assert len(cluster.app.attention)
    assert await cluster.app.rebalancer.step()  # no time has passed
    assert not len(cluster.app.attention)
    for shard in (await cluster.shards())["disk1"]:
        assert await cluster.app.store.is_good_shard(cluster.server("disk1").inner, shard)


async def test_too_many_bad_shards_in_an_hour_stop_the_repair_and_say_so(cluster: Cluster) -> None:
    await kept(cluster)
    reconciler(cluster)._repairer._corrupt_per_hour_max = 2
    bad = sorted((await cluster.shards())["disk1"])[:5]
    for shard in bad:
        await cluster.server("disk1").replace(shard, bytes(CHUNK))
    await cluster.settle()
    still = [shard for shard in bad if await cluster.server("disk1").inner.get(shard) == bytes(CHUNK)]
    assert len(still) == 3
    status = await cluster.app.rebalancer.status()
    assert status.state == "blocked"
    assert any("more than 2 corrupt shards within an hour" in reason for reason in status.reasons)


async def test_missing_shards_are_put_however_many_there_are(cluster: Cluster) -> None:
    await kept(cluster)
    reconciler(cluster)._repairer._corrupt_per_hour_max = 0
    for shard in (await cluster.shards())["disk1"]:
        await cluster.server("disk1").inner.delete(shard)
    await cluster.settle()
    await cluster.assert_whole()


async def test_a_shard_that_cannot_be_put_is_tried_now_and_then_and_not_all_the_time(cluster: Cluster) -> None:
    """Fetching for a repair meets the bad shard again, which is no news."""
    await kept(cluster)
    for shard in (await cluster.shards())["disk1"]:
        await cluster.server("disk1").inner.delete(shard)
    cluster.server("disk1").full = True
    await cluster.settle()  # comes to an end
    status = await cluster.app.rebalancer.status()
    assert status.state == "blocked"
    assert all(reason.startswith("full: ") for reason in status.reasons)
    puts = cluster.server("disk1").calls["put"]
    assert not await cluster.app.rebalancer.step()
    assert cluster.server("disk1").calls["put"] == puts
    cluster.clock.advance(BLOCKED_RETRY_SECONDS)
    assert await cluster.app.rebalancer.step()
    assert cluster.server("disk1").calls["put"] > puts
    cluster.server("disk1").full = False
    await cluster.settle()
    await cluster.assert_whole()


async def test_another_bad_shard_that_a_repair_meets_is_news() -> None:
    async with memory_cluster(copies=3) as other:
        await kept(other, 5)
        chunk = (await other.chunks())[0]
        (first, missing), (second, rotten), _ = await other.row(chunk)
        await other.server(first).inner.delete(missing)
        inner = other.server(second).inner
        assert isinstance(inner, MemoryServer)
        inner._stored[rotten] = replace(inner._stored[rotten], data=bytes(CHUNK))  # not seen by a survey
        for member in other.app.fleet:
            member.latency_seconds = 1e-9 if member.server.name == second else 1.0  # asked first
        await other.settle()
        await other.assert_whole()


# ---------------------------------------------------------------------- garbage


async def test_names_without_a_row_are_removed_and_counted(cluster: Cluster) -> None:
    video_id, data = await kept(cluster, 3)
    (chunk, *_) = await cluster.chunks()
    strays = [
        ShardName(POLICY, bytes([0xAB]) * 32, "a" * 32, 0, 5),  # of a digest that nobody knows
        ShardName(POLICY, chunk.digest, "b" * 32, 0, 5),  # of a row that is gone, under a digest that lives
        ShardName(POLICY, bytes(32), "c" * 32, 0, 5),  # the very first digest
        ShardName(POLICY, bytes([0xFF]) * 32, "d" * 32, 0, 5),  # and the very last
    ]
    for stray in strays:
        await cluster.server("disk1").inner.put(stray, b"12345")
    outcome = await reconciler(cluster).reconcile(EVERYTHING, verify=Verify.CHANGED)
    assert outcome.freed_bytes == 20
    await cluster.assert_whole()
    assert await cluster.read(video_id) == data


async def test_names_of_another_policy_are_left_alone(cluster: Cluster) -> None:
    stray = ShardName("other", bytes(32), "a" * 32, 0, 5)
    await cluster.server("disk1").inner.put(stray, b"x")
    await cluster.settle()
    assert await cluster.server("disk1").inner.stat(stray) is not None


async def test_names_of_a_chunk_that_is_being_written_are_left_alone(cluster: Cluster) -> None:
    body = content(3 * CHUNK)
    gate = cluster.server("disk3").hold("put")
    storing = asyncio.create_task(cluster.store(body))
    await until(lambda: cluster.server("disk1").calls["put"] or cluster.server("disk2").calls["put"])
    await asyncio.sleep(0.01)
    before = await cluster.shards()
    assert any(before.values())
    await cluster.settle()
    assert await cluster.shards() == before
    gate.set()
    assert await cluster.read((await storing).id) == body


async def test_a_handoff_goes_when_its_shard_is_where_it_should_be(cluster: Cluster) -> None:
    cluster.server("disk1").down = True
    await cluster.store(content(20 * CHUNK))
    handoffs = {name for held in (await cluster.shards()).values() for name in held}
    handoffs -= {name for held in (await cluster.promised()).values() for name in held}
    assert handoffs
    await cluster.settle()
    assert handoffs <= {name for held in (await cluster.shards()).values() for name in held}  # still needed
    cluster.server("disk1").down = False
    await cluster.settle()
    await cluster.assert_whole()


async def test_an_older_shard_of_a_server_that_came_back_is_removed_after_the_row_has_it(cluster: Cluster) -> None:
    await kept(cluster)
    (chunk, *_) = await cluster.chunks()
    ((name, shard), *_) = await cluster.row(chunk)
    stale = replace(shard, tenure=shard.tenure ^ 1)
    await cluster.server(name).inner.put(stale, b"older bytes of who knows what")
    await cluster.settle()
    await cluster.assert_whole()


async def test_a_row_that_a_reader_still_needs_is_not_collected(cluster: Cluster) -> None:
    video_id, data = await kept(cluster)
    outcome = await reconciler(cluster).reconcile(EVERYTHING, verify=Verify.ALL, collect=True)
    assert (outcome.freed_bytes, outcome.put_bytes) == (0, 0)
    assert outcome.verified == 40
    assert await cluster.read(video_id) == data


async def test_a_crash_between_purge_and_collection_frees_the_space_after_the_restart(cluster: Cluster) -> None:
    video_id, _ = await kept(cluster)
    await cluster.app.videos.purge(video_id, expected_version=None)
    await cluster.restart()  # the need to collect was only in memory
    await cluster.settle()
    assert await cluster.chunks() == []
    assert not any((await cluster.shards()).values())
