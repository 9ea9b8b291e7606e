"""Rule 14: who is evicted, when, and above all when not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from reelstore.domain.change import ChangeAction, ServerChange
from reelstore.domain.errors import ServerUnauthorized
from reelstore.domain.event import EventKind
from reelstore.domain.server import Eviction, ServerState
from reelstore.repositories.interface import RebalanceControl
from tests.cluster import CHUNK, Cluster, content, memory_cluster
from tests.protocol.world import HookedMetadata
from tests.unit.services.scenes import history, kept
from tests.unit.services.test_forced_removal import down
from tests.unit.services.test_removal import registered

AFTER = 1800.0


@asynccontextmanager
async def evicting(*, servers: int = 4, **more: Any) -> AsyncIterator[Cluster]:
    chosen: dict[str, Any] = {"evict": Eviction.ON, "probe_misses": 1, "survey_seconds": 1e6} | more
    async with memory_cluster(servers=servers, **chosen) as cluster:
        yield cluster


async def silence(cluster: Cluster, *names: str, seconds: float = AFTER) -> None:
    """Let servers be silent for so long; what can heal without them has."""
    await down(cluster, *names)
    cluster.clock.advance(seconds)
    await cluster.probe()
    while await cluster.app.rebalancer._unproved():
        pass


async def why_not(cluster: Cluster, name: str) -> str:
    assert await cluster.app.evictor.step() is None
    assert (await registered(cluster, name)).state is ServerState.ACTIVE
    return cluster.member(name).not_evicted or ""


async def test_a_server_that_is_silent_for_long_is_drained_and_the_others_heal() -> None:
    async with evicting() as cluster:
        video_id, data = await kept(cluster)
        await silence(cluster, "disk4", seconds=AFTER - 1)
        assert await why_not(cluster, "disk4") == ""
        cluster.clock.advance(1)
        assert await cluster.app.evictor.step() == "disk4"
        server = await registered(cluster, "disk4")
        assert (server.state, server.evicted_at) == (ServerState.DRAINING, cluster.clock.now)
        assert not server.remove_when_empty
        kinds = [event.kind for event in await history(cluster, "disk4")]
        assert EventKind.SERVER_EVICTED in kinds
        await cluster.settle()
        for chunk in await cluster.chunks():
            assert "disk4" not in dict(await cluster.row(chunk))
        assert await cluster.read(video_id) == data
        assert (await cluster.app.rebalancer.status()).partitions_done == 16


async def test_an_evicted_server_that_returns_stays_out_until_it_is_activated() -> None:
    async with evicting() as cluster:
        await kept(cluster)
        await silence(cluster, "disk4")
        assert await cluster.app.evictor.step() == "disk4"
        await cluster.settle()
        cluster.server("disk4").down = False
        await cluster.settle()
        await cluster.assert_whole()  # what it had is freed
        server = await registered(cluster, "disk4")
        assert (server.state, server.health) == (ServerState.DRAINING, "up")
        event, *_ = await history(cluster, "disk4")
        assert event.data["evicted"] is True
        await cluster.app.changes.change([ServerChange(ChangeAction.ACTIVATE, "disk4")])
        assert (await registered(cluster, "disk4")).evicted_at is None
        await cluster.settle()
        await cluster.assert_whole()


async def test_one_server_at_a_time_and_the_next_only_when_all_has_healed() -> None:
    async with evicting(servers=7, copies=3) as cluster:
        video_id, data = await kept(cluster)
        await down(cluster, "disk4")
        cluster.clock.advance(60)
        await silence(cluster, "disk5")
        cluster.clock.advance(60)
        assert await cluster.app.evictor.step() == "disk4"  # the longest silent
        assert "still to be moved or mended" in await why_not(cluster, "disk5")
        await cluster.settle()
        assert await cluster.app.evictor.step() == "disk5"
        await cluster.settle()
        assert await cluster.read(video_id) == data


async def test_what_waits_for_the_silent_server_itself_does_not_keep_it_in() -> None:
    async with evicting() as cluster:
        await down(cluster, "disk4")
        await cluster.store(content(40 * CHUNK))
        await silence(cluster, "disk4")
        assert (await cluster.app.rebalancer.status()).partitions_done < 16
        assert await cluster.app.evictor.step() == "disk4"


async def test_nobody_is_evicted_when_half_of_the_servers_are_silent() -> None:
    async with evicting() as cluster:
        await silence(cluster, "disk3", "disk4")
        assert "only 2 of 4 servers answer" in await why_not(cluster, "disk3")


async def test_nobody_is_evicted_for_refusing_our_credentials() -> None:
    async with evicting() as cluster:
        server = cluster.server("disk4")
        for _ in range(2):
            server.fail_next("check", error=lambda: ServerUnauthorized("401", server="disk4"))
            await cluster.probe()
            cluster.clock.advance(AFTER)
        assert "does not accept our credentials" in await why_not(cluster, "disk4")


async def test_nobody_is_evicted_while_moving_is_paused_or_the_clock_has_jumped() -> None:
    async with evicting() as cluster:
        await silence(cluster, "disk4")
        async with cluster.metadata.unit_of_work() as uow:
            await uow.control.set(RebalanceControl(paused=True))
            await uow.commit()
        assert await why_not(cluster, "disk4") == "moving is paused"
        async with cluster.metadata.unit_of_work() as uow:
            await uow.control.set(RebalanceControl())
            await uow.commit()
        stands_still = cluster.clock.seconds()
        cluster.app.clock_guard.clock = lambda: stands_still
        cluster.clock.advance(7200)
        assert "jumped forward" in await why_not(cluster, "disk4")


async def test_nobody_is_evicted_when_the_others_could_not_take_over() -> None:
    async with evicting(servers=3, copies=3) as cluster:
        await silence(cluster, "disk3")
        assert "cannot take over" in await why_not(cluster, "disk3")
        plans = len(await cluster.app.changes.latest(10))
        assert "cannot take over" in await why_not(cluster, "disk3")
        assert len(await cluster.app.changes.latest(10)) == plans  # not planned anew at every step
        await cluster.add_server("disk4")
        await cluster.settle()
        assert await cluster.app.evictor.step() == "disk3"


async def test_a_server_that_is_drained_or_removed_is_not_evicted() -> None:
    async with evicting() as cluster:
        await cluster.app.changes.change([ServerChange(ChangeAction.DRAIN, "disk4")])
        await cluster.settle()
        await silence(cluster, "disk4")
        assert await cluster.app.evictor.step() is None
        assert (await registered(cluster, "disk4")).evicted_at is None


@pytest.mark.parametrize(("zones", "expected"), [(("a", "a", "b", "b"), None), (("a", "b", "c", "d"), "disk4")])
async def test_by_itself_it_is_on_from_three_zones(zones: tuple[str, ...], expected: str | None) -> None:
    async with evicting(evict=Eviction.AUTO) as cluster:
        for number, zone in enumerate(zones, 1):
            await cluster.app.changes.change([ServerChange(ChangeAction.UPDATE, f"disk{number}", zone=zone)])
        await cluster.settle()
        await silence(cluster, "disk4")
        assert await cluster.app.evictor.step() == expected
        if expected is None:
            assert "3 zones or more, and there are 2" in (cluster.member("disk4").not_evicted or "")


async def test_off_is_off() -> None:
    async with evicting(evict=Eviction.OFF) as cluster:
        await silence(cluster, "disk4")
        assert await why_not(cluster, "disk4") == "eviction is off"


async def test_a_server_that_returns_at_the_last_moment_stays() -> None:
    async with evicting(metadata=HookedMetadata) as cluster:
        await silence(cluster, "disk4")

        async def back() -> None:
            cluster.server("disk4").down = False
            await cluster.probe()

        assert isinstance(cluster.metadata, HookedMetadata)
        cluster.metadata.before_unit(back)  # after it was decided, before the transaction that carries it out
        assert "answered meanwhile" in await why_not(cluster, "disk4")
        assert cluster.app.topology.present.epoch == 1
        assert await why_not(cluster, "disk4") == ""
