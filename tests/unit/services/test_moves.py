"""How many at once and how fast: the limits hold, a change holds at once, and users go first."""

from __future__ import annotations

import asyncio

import pytest

from reelstore.services import moves as moves_module
from reelstore.services.control import Paused, Share
from reelstore.services.moves import AT_ONCE, AT_ONCE_BESIDE_USERS, LOOK_SECONDS, Moves

MIB = 1024 * 1024


class Set:
    """Stand for the control: what a test sets."""

    def __init__(self) -> None:
        self.share = Share()
        self.paused = False

    async def check(self) -> Share:
        if self.paused:
            raise Paused
        return self.share


class Time:
    """Stand for `asyncio` in the module: its clock goes on by what is slept."""

    Lock, Event, timeout = asyncio.Lock, asyncio.Event, asyncio.timeout

    def __init__(self) -> None:
        self.now = 1000.0

    def get_running_loop(self) -> Time:
        return self

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= LOOK_SECONDS
        self.now += seconds


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(moves_module, "asyncio", made)
    return made


def moves_of(control: Set, idle_seconds: float = 10.0) -> Moves:
    return Moves(control, lambda: idle_seconds)  # type: ignore[arg-type] # only `check` is asked for


@pytest.mark.parametrize(("rate", "size_bytes"), [(10 * MIB, MIB), (64 * MIB, 4 * MIB), (MIB, 64 * 1024)])
async def test_over_ten_seconds_as_much_is_put_as_is_allowed(time: Time, rate: int, size_bytes: int) -> None:
    control = Set()
    control.share = Share(float(rate))
    moves, began, put_bytes = moves_of(control), time.now, 0
    while time.now < began + 10:
        await moves.begin(size_bytes)
        put_bytes += size_bytes
    assert abs(put_bytes / (10 * rate) - 1) < 0.1


async def test_another_limit_holds_within_a_second_though_somebody_waits_for_the_old_one(time: Time) -> None:
    control = Set()
    control.share = Share(1000.0)
    moves = moves_of(control)
    await moves.begin(1_000_000)  # a thousand seconds must pass now
    began = time.now
    sleep = time.sleep

    async def sleep_and_change(seconds: float) -> None:
        await sleep(seconds)
        if time.now >= began + 5:
            control.share = Share(None)

    time.sleep = sleep_and_change  # type: ignore[method-assign] # changes
    await moves.begin(1)
    assert time.now - began <= 6
    await moves.begin(10**9)
    await moves.begin(10**9)
    assert time.now - began <= 6


async def test_a_pause_ends_the_wait_for_bandwidth(time: Time) -> None:
    control = Set()
    control.share = Share(1000.0)
    moves = moves_of(control)
    await moves.begin(1_000_000)
    began, sleep = time.now, time.sleep

    async def sleep_and_pause(seconds: float) -> None:
        await sleep(seconds)
        control.paused = True

    time.sleep = sleep_and_pause  # type: ignore[method-assign] # pauses
    with pytest.raises(Paused):
        await moves.begin(1)
    assert time.now - began <= LOOK_SECONDS


async def test_time_in_which_nothing_was_put_is_no_credit(time: Time) -> None:
    control = Set()
    control.share = Share(float(MIB))
    moves = moves_of(control)
    await moves.begin(1)
    time.now += 3600
    began, put_bytes = time.now, 0
    while time.now < began + 10:
        await moves.begin(MIB // 4)
        put_bytes += MIB // 4
    assert put_bytes <= 1.1 * 10 * MIB


async def entered(moves: Moves) -> int:
    """Return how many may begin before somebody must wait."""
    tasks = [asyncio.create_task(moves.enter()) for _ in range(AT_ONCE * 2)]
    for _ in range(10):
        await asyncio.sleep(0)
    count = sum(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return count


@pytest.mark.parametrize(
    ("concurrency", "idle_seconds", "at_once"),
    [
        (None, 10.0, AT_ONCE),
        (3, 10.0, 3),
        (None, 0.0, AT_ONCE_BESIDE_USERS),
        (1, 0.0, 1),
        (AT_ONCE + 4, 10.0, AT_ONCE + 4),
    ],
)
async def test_no_more_are_under_way_than_allowed_and_fewer_beside_users(
    concurrency: int | None, idle_seconds: float, at_once: int
) -> None:
    control = Set()
    control.share = Share(None, concurrency)
    assert await entered(moves_of(control, idle_seconds)) == at_once


async def test_the_next_begins_when_one_has_left() -> None:
    control = Set()
    control.share = Share(None, 1)
    moves = moves_of(control)
    await moves.enter()
    waiting = asyncio.create_task(moves.enter())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    moves.leave()
    await waiting


async def test_who_waits_for_its_turn_sees_a_pause_and_a_higher_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moves_module, "LOOK_SECONDS", 0.001)
    control = Set()
    control.share = Share(None, 1)
    moves = moves_of(control)
    await moves.enter()
    waiting = asyncio.create_task(moves.enter())
    await asyncio.sleep(0.01)
    control.share = Share(None, 2)
    await waiting
    waiting = asyncio.create_task(moves.enter())
    await asyncio.sleep(0.01)
    control.paused = True
    with pytest.raises(Paused):
        await waiting
