"""Followers get every event once and in order, each at its own pace; the database is asked once for all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from reelstore.domain.errors import MetadataUnavailable, Overloaded, Unavailable
from reelstore.domain.event import Event, EventKind
from reelstore.services import live_feed
from reelstore.services.events import EventFilter
from reelstore.services.live_feed import Heartbeat, LiveFeed, News, Position
from reelstore.services.rebalancer import RebalanceStatus
from tests.cluster import Cluster, until


def feed_of(cluster: Cluster, **more: Any) -> LiveFeed:
    settings = {"watch_seconds": 0.001} | more
    return LiveFeed(cluster.app.events, cluster.app.rebalancer.status, **settings)


async def keep(
    cluster: Cluster, count: int = 1, *, kind: EventKind = EventKind.SERVER_CHANGED, subject: str = ""
) -> None:
    async with cluster.metadata.unit_of_work() as uow:
        for _ in range(count):
            await uow.events.add(Event(kind, subject, "", at=await uow.now()))
        await uow.commit()


@asynccontextmanager
async def following(feed: LiveFeed, after_id: int | None = None, **more: Any) -> AsyncIterator[AsyncIterator[News]]:
    async with aclosing(feed.follow(after_id, **more)) as news:  # type: ignore[type-var] # it is a generator
        yield news


async def position(news: AsyncIterator[News]) -> Position:
    first = await anext(news)
    assert isinstance(first, Position)
    return first


async def events(news: AsyncIterator[News], count: int) -> list[int]:
    """Return the ids of the next events, whatever else comes in between."""
    ids: list[int] = []
    while len(ids) < count:
        each = await anext(news)
        if isinstance(each, Event):
            ids.append(each.id)
    return ids


async def test_a_follower_begins_with_what_happens_next(cluster: Cluster) -> None:
    await keep(cluster, 3)
    async with following(feed_of(cluster)) as news:
        assert await position(news) == Position(3)
        await keep(cluster, 2)
        assert await events(news, 2) == [4, 5]


async def test_a_follower_who_was_away_gets_what_happened_meanwhile(cluster: Cluster) -> None:
    await keep(cluster, 250)  # more than are read at once
    async with following(feed_of(cluster), 10) as news:
        assert await position(news) == Position(10)
        assert await events(news, 240) == list(range(11, 251))
        await keep(cluster)
        assert await events(news, 1) == [251]


async def test_a_follower_that_is_slower_than_the_memory_misses_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_feed, "RECENT_EVENTS_MAX", 5)
    feed = feed_of(cluster)
    async with following(feed) as slow, following(feed) as quick:
        await position(slow)
        await position(quick)
        for _ in range(30):
            await keep(cluster)
            await events(quick, 1)
        assert len(feed._recent) == 5
        assert await events(slow, 30) == list(range(1, 31))


async def test_events_between_the_first_look_and_the_first_watch_are_not_left_out(cluster: Cluster) -> None:
    feed = feed_of(cluster)
    async with following(feed) as news:
        at = (await position(news)).id
        await keep(cluster, 2)
        assert await events(news, 2) == [at + 1, at + 2]


@pytest.mark.parametrize(("after_id", "goes_on"), [(2, Position(4, missed=True)), (4, Position(4)), (0, Position(0))])
async def test_what_is_no_longer_kept_is_said(cluster: Cluster, after_id: int, goes_on: Position) -> None:
    await keep(cluster, 4)
    cluster.clock.advance(10)
    await keep(cluster, 2)
    async with cluster.metadata.unit_of_work() as uow:
        assert await uow.events.drop_before(cluster.clock.now) == 4
        await uow.commit()
    async with following(feed_of(cluster), after_id) as news:
        assert await position(news) == goes_on
        assert await events(news, 2) == [5, 6]


async def test_when_nothing_at_all_is_kept_any_more_the_follower_goes_on_with_what_comes(cluster: Cluster) -> None:
    await keep(cluster, 4)
    cluster.clock.advance(10)
    async with cluster.metadata.unit_of_work() as uow:
        await uow.events.drop_before(cluster.clock.now)
        await uow.commit()
    async with following(feed_of(cluster), 2) as news:
        assert await position(news) == Position(4, missed=True)
    async with following(feed_of(cluster), 4) as news:
        assert await position(news) == Position(4)


async def test_an_id_of_another_database_is_said(cluster: Cluster) -> None:
    await keep(cluster, 2)
    async with following(feed_of(cluster), 17) as news:
        assert await position(news) == Position(2, missed=True)
        await keep(cluster)
        assert await events(news, 1) == [3]


async def test_only_wanted_events_are_handed_out_and_no_rebalancing(cluster: Cluster) -> None:
    wanted = EventFilter((EventKind.SERVER_ADDED,), "disk9")
    async with following(feed_of(cluster), wanted=wanted) as news:
        await position(news)
        await keep(cluster, subject="disk9")
        await keep(cluster, kind=EventKind.SERVER_ADDED, subject="disk8")
        await keep(cluster, kind=EventKind.SERVER_ADDED, subject="disk9")
        each = await anext(news)
        assert isinstance(each, Event)
        assert each.id == 3


async def test_the_rebalancing_is_told_at_the_beginning_and_when_it_has_changed(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_feed, "STATUS_SECONDS", 0.001)
    async with following(feed_of(cluster)) as news:
        await position(news)
        first = await anext(news)
        assert isinstance(first, RebalanceStatus)
        await cluster.add_server("disk4")
        while not isinstance(changed := await anext(news), RebalanceStatus):
            pass
        assert changed.epoch == first.epoch + 1


async def test_a_follower_without_news_gets_heartbeats_also_while_others_get_news(cluster: Cluster) -> None:
    feed = feed_of(cluster, heartbeat_seconds=0.02)
    async with following(feed, wanted=EventFilter(subject="nobody")) as news:
        await position(news)
        keeping = asyncio.create_task(_again_and_again(lambda: keep(cluster)))
        assert [await anext(news) for _ in range(2)] == [Heartbeat(), Heartbeat()]
        keeping.cancel()


async def _again_and_again(do: Callable[[], Any]) -> None:
    while True:
        await do()
        await asyncio.sleep(0.001)


async def test_one_more_than_the_limit_is_refused_and_a_place_is_free_when_somebody_leaves(cluster: Cluster) -> None:
    feed = feed_of(cluster, followers_max=2)
    async with following(feed) as first:
        await position(first)
        async with following(feed) as second:
            await position(second)
            assert feed.followers == 2
            async with following(feed) as third:
                with pytest.raises(Overloaded):
                    await anext(third)
            assert feed.followers == 2
        async with following(feed) as third:
            await position(third)
    assert feed.followers == 0


async def test_a_follower_that_is_cancelled_while_it_waits_is_gone(cluster: Cluster) -> None:
    feed = feed_of(cluster)

    async def follow() -> None:
        async with following(feed) as news:
            async for _ in news:
                pass

    task = asyncio.create_task(follow())
    await until(lambda: feed._status is not None)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert feed.followers == 0


async def test_nobody_watches_when_nobody_follows(cluster: Cluster) -> None:
    feed = feed_of(cluster)
    async with following(feed) as news:
        await position(news)
        watching = feed._watching
    assert watching is not None
    await asyncio.gather(watching, return_exceptions=True)
    assert watching.cancelled()
    await keep(cluster, 3)
    async with following(feed, 1) as news:
        await position(news)
        assert await events(news, 2) == [2, 3]


async def test_closing_ends_every_follower_and_takes_no_new_one(cluster: Cluster) -> None:
    feed = feed_of(cluster)
    async with following(feed) as news:
        await position(news)
        await until(lambda: feed._status is not None)
        feed.close()
        assert [each async for each in news if isinstance(each, Event)] == []
    async with following(feed) as news:
        with pytest.raises(Unavailable):
            await anext(news)
    assert feed.followers == 0


async def test_a_database_that_does_not_answer_for_a_while_loses_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    feed, after, failures = feed_of(cluster), cluster.app.events.after, 0

    async def failing(event_id: int, *, limit: int) -> Any:
        nonlocal failures
        if failures < 3:
            failures += 1
            raise MetadataUnavailable("locked, says the test")
        return await after(event_id, limit=limit)

    async with following(feed) as news:
        await position(news)
        await until(lambda: feed._recent_after is not None)
        monkeypatch.setattr(cluster.app.events, "after", failing)
        await keep(cluster, 2)
        assert await events(news, 2) == [1, 2]
    assert "locked, says the test" in caplog.text
