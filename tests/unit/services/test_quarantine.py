"""Copies of suspect bytes on all servers: listed with whom they concern, dropped by hand and by age."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reelstore.domain.counter import Counter
from reelstore.domain.errors import InvalidCursor, InvalidInput
from reelstore.services.pages import encode_cursor
from reelstore.services.quarantine import QuarantinedShard
from reelstore.storage.memory import MemoryServer
from tests.cluster import CHUNK, Cluster, content, memory_cluster

DAY = 86_400


def set_the_clock(cluster: Cluster) -> None:
    """Let the servers' clocks be the cluster's."""
    for server in cluster.servers:
        assert isinstance(server.inner, MemoryServer)
        server.inner._clock = cluster.clock.utc


async def suspects(cluster: Cluster, count: int) -> None:
    """Have repair set copies aside, one each second, by flipping the first shard of each chunk."""
    set_the_clock(cluster)
    for chunk in (await cluster.chunks())[:count]:
        (server, name), *_ = await cluster.row(chunk)
        await cluster.server(server).flip(name)
        await cluster.app.verifier.verify()
        while await cluster.app.rebalancer.step():
            pass
        cluster.clock.advance(1)


async def everything(cluster: Cluster, limit: int = 1000) -> list[QuarantinedShard]:
    found: list[QuarantinedShard] = []
    cursor = None
    while True:
        page = await cluster.app.quarantine.list(limit=limit, cursor=cursor)
        assert page.unreachable == ()
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found


async def counts(cluster: Cluster) -> tuple[int, int]:
    async with cluster.metadata.snapshot() as view:
        found = await view.counters.get()
    return found[Counter.QUARANTINE_DROPPED], found[Counter.QUARANTINE_DROPPED_BYTES]


async def test_nothing_is_in_quarantine_at_first(cluster: Cluster) -> None:
    assert await everything(cluster) == []
    emptied = await cluster.app.quarantine.empty()
    assert (emptied.copies, emptied.size_bytes, emptied.unreachable) == (0, 0, ())


async def test_what_repair_set_aside_is_listed_with_its_videos(cluster: Cluster) -> None:
    videos = [await cluster.store(content(CHUNK), name=name) for name in ("a.mp4", "b.mp4")]
    await suspects(cluster, 1)
    (chunk,) = await cluster.chunks()
    (server, _), *_ = await cluster.row(chunk)
    (copy,) = await everything(cluster)
    assert (copy.server, copy.chunk, copy.size_bytes) == (server, chunk.digest.hex(), CHUNK)
    assert copy.set_aside_at == cluster.clock.now - timedelta(seconds=1)
    assert sorted((video.id, video.name) for video in copy.videos) == sorted((v.id, v.name) for v in videos)


async def test_a_copy_outlives_its_videos(cluster: Cluster) -> None:
    video = await cluster.store(content(CHUNK))
    await suspects(cluster, 1)
    await cluster.app.videos.purge(video.id, expected_version=None)
    await cluster.settle()
    (copy,) = await everything(cluster)
    assert copy.videos == ()


@pytest.mark.parametrize("limit", [1, 2, 5, 1000])
async def test_pages_over_all_servers_hold_each_copy_once_the_newest_first(cluster: Cluster, limit: int) -> None:
    await cluster.store(content(5 * CHUNK))
    await suspects(cluster, 5)
    found = await everything(cluster, limit)
    assert len({copy.server for copy in found}) > 1
    assert len({(copy.server, copy.id) for copy in found}) == len(found) == 5
    assert [copy.set_aside_at for copy in found] == sorted((copy.set_aside_at for copy in found), reverse=True)


async def test_copies_of_one_moment_are_paged_too(cluster: Cluster) -> None:
    await cluster.store(content(6 * CHUNK))
    set_the_clock(cluster)
    for chunk in await cluster.chunks():
        for server, name in await cluster.row(chunk):
            inner = cluster.server(server).inner
            assert isinstance(inner, MemoryServer)
            await inner.set_aside(name)
    found = await everything(cluster, 5)
    assert len({(copy.server, copy.id) for copy in found}) == len(found) == 12


async def test_servers_that_do_not_answer_are_named_and_keep_what_they_have(cluster: Cluster) -> None:
    await cluster.store(content(5 * CHUNK))
    await suspects(cluster, 5)
    before = await everything(cluster)
    away = before[0].server
    cluster.server(away).down = True
    page = await cluster.app.quarantine.list()
    assert page.unreachable == (away,)
    assert list(page.items) == [copy for copy in before if copy.server != away]
    emptied = await cluster.app.quarantine.empty()
    assert emptied.unreachable == (away,)
    cluster.server(away).down = False
    await cluster.probe()
    assert await everything(cluster) == [copy for copy in before if copy.server == away]


async def test_a_server_without_a_quarantine_is_no_trouble() -> None:

    async with memory_cluster(capable=False) as cluster:
        await cluster.store(content(CHUNK))
        page = await cluster.app.quarantine.list()
        assert (page.items, page.unreachable) == ((), ())
        assert (await cluster.app.quarantine.empty()).copies == 0


async def test_what_was_set_aside_before_a_time_is_dropped_and_counted(cluster: Cluster) -> None:
    await cluster.store(content(4 * CHUNK))
    await suspects(cluster, 4)
    shards = await cluster.shards()
    newest, second, *older = await everything(cluster)
    emptied = await cluster.app.quarantine.empty(before=second.set_aside_at)
    assert (emptied.copies, emptied.size_bytes) == (len(older), len(older) * CHUNK) == (2, 2 * CHUNK)
    assert await everything(cluster) == [newest, second]
    assert await counts(cluster) == (2, 2 * CHUNK)
    assert (await cluster.app.quarantine.empty()).copies == 2
    assert await counts(cluster) == (4, 4 * CHUNK)
    assert await cluster.shards() == shards


async def test_what_is_older_than_the_setting_goes_by_itself(cluster: Cluster) -> None:
    await cluster.store(content(2 * CHUNK))
    await suspects(cluster, 2)
    cluster.clock.advance(30 * DAY - 2)
    assert await cluster.app.quarantine.expire() == 0
    cluster.clock.advance(1)
    assert await cluster.app.quarantine.expire() == 1
    cluster.clock.advance(DAY)
    assert await cluster.app.quarantine.expire() == 1
    assert await everything(cluster) == []


async def test_nothing_goes_by_its_age_while_the_clock_cannot_be_trusted(cluster: Cluster) -> None:
    await cluster.store(content(CHUNK))
    await suspects(cluster, 1)
    cluster.app.clock_guard.clock = lambda: 0.0  # no time passes in this process
    await cluster.app.clock_guard.tick()
    cluster.clock.advance(40 * DAY)
    assert await cluster.app.quarantine.expire() == 0
    assert len(await everything(cluster)) == 1
    assert (await cluster.app.quarantine.empty()).copies == 1  # by hand it does


async def test_limits_cursors_and_times_that_are_none_are_refused(cluster: Cluster) -> None:
    for limit in (0, 1001):
        with pytest.raises(InvalidInput):
            await cluster.app.quarantine.list(limit=limit)
    now = datetime.now(UTC)
    for cursor in ("x", encode_cursor("quarantine", 7, "disk1/1"), encode_cursor("placement", now, "disk1/1")):
        with pytest.raises(InvalidCursor):
            await cluster.app.quarantine.list(cursor=cursor)
    with pytest.raises(InvalidInput, match="zone"):
        await cluster.app.quarantine.empty(before=now.replace(tzinfo=None))
