"""What has fewer shards than it should is counted by the rings and by which servers answer, and nothing is read."""

from __future__ import annotations

import pytest

from reelstore.chunkstore.topology import TopologyCache
from reelstore.domain.change import ChangeAction, ServerChange
from reelstore.domain.policy import Policy
from reelstore.services.shortfall import Shortfall, shortfall
from tests.cluster import CHUNK, POLICY, Cluster, content, memory_cluster


def of(cluster: Cluster) -> Shortfall:
    topology = cluster.app.topology.present
    up = {member.server.number for member in cluster.app.fleet if member.is_up}
    return shortfall(topology, up, policies=topology.policies)


def rows_with(cluster: Cluster, name: str) -> int:
    number = cluster.member(name).server.number
    return int((cluster.app.topology.present.ring(POLICY).slots == number).any(axis=1).sum())


async def test_nothing_is_short_while_all_servers_answer(cluster: Cluster) -> None:
    assert of(cluster) == Shortfall(16, 0, 0, 0)
    await cluster.add_server("disk4")
    assert of(cluster) == Shortfall(16, 0, 0, 0)  # what has not moved yet is where it was


async def test_each_server_that_does_not_answer_is_missed_in_its_rows() -> None:
    async with memory_cluster(servers=4, copies=3) as cluster:
        cluster.server("disk1").down = True
        await cluster.probe()
        assert of(cluster) == Shortfall(16, rows_with(cluster, "disk1"), 0, 0)
        cluster.server("disk2").down = True
        await cluster.probe()
        found = of(cluster)
        assert found.partitions_short == 16  # each row of three names one of two among four
        assert 0 < found.partitions_without_spare < 16
        assert found.partitions_unreadable == 0
        cluster.server("disk3").down = True
        await cluster.probe()
        assert of(cluster) == Shortfall(16, 16, 16, 16 - rows_with(cluster, "disk4"))


async def test_health_says_so_until_the_server_is_back_and_what_is_asked_costs_no_server_anything() -> None:
    async with memory_cluster(servers=3) as cluster:
        await cluster.store(content(8 * CHUNK))
        await cluster.settle()
        cluster.server("disk2").down = True
        await cluster.probe()
        before = [server.calls.total() for server in cluster.servers]
        status = await cluster.app.health.status()
        assert [server.calls.total() for server in cluster.servers] == before
        assert status.health == "degraded"
        short = rows_with(cluster, "disk2")
        assert status.shortfall == Shortfall(16, short, short, 0)
        cluster.server("disk2").down = False
        await cluster.probe()
        assert (await cluster.app.health.status()).shortfall == Shortfall(16, 0, 0, 0)


async def test_what_no_server_that_answers_has_is_critical() -> None:
    async with memory_cluster(servers=4) as cluster:
        cluster.server("disk1").down = cluster.server("disk2").down = True
        await cluster.probe()
        assert (await cluster.app.health.status()).health == "degraded"  # there is nothing that could be read
        for name in ("disk1", "disk2"):
            cluster.server(name).down = False
        await cluster.probe()
        await cluster.store(content(CHUNK))
        cluster.server("disk1").down = cluster.server("disk2").down = True
        await cluster.probe()
        status = await cluster.app.health.status()
        unreadable = status.shortfall.partitions_unreadable
        assert unreadable > 0
        assert status.health == "critical"
        assert f"too few shards answer in {unreadable} of 16 partitions: what is there cannot be read" in status.reasons


@pytest.mark.parametrize("settled", [False, True])
async def test_what_was_moved_away_from_a_silent_server_is_short_no_longer(settled: bool) -> None:
    async with memory_cluster(servers=4) as cluster:
        await cluster.store(content(40 * CHUNK))
        await cluster.settle()
        short = rows_with(cluster, "disk4")
        cluster.server("disk4").down = True
        await cluster.probe()
        await cluster.app.changes.change([ServerChange(ChangeAction.DRAIN, "disk4")], accept_warnings=True)
        if settled:
            await cluster.settle()
        assert of(cluster).partitions_short == (0 if settled else short)


async def test_a_policy_that_keeps_nothing_lacks_nothing() -> None:
    async with memory_cluster(servers=3, copies=3) as cluster:
        await cluster.store(content(8 * CHUNK))
        await cluster.app.policies.add(Policy.erasure("archive", 2, 1, chunk_size_bytes=CHUNK))
        await cluster.settle()
        cluster.server("disk2").down = cluster.server("disk3").down = True
        await cluster.probe()
        status = await cluster.app.health.status()
        assert status.shortfall == Shortfall(16, 16, 16, 0)
        assert not any("cannot be read" in reason for reason in status.reasons)


async def test_what_was_nowhere_before_is_where_the_newest_ring_has_it() -> None:
    async with memory_cluster(servers=0) as cluster:
        for name in ("a", "b", "c"):
            await cluster.add_server(name)
        await cluster.store(content(8 * CHUNK))
        assert of(cluster) == Shortfall(16, 0, 0, 0)


async def test_another_process_sees_what_a_worker_has_synced(cluster: Cluster) -> None:
    await cluster.add_server("disk4")
    seen = TopologyCache(cluster.metadata)
    await seen.refresh()
    assert (seen.present.synced[POLICY] == 1).all()
    await cluster.settle()
    await seen.follow_synced()
    assert (seen.present.synced[POLICY] == 2).all()
