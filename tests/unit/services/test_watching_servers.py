"""Servers as users see them: order, shares, rings, health; and what the monitor does when one goes and comes back."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from reelstore.domain.change import ChangeAction, ServerChange
from reelstore.domain.chunk import ShardName
from reelstore.domain.errors import MetadataUnavailable, ServerNotFound
from reelstore.domain.server import Server, ServerState
from reelstore.services import health as health_module
from tests.cluster import CHUNK, POLICY, Cluster, content, memory_cluster
from tests.protocol.world import HookedMetadata


async def registered(cluster: Cluster, name: str) -> Server:
    async with cluster.metadata.snapshot() as view:
        server = await view.servers.get(name)
    assert server is not None
    return server


async def versions(cluster: Cluster) -> list[int]:
    async with cluster.metadata.snapshot() as view:
        return [state.version for state in await view.partitions.list(POLICY)]


# ---------------------------------------------------------------------- list, describe, rings


async def test_servers_are_listed_in_the_order_in_which_people_count() -> None:
    async with memory_cluster(servers=12) as cluster:
        await cluster.add_server("a")
        await cluster.add_server("disk2.5")
        names = [view.server.name for view in await cluster.app.servers.list()]
        assert names[:4] == ["a", "disk1", "disk2", "disk2.5"]
        assert names[-3:] == ["disk10", "disk11", "disk12"]


async def test_shares_add_up_and_follow_capacity(cluster: Cluster) -> None:
    await cluster.add_server("big", capacity_bytes=8 * 2**30)
    views = await cluster.app.servers.list()
    assert sum(view.share for view in views) == pytest.approx(1)
    shares = {view.server.name: view.share for view in views}
    assert shares["big"] > shares["disk1"]


async def test_a_server_that_does_not_exist_or_was_removed_is_not_found(cluster: Cluster) -> None:
    for name in ("disk9", "", "x" * 5000, "\0"):
        with pytest.raises(ServerNotFound) as caught:
            await cluster.app.servers.get(name)
        assert len(str(caught.value)) < 400
    server = await registered(cluster, "disk3")
    async with cluster.metadata.unit_of_work() as uow:
        await uow.servers.update(replace(server, state=ServerState.REMOVED))
        await uow.commit()
    with pytest.raises(ServerNotFound):
        await cluster.app.servers.get("disk3")
    assert [view.server.name for view in await cluster.app.servers.list()] == ["disk1", "disk2"]


async def test_a_ring_is_described_with_its_members_and_balance(cluster: Cluster) -> None:
    ring = await cluster.app.servers.ring(None)
    assert ring.warnings == ("a zone holds up to 2 of 2 shards; losing it loses data, as only 1 may go",)
    await cluster.add_server("disk4", zone="elsewhere")
    ring = await cluster.app.servers.ring(None)
    assert [warning.rpartition(": ")[2] for warning in ring.warnings] == ["disk1, disk2, disk3"]  # the new zone's half
    assert (ring.policy, ring.kind, ring.epoch, ring.partition_bits, ring.width) == (
        "default",
        "replicated(2)",
        2,
        4,
        2,
    )
    assert sum(member.slots for member in ring.servers) == 32
    assert sum(member.share for member in ring.servers) == pytest.approx(1)
    assert {member.name: member.zone for member in ring.servers}["disk4"] == "elsewhere"
    assert 1.0 <= ring.balance < 1.2


# ---------------------------------------------------------------------- status


async def test_a_cluster_with_all_servers_is_ok_and_counts(cluster: Cluster) -> None:
    await cluster.store(content(5 * CHUNK))
    trashed = await cluster.store(content(CHUNK, seed=1))
    await cluster.app.videos.trash(trashed.id, expected_version=None)
    await cluster.probe()
    status = await cluster.app.health.status()
    assert (status.health, status.reasons, status.epoch) == ("ok", (), 1)
    assert (status.servers_up, status.servers_total) == (3, 3)
    assert status.used_bytes == 12 * CHUNK
    assert status.capacity_bytes == 3 * 4 * 2**30
    assert (status.totals.videos, status.totals.trashed, status.totals.chunks) == (1, 1, 6)


async def test_health_goes_from_ok_over_degraded_to_critical_and_back(cluster: Cluster) -> None:
    seen = []
    for down in ((), ("disk1",), ("disk1", "disk2"), ("disk2",), ()):
        for server in cluster.servers:
            server.down = server.name in down
        await cluster.probe()
        status = await cluster.app.health.status()
        seen.append((status.health, status.servers_up, len(status.reasons)))
        assert all(any(name in reason for reason in status.reasons) for name in down)
        assert (await cluster.app.ready())[0] is (len(down) < 2)
    assert seen == [("ok", 3, 0), ("degraded", 2, 1), ("critical", 1, 3), ("degraded", 2, 1), ("ok", 3, 0)]


async def test_fewer_servers_than_copies_is_degraded() -> None:
    async with memory_cluster(servers=2, copies=3) as cluster:
        status = await cluster.app.health.status()
        assert status.health == "degraded"
        assert status.reasons == ("policy default = replicated(3) asks for 3 servers, and has 2",)
        await cluster.store(content(3 * CHUNK))
        await cluster.add_server("disk3")
        await cluster.settle()
        assert (await cluster.app.health.status()).health == "ok"
        await cluster.assert_whole()


async def test_a_failed_put_shows_before_the_next_probe(cluster: Cluster) -> None:
    cluster.server("disk1").down = True
    await cluster.store(content(20 * CHUNK))
    view = await cluster.app.servers.get("disk1")
    assert (view.server.health, view.server.health_reason) == ("unreachable", "down, says the test")


# ---------------------------------------------------------------------- the monitor


async def test_probes_write_down_health_with_its_reason_and_back(cluster: Cluster) -> None:
    cluster.server("disk1").down = True
    cluster.clock.advance(100)
    for _ in range(3):
        await cluster.probe()
    server = await registered(cluster, "disk1")
    assert (server.health, server.health_reason) == ("unreachable", "down, says the test")
    assert server.last_seen_at != cluster.clock.now
    assert (await registered(cluster, "disk2")).last_seen_at == cluster.clock.now
    cluster.server("disk1").down = False
    await cluster.probe()
    server = await registered(cluster, "disk1")
    assert (server.health, server.health_reason, server.last_seen_at) == ("up", None, cluster.clock.now)


async def test_what_is_unchanged_is_not_written_at_every_probe(cluster: Cluster) -> None:
    await cluster.probe()
    before = await registered(cluster, "disk1")
    cluster.clock.advance(29)
    await cluster.probe()
    assert await registered(cluster, "disk1") == before
    cluster.clock.advance(1)
    await cluster.probe()
    assert (await registered(cluster, "disk1")).last_seen_at == cluster.clock.now


async def test_a_server_that_comes_back_unsettles_its_partitions_and_no_others(cluster: Cluster) -> None:
    cluster.server("disk1").down = True
    await cluster.probe()
    assert await versions(cluster) == [0] * 16
    cluster.server("disk1").down = False
    cluster.app.attention.take()
    await cluster.probe()
    ring = cluster.app.topology.present.ring(POLICY)
    number = cluster.member("disk1").server.number
    assert await versions(cluster) == [
        int(number in {seat.server for seat in ring.row(partition)}) for partition in range(16)
    ]
    assert cluster.app.attention.wake.is_set()
    await cluster.probe()
    assert sum(await versions(cluster)) == sum(number in {seat.server for seat in ring.row(p)} for p in range(16))


async def test_a_return_that_the_metadata_could_not_write_down_is_not_forgotten() -> None:
    async with memory_cluster(metadata=HookedMetadata) as cluster:
        cluster.server("disk1").down = True
        await cluster.probe()
        cluster.server("disk1").down = False

        async def fail() -> None:
            raise MetadataUnavailable("busy")

        assert isinstance(cluster.metadata, HookedMetadata)
        cluster.metadata.before_commit(fail)
        with pytest.raises(MetadataUnavailable):
            await cluster.probe()
        assert sum(await versions(cluster)) == 0
        await cluster.probe()
        assert sum(await versions(cluster)) > 0
        assert (await registered(cluster, "disk1")).health == "up"


async def test_a_server_that_comes_back_after_a_ring_change_unsettles_the_old_rows_too(cluster: Cluster) -> None:
    await cluster.store(content(40 * CHUNK))
    await cluster.settle()
    old = cluster.app.topology.present.ring(POLICY)
    number = cluster.member("disk1").server.number
    cluster.server("disk1").down = True
    await cluster.probe()
    await cluster.add_server("disk4")
    before = await versions(cluster)
    cluster.server("disk1").down = False
    await cluster.probe()
    raised = {index for index, (a, b) in enumerate(zip(before, await versions(cluster), strict=True)) if b > a}
    assert {p for p in range(16) if number in {seat.server for seat in old.row(p)}} <= raised


async def test_a_restart_of_this_process_alone_unsettles_nothing(cluster: Cluster) -> None:
    await cluster.restart()
    assert await versions(cluster) == [0] * 16


async def test_what_was_wiped_while_a_server_was_away_is_put_back(cluster: Cluster) -> None:
    data = content(20 * CHUNK)
    video = await cluster.store(data)
    await cluster.settle()
    cluster.server("disk1").down = True
    await cluster.settle()
    for shard in (await cluster.shards())["disk1"]:
        await cluster.server("disk1").inner.delete(shard)
    cluster.server("disk1").down = False
    await cluster.probe()
    while await cluster.app.rebalancer.step():
        pass  # at once, not at the next survey: no time passes
    assert await cluster.shards() == await cluster.promised()
    assert await cluster.read(video.id) == data


async def test_a_probe_that_hangs_is_given_up_and_holds_up_nobody(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "PROBE_TIMEOUT_SECONDS", 0.02)
    gate = cluster.server("disk1").hold("check")
    cluster.clock.advance(100)
    for _ in range(3):
        await cluster.probe()
    assert (await registered(cluster, "disk1")).health_reason == "no answer to a probe within 0.02 s"
    assert (await registered(cluster, "disk2")).last_seen_at == cluster.clock.now
    gate.set()
    await cluster.probe()
    assert (await registered(cluster, "disk1")).health == "up"


async def test_probes_at_once_agree(cluster: Cluster) -> None:
    cluster.server("disk1").down = True
    await cluster.probe()
    cluster.server("disk1").down = False
    await asyncio.gather(*(cluster.probe() for _ in range(5)))
    assert (await cluster.app.health.status()).health == "ok"


async def test_full_servers_are_named_and_too_many_of_them_are_critical() -> None:
    async with memory_cluster(capacity_bytes=10 * CHUNK) as cluster:
        await cluster.server("disk1").put(ShardName(POLICY, bytes(32), "0" * 32, 0, 1), bytes(10 * CHUNK))
        await cluster.probe()
        status = await cluster.app.health.status()
        assert status.health == "degraded"
        assert status.reasons == ("server disk1 has no room for another chunk",)
        await cluster.server("disk2").put(ShardName(POLICY, bytes(32), "0" * 32, 0, 1), bytes(10 * CHUNK))
        await cluster.probe()
        status = await cluster.app.health.status()
        assert status.health == "critical"
        assert status.reasons[-1] == "servers that have room: 1, and 2 must: nothing can be stored"


async def test_a_drained_server_is_shown_in_the_ring_and_a_removed_one_is_not(cluster: Cluster) -> None:
    async def shown() -> dict[str, int]:
        ring = await cluster.app.servers.ring(None)
        return {server.name: server.slots for server in ring.servers}

    await cluster.app.changes.change([ServerChange(ChangeAction.REMOVE, "disk3")], accept_warnings=True)
    assert await shown() == {"disk1": 16, "disk2": 16, "disk3": 0}
    await cluster.settle()
    await cluster.app.removals.step()
    assert await shown() == {"disk1": 16, "disk2": 16}
    await cluster.add_server("disk4")
    assert set(await shown()) == {"disk1", "disk2", "disk4"}
