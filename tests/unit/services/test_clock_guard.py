"""Rule 13: when the database's clock has jumped, nothing is dropped for its age."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from reelstore.domain.event import EventKind
from reelstore.domain.file import FileState, StoredFile
from reelstore.services.clock_guard import JUMP_SECONDS, ClockGuard
from tests.cluster import Cluster, HandClock, memory_cluster


class Elapsed:
    """A clock that nobody sets."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
async def elapsed() -> Elapsed:
    return Elapsed()


@pytest.fixture
async def guarded(elapsed: Elapsed) -> AsyncIterator[Cluster]:
    async with memory_cluster() as cluster:
        cluster.app.clock_guard.clock = elapsed
        await cluster.app.clock_guard.tick()
        yield cluster


async def jumps(cluster: Cluster) -> int:
    page = await cluster.app.events.latest(limit=100)
    return sum(event.kind is EventKind.CLOCK_JUMPED for event in page.items)


def pass_time(clock: HandClock, elapsed: Elapsed, seconds: float, *, jump: float = 0.0) -> None:
    elapsed.seconds += seconds
    clock.advance(seconds + jump)


@pytest.mark.parametrize("jump", [JUMP_SECONDS, -JUMP_SECONDS, 0.0])
async def test_a_clock_that_differs_by_no_more_than_an_hour_is_trusted(
    guarded: Cluster, elapsed: Elapsed, jump: float
) -> None:
    pass_time(guarded.clock, elapsed, 30, jump=jump)
    assert await guarded.app.clock_guard.tick() is None
    assert await jumps(guarded) == 0


@pytest.mark.parametrize(("jump", "word"), [(JUMP_SECONDS + 1, "forward"), (-JUMP_SECONDS - 1, "back")])
async def test_a_jump_holds_and_is_told_once(guarded: Cluster, elapsed: Elapsed, jump: float, word: str) -> None:
    guard = guarded.app.clock_guard
    pass_time(guarded.clock, elapsed, 30, jump=jump)
    reason = await guard.tick()
    assert reason is not None
    assert word in reason
    for _ in range(3):
        pass_time(guarded.clock, elapsed, 30)
        assert await guard.tick() == reason
    assert guard.holds() == reason
    assert await jumps(guarded) == 1


async def test_drift_never_adds_up_to_a_jump(guarded: Cluster, elapsed: Elapsed) -> None:
    for _ in range(100):
        pass_time(guarded.clock, elapsed, 30, jump=600)
        assert await guarded.app.clock_guard.tick() is None


async def test_it_ends_when_the_clock_agrees_with_what_was_expected_however_long_that_takes(
    guarded: Cluster, elapsed: Elapsed
) -> None:
    guard = guarded.app.clock_guard
    pass_time(guarded.clock, elapsed, 30, jump=86_400)
    assert await guard.tick()
    pass_time(guarded.clock, elapsed, 40_000)
    assert await guard.tick()
    pass_time(guarded.clock, elapsed, 10, jump=-86_400)
    assert await guard.tick() is None
    assert guard.holds() is None
    pass_time(guarded.clock, elapsed, 10, jump=86_400)
    assert await guard.tick()
    assert await jumps(guarded) == 2


async def test_a_new_process_takes_the_clock_as_it_is(guarded: Cluster, elapsed: Elapsed) -> None:
    pass_time(guarded.clock, elapsed, 1, jump=86_400)
    assert await guarded.app.clock_guard.tick()
    assert await ClockGuard(guarded.metadata, clock=elapsed).tick() is None


async def an_ended_upload(cluster: Cluster) -> None:
    async with cluster.metadata.unit_of_work() as uow:
        expires_at = await uow.now() + timedelta(seconds=60)
        await uow.files.add(StoredFile("f", "default", FileState.OPEN, 0, 0, None, expires_at))
        await uow.commit()


async def test_no_upload_expires_by_a_clock_that_has_jumped(guarded: Cluster, elapsed: Elapsed) -> None:
    await an_ended_upload(guarded)
    pass_time(guarded.clock, elapsed, 1, jump=86_400)
    assert await guarded.app.expire() == 0  # although nobody has looked at the clock in between
    pass_time(guarded.clock, elapsed, 61, jump=-86_400)
    assert await guarded.app.expire() == 1


async def test_nothing_is_forgotten_by_a_clock_that_has_jumped(guarded: Cluster, elapsed: Elapsed) -> None:
    video = await guarded.store(b"x")
    day = 86_400
    pass_time(guarded.clock, elapsed, 1, jump=31 * day)
    assert await guarded.app.retention.forget() == 0
    assert [event.subject for event in (await guarded.app.events.latest(limit=9)).items] == [video.id]


async def test_the_real_clocks_agree() -> None:
    async with memory_cluster() as cluster:
        guard = ClockGuard(cluster.metadata)
        assert await guard.tick() is None
        assert await guard.tick() is None
