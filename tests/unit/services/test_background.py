"""What runs by itself: loops that survive errors, a pace that gives way, and uploads that end."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from reelstore.background import loops
from reelstore.background.loops import Background, Chore
from reelstore.domain.errors import MetadataUnavailable
from reelstore.domain.file import FileState, StoredFile
from reelstore.repositories.memory.metadata import InMemoryWriter
from reelstore.services import expiry, pace
from reelstore.services.attention import Attention
from reelstore.services.pace import GIVE_WAY_SECONDS, GIVE_WAY_TIMES_MAX, Pace
from tests.cluster import CHUNK, POLICY, Cluster, content, until

# ---------------------------------------------------------------------- loops


class Steps:
    """A rebalancer that does what the test says."""

    def __init__(self, *results: object) -> None:
        self.results = list(results)
        self.taken = 0
        self.attention = Attention()

    async def step(self) -> object:
        self.taken += 1
        self.attention.take()
        result = self.results.pop(0) if self.results else False
        if isinstance(result, Exception):
            raise result
        return result


def background_of(steps: Steps, *chores: Chore) -> Background:
    return Background(chores, rebalancer=steps)  # type: ignore[arg-type] # only steps


async def test_work_goes_on_without_rest_until_there_is_none() -> None:
    steps = Steps(True, True, True)
    background = background_of(steps)
    background.start()
    each_rests_once = 3 + loops.STEPS_AT_ONCE
    await until(lambda: steps.taken == each_rests_once)
    await asyncio.sleep(0.01)
    assert steps.taken == each_rests_once
    await background.stop()


async def test_a_need_ends_the_rest() -> None:
    steps = Steps()
    background = background_of(steps)
    background.start()
    await until(lambda: steps.taken == loops.STEPS_AT_ONCE)
    steps.attention.wake.set()
    await until(lambda: steps.taken > loops.STEPS_AT_ONCE)
    await background.stop()


@pytest.mark.parametrize("error", [MetadataUnavailable("locked"), ZeroDivisionError("a defect of ours")])
async def test_an_error_is_logged_and_the_loop_goes_on(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loops, "BACKOFF_SECONDS", 0.001)
    steps = Steps(error, True)
    probes = 0

    async def probe() -> None:
        nonlocal probes
        probes += 1
        if probes == 1:
            raise error

    background = background_of(steps, Chore("probing servers", 0.001, probe))
    background.start()
    await until(lambda: steps.taken >= 3 and probes >= 2)
    await background.stop()
    messages = [record.getMessage() for record in caplog.records]
    assert any(message.startswith("reconciling") for message in messages)
    assert any(message.startswith("probing servers") for message in messages)


async def test_without_a_rebalancer_the_chores_are_done_all_the_same() -> None:
    done: list[str] = []

    async def probe() -> None:
        done.append("probe")

    background = Background([Chore("probing servers", 0.001, probe)], rebalancer=None)
    background.start()
    await until(lambda: len(done) > 2)
    await background.stop()


async def test_stopping_ends_all_loops_and_may_be_repeated() -> None:
    steps = Steps()
    background = background_of(steps)
    background.start()
    await until(lambda: steps.taken)
    await background.stop()
    await background.stop()
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


# ---------------------------------------------------------------------- pace


class Time:
    """Stand for `asyncio` in the module: its clock goes on by what is slept."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def get_running_loop(self) -> Time:
        return self

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(pace, "asyncio", made)
    return made


async def test_reading_is_spread_over_time_to_the_rate_that_was_given(time: Time) -> None:
    slow = Pace(1000, lambda: 10.0)
    for _ in range(100):
        await slow.wait(100)
    assert 10 - GIVE_WAY_SECONDS <= time.now <= 10


async def test_a_pause_is_no_credit_for_later(time: Time) -> None:
    slow = Pace(1000, lambda: 10.0)
    await slow.wait(1)
    time.now += 1000
    began = time.now
    for _ in range(20):
        await slow.wait(100)
    assert time.now - began >= 2 - GIVE_WAY_SECONDS


async def test_users_go_first_for_a_bounded_time(time: Time) -> None:
    busy = Pace(10**9, lambda: 0.0)
    await busy.wait(1)
    assert time.slept == [GIVE_WAY_SECONDS] * GIVE_WAY_TIMES_MAX


async def test_users_who_never_rest_leave_the_background_a_share(time: Time) -> None:
    size_bytes = 4 << 20
    busy = Pace(256 << 20, lambda: 0.0)
    for _ in range(64):
        await busy.wait(size_bytes)
    assert time.now <= 64 * size_bytes / (256 << 20) + 4 * GIVE_WAY_SECONDS * GIVE_WAY_TIMES_MAX


async def test_giving_way_ends_when_users_rest(time: Time) -> None:
    await Pace(10**9, lambda: time.now).wait(1)
    assert time.slept == [GIVE_WAY_SECONDS]
    time.slept.clear()
    await Pace(10**9, lambda: GIVE_WAY_SECONDS).wait(1)
    assert time.slept == []


# ---------------------------------------------------------------------- expiry


async def test_only_uploads_whose_time_has_ended_are_dropped_and_their_space_comes_back(cluster: Cluster) -> None:
    kept = await cluster.store(content(3 * CHUNK))
    store = cluster.app.store
    for seed, seconds in ((1, 0), (2, 30)):
        cluster.clock.advance(seconds)
        writer = store.writer(cluster.app.topology.present.policy(None))
        await writer.write(content(3 * CHUNK, seed=seed))
        while writer._file.confirmed_bytes < 3 * CHUNK:  # noqa: ASYNC110  # sets no event
            await asyncio.sleep(0.001)
        await writer._stop()  # its process dies
    cluster.clock.advance(31)  # after 61 s and after 31 s
    assert await cluster.app.expire() == 1
    await cluster.settle()  # an hour passes, and nobody calls expire
    assert len(await cluster.chunks()) == 6
    assert await cluster.app.expire() == 1
    assert await cluster.app.expire() == 0
    await cluster.settle()
    assert len(await cluster.chunks()) == 3
    await cluster.assert_whole()
    assert await cluster.read(kept.id) == content(3 * CHUNK)


async def test_an_upload_ends_at_its_time_and_not_a_moment_before(cluster: Cluster) -> None:
    async with cluster.metadata.unit_of_work() as uow:
        ends = cluster.clock.now
        await uow.files.add(StoredFile("f", POLICY, FileState.OPEN, 0, 0, None, ends))
        await uow.commit()
    cluster.clock.advance(-0.001)
    assert await cluster.app.expire() == 0
    cluster.clock.advance(0.001)
    assert await cluster.app.expire() == 1


async def test_a_bounded_number_is_dropped_at_once_and_the_rest_next_time(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "FILES_AT_ONCE", 3)
    async with cluster.metadata.unit_of_work() as uow:
        for index in range(5):
            await uow.files.add(StoredFile(f"f{index}", POLICY, FileState.OPEN, 0, 0, None, cluster.clock.now))
        await uow.commit()
    cluster.clock.advance(1)
    assert [await cluster.app.expire() for _ in range(3)] == [3, 2, 0]


async def test_an_upload_that_is_renewed_in_the_last_moment_stays(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with cluster.metadata.unit_of_work() as uow:
        await uow.files.add(StoredFile("f", POLICY, FileState.OPEN, 0, 0, None, cluster.clock.now))
        await uow.commit()
    cluster.clock.advance(1)
    begin = InMemoryWriter.__aenter__

    async def renew_first(unit: InMemoryWriter) -> InMemoryWriter:
        monkeypatch.setattr(InMemoryWriter, "__aenter__", begin)
        async with cluster.metadata.unit_of_work() as uow:  # its gateway, between the listing and the lock
            assert await uow.files.renew("f", expires_at=cluster.clock.now + timedelta(seconds=60))
            await uow.commit()
        return await begin(unit)

    monkeypatch.setattr(InMemoryWriter, "__aenter__", renew_first)
    assert await cluster.app.expire() == 0
    async with cluster.metadata.snapshot() as view:
        assert await view.files.get("f") is not None
