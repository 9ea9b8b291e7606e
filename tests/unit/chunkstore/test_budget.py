"""The memory budget: a bound that holds, in the order of asking, with nothing lost to those who leave."""

from __future__ import annotations

import asyncio
import random

import pytest

from reelstore.chunkstore.budget import MemoryBudget
from reelstore.chunkstore.buffers import IDLE_BYTES_MAX, BufferPool
from reelstore.domain.errors import Overloaded


async def asking(budget: MemoryBudget, *sizes: int) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(budget.acquire(size)) for size in sizes]
    await asyncio.sleep(0)
    return tasks


def done(tasks: list[asyncio.Task[None]]) -> list[bool]:
    return [task.done() for task in tasks]


async def turns() -> None:
    """Let everything that is ready run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_up_to_the_limit_nobody_waits_and_one_byte_past_it_somebody_does() -> None:
    budget = MemoryBudget(10)
    assert budget.try_acquire(4)
    assert budget.try_acquire(6)
    assert not budget.try_acquire(1)
    assert budget.used_bytes == 10


async def test_who_asks_first_is_served_first_even_where_a_later_smaller_wish_would_fit() -> None:
    budget = MemoryBudget(10)
    await budget.acquire(6)
    tasks = await asking(budget, 8, 1)
    assert done(tasks) == [False, False]
    assert not budget.try_acquire(1)  # not past those who wait
    budget.release(6)
    await turns()
    assert done(tasks) == [True, True]
    assert budget.used_bytes == 9


async def test_a_wish_beyond_the_limit_is_let_through_alone() -> None:
    budget = MemoryBudget(10)
    await budget.acquire(1)
    (large,) = await asking(budget, 50)
    assert not large.done()
    budget.release(1)
    await turns()
    assert large.done()
    assert not budget.try_acquire(1)


async def test_patience_ends_in_overloaded_and_leaves_the_count_as_it_was() -> None:
    budget = MemoryBudget(10, patience_seconds=0.01)
    await budget.acquire(10)
    with pytest.raises(Overloaded):
        await budget.acquire(1)
    budget.release(10)
    assert budget.used_bytes == 0
    assert budget.try_acquire(10)


async def test_a_waiter_who_leaves_lets_the_next_one_in() -> None:
    budget = MemoryBudget(10)
    await budget.acquire(5)
    large, small = await asking(budget, 10, 5)
    large.cancel()
    await turns()
    assert large.cancelled()
    assert small.done()
    assert budget.used_bytes == 10


async def test_a_turn_that_comes_in_the_moment_of_leaving_is_passed_on() -> None:
    budget = MemoryBudget(10)
    await budget.acquire(10)
    first, second = await asking(budget, 10, 10)
    budget.release(10)  # the turn is the first one's
    first.cancel()  # who leaves before it has noticed
    await turns()
    assert first.cancelled()
    assert second.done()
    assert budget.used_bytes == 10


async def test_who_was_told_to_leave_before_memory_came_free_just_leaves() -> None:
    budget = MemoryBudget(10)
    await budget.acquire(10)
    first, second = await asking(budget, 10, 10)
    first.cancel()
    budget.release(10)  # before the first one has run again
    await asyncio.gather(first, return_exceptions=True)
    await turns()
    assert first.cancelled()
    assert second.done()
    assert budget.used_bytes == 10


@pytest.mark.parametrize("seed", range(20))
async def test_the_bound_holds_and_everything_comes_back_whatever_overlaps(seed: int) -> None:
    draw = random.Random(seed)
    budget = MemoryBudget(100)
    highest = 0

    async def work() -> None:
        nonlocal highest
        size = draw.randint(1, 100)
        await budget.acquire(size)
        try:
            highest = max(highest, budget.used_bytes)
            for _ in range(draw.randint(0, 3)):
                await asyncio.sleep(0)
        finally:
            budget.release(size)

    tasks = [asyncio.create_task(work()) for _ in range(40)]
    for task in draw.sample(tasks, 10):
        for _ in range(draw.randint(0, 3)):
            await asyncio.sleep(0)
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(result) for result in results} <= {type(None), asyncio.CancelledError}
    assert 0 < highest <= 100
    assert budget.used_bytes == 0


# ---------------------------------------------------------------------- buffers


async def test_a_buffer_is_lent_again_only_when_nothing_may_still_read_it() -> None:
    pool = BufferPool(MemoryBudget(100))
    buffer = await pool.take(10)
    pool.give_back(buffer, reusable=False)
    other = await pool.take(10)
    assert other is not buffer
    pool.give_back(other, reusable=True)
    assert await pool.take(10) is other


async def test_a_buffer_has_the_size_asked_for_whatever_lies_idle() -> None:
    pool = BufferPool(MemoryBudget(100))
    pool.give_back(await pool.take(10), reusable=True)
    assert len(await pool.take(20)) == 20


async def test_lent_buffers_count_and_idle_ones_are_bounded() -> None:
    budget = MemoryBudget(2 * IDLE_BYTES_MAX)
    pool = BufferPool(budget)
    lent = [await pool.take(IDLE_BYTES_MAX) for _ in range(2)]
    assert budget.used_bytes == 2 * IDLE_BYTES_MAX
    for buffer in lent:
        pool.give_back(buffer, reusable=True)
    assert budget.used_bytes == 0
    assert pool._idle_bytes == IDLE_BYTES_MAX
    assert await pool.take(IDLE_BYTES_MAX) is lent[0]
    assert pool._idle_bytes == 0
