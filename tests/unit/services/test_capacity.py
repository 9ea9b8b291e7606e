"""How full it is, how fast it fills, and what still fits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from reelstore.domain.change import ChangeAction, ServerChange
from reelstore.domain.errors import ServerNotFound
from reelstore.domain.server import ServerState
from reelstore.repositories.interface import UsageSample
from reelstore.services.capacity import CHART_SAMPLES_MAX, Capacity
from tests.cluster import CHUNK, Cluster, content, disk_cluster, memory_cluster

MIB = 1024 * 1024


@pytest.fixture
async def small() -> AsyncIterator[Cluster]:
    """Provide three servers of 1 MiB that keep two copies."""
    async with memory_cluster(capacity_bytes=MIB) as cluster:
        yield cluster


async def samples(cluster: Cluster) -> list[UsageSample]:
    async with cluster.metadata.snapshot() as view:
        return list(await view.usage.since(cluster.clock.now - timedelta(days=100)))


async def grow(cluster: Cluster, *, bytes_per_day: int, days: int) -> None:
    """Write down that each server grew evenly until now."""
    async with cluster.metadata.unit_of_work() as uow:
        for hour in range(24 * days + 1):
            at = cluster.clock.now - timedelta(days=days) + timedelta(hours=hour)
            await uow.usage.add([UsageSample(name, at, bytes_per_day * hour // 24, 10 * MIB) for name in cluster.names])
        await uow.commit()


async def report(cluster: Cluster, server: str | None = None) -> Capacity:
    await cluster.probe()
    return await cluster.app.capacity.report(server=server)


async def test_an_empty_cluster_takes_half_of_its_bytes_in_two_copies(small: Cluster) -> None:
    told = await report(small)
    assert (told.capacity_bytes, told.used_bytes, told.free_bytes) == (3 * MIB, 0, 3 * MIB)
    shares = [view.share for view in await small.app.servers.list()]
    assert told.usable_bytes == int(MIB / (2 * max(shares)))
    assert (told.trend_bytes_per_day, told.days_to_full, told.days_to_full_by_sum) == (None, None, None)
    assert [each.name for each in told.servers] == ["disk1", "disk2", "disk3"]
    assert {each.headroom_bytes for each in told.servers} == {int(0.85 * MIB)}


async def test_as_much_video_fits_as_is_said_and_hardly_more(small: Cluster) -> None:
    usable = (await report(small)).usable_bytes
    # The few partitions of a test do not get equal bytes: three quarters are safe, and all are too much for a server.
    await small.store(content(usable * 3 // 4))
    told = await report(small)
    assert told.usable_bytes == pytest.approx(usable / 4, abs=CHUNK)
    assert told.used_bytes == 2 * (usable * 3 // 4)
    assert told.free_bytes == 3 * MIB - told.used_bytes


async def test_a_smaller_server_is_full_first_only_where_the_ring_gives_it_more_than_its_part(small: Cluster) -> None:
    await small.add_server("disk4", capacity_bytes=MIB // 2)
    small.member("disk4").free_bytes = 0  # its disk holds something else
    told = await small.app.capacity.report()
    assert told.first_full == "disk4"
    assert told.usable_bytes == 0
    full = next(each for each in told.servers if each.name == "disk4")
    assert (full.free_bytes, full.headroom_bytes) == (0, 0)


async def test_a_server_that_was_just_added_counts_before_anything_has_moved_there(small: Cluster) -> None:
    await small.store(content(MIB // 2))
    before = await report(small)
    await small.add_server("disk4", capacity_bytes=MIB)
    after = await report(small)
    assert after.usable_bytes > before.usable_bytes + MIB // 4


async def test_a_draining_server_takes_nothing_more(small: Cluster) -> None:
    await small.add_server("disk4", capacity_bytes=100 * MIB)
    with_it = await report(small)
    await small.app.changes.change([ServerChange(ChangeAction.DRAIN, "disk4")], accept_warnings=True)
    without = await report(small)
    assert without.capacity_bytes == 3 * MIB < with_it.capacity_bytes
    assert without.usable_bytes < with_it.usable_bytes
    assert [each.state for each in without.servers][-1] is ServerState.DRAINING


async def test_the_trend_and_the_days_are_those_of_the_samples(small: Cluster) -> None:
    await grow(small, bytes_per_day=MIB // 100, days=10)
    told = await report(small)
    for each in told.servers:
        assert each.trend_bytes_per_day == pytest.approx(MIB // 100, rel=1e-3)
        assert each.days_to_full == pytest.approx(100, rel=1e-2)
    assert told.trend_bytes_per_day == pytest.approx(3 * (MIB // 100), rel=1e-3)
    assert told.days_to_full_by_sum == pytest.approx(100, rel=1e-2)
    assert told.days_to_full is not None
    # Two copies of a byte of video are two bytes of the trend.
    assert told.days_to_full == pytest.approx(told.usable_bytes * 2 / (3 * (MIB // 100)), rel=1e-2)
    assert told.days_to_full_by_sum is not None
    assert told.days_to_full <= told.days_to_full_by_sum


async def test_what_is_older_than_two_weeks_makes_no_trend(small: Cluster) -> None:
    await grow(small, bytes_per_day=MIB, days=3)
    async with small.metadata.unit_of_work() as uow:
        for hour in range(24 * 15):
            at = small.clock.now + timedelta(hours=hour)
            await uow.usage.add([UsageSample(name, at, 3 * MIB, 10 * MIB) for name in small.names])
        await uow.commit()
    told = await report(small)
    assert told.trend_bytes_per_day == pytest.approx(0, abs=1)


async def test_the_chart_has_sums_or_one_server_and_is_bounded(small: Cluster) -> None:
    await grow(small, bytes_per_day=MIB // 100, days=14)
    whole = await report(small)
    assert len(whole.samples) == CHART_SAMPLES_MAX
    assert whole.samples[-1].capacity_bytes == 30 * MIB
    one = await report(small, "disk2")
    assert [each.name for each in one.servers] == ["disk2"]
    assert one.samples[-1].used_bytes * 3 == whole.samples[-1].used_bytes
    assert one.usable_bytes == whole.usable_bytes
    with pytest.raises(ServerNotFound):
        await report(small, "disk9")


async def test_a_sample_has_every_server_at_one_moment(small: Cluster) -> None:
    await small.store(content(10 * CHUNK))
    await small.probe()
    assert await small.app.capacity.sample()
    taken = await samples(small)
    assert [(each.server, each.at, each.capacity_bytes) for each in taken] == [
        (name, small.clock.now, MIB) for name in small.names
    ]
    assert sum(each.used_bytes for each in taken) == 20 * CHUNK


async def test_a_server_that_is_away_keeps_its_last_fill(small: Cluster) -> None:
    await small.store(content(10 * CHUNK))
    await small.probe()
    before = small.member("disk1").server.used_bytes
    small.server("disk1").down = True
    await small.probe()
    await small.app.capacity.sample()
    assert before > 0
    assert (await samples(small))[0].used_bytes == before


async def test_processes_do_not_repeat_each_others_samples(small: Cluster) -> None:
    assert await small.app.capacity.sample()
    small.clock.advance(small.settings.usage_sample_seconds / 2 - 1)
    assert not await small.app.capacity.sample()
    small.clock.advance(small.settings.usage_sample_seconds / 2 + 1)
    assert await small.app.capacity.sample()
    assert len({each.at for each in await samples(small)}) == 2


async def test_nothing_is_sampled_by_a_clock_that_has_jumped(small: Cluster) -> None:
    await small.app.clock_guard.tick()
    small.app.clock_guard.clock = lambda: 0.0
    small.clock.advance(86_400)
    assert not await small.app.capacity.sample()
    assert await samples(small) == []


async def test_a_new_sample_is_seen_at_once(small: Cluster) -> None:
    assert (await report(small)).samples == ()
    await small.app.capacity.sample()
    assert len((await report(small)).samples) == 1


async def test_folders_on_one_disk_do_not_count_it_twice(tmp_path: Path) -> None:
    async with disk_cluster(tmp_path) as cluster:
        told = await report(cluster)
        free_bytes = [member.disk_free_bytes for member in cluster.app.fleet]
        assert told.free_bytes <= max(each for each in free_bytes if each is not None)
        assert told.usable_bytes <= told.free_bytes / 2
        assert told.free_bytes < sum(each.free_bytes for each in told.servers)


async def test_a_server_is_full_when_others_have_filled_its_disk(small: Cluster) -> None:
    async with small.metadata.unit_of_work() as uow:
        for hour in range(49):
            at = small.clock.now - timedelta(hours=48 - hour)
            grown = {"disk1": 0, "disk2": 0, "disk3": hour * 1000}
            await uow.usage.add([UsageSample(name, at, used, MIB) for name, used in grown.items()])
        await uow.commit()
    await small.probe()
    for member in small.app.fleet:
        member.disk_free_bytes = 48_000
    told = await small.app.capacity.report()
    assert [each.days_to_full for each in told.servers] == pytest.approx([2, 2, 2], rel=1e-3)
    assert told.free_bytes == 48_000
