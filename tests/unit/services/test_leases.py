"""Leases of blocks: one process at a time works in a block, and one that died is not waited for for ever."""

from __future__ import annotations

import asyncio

import pytest

from reelstore.repositories.memory import InMemoryMetadata
from reelstore.services import leases as leases_module
from reelstore.services.leases import BLOCK_PARTITIONS, TERM_SECONDS, BlockLeases, block_of
from reelstore.services.survey import Slice
from tests.cluster import HandClock
from tests.protocol.world import HookedMetadata

FIRST, SAME_BLOCK = Slice("p", 0, 4), Slice("p", 100, 101)
OTHER, OTHER_POLICY = Slice("p", BLOCK_PARTITIONS, BLOCK_PARTITIONS + 1), Slice("q", 0, 4)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def metadata(clock: HandClock) -> HookedMetadata:
    return HookedMetadata(InMemoryMetadata(clock=clock.utc))


async def is_free(leases: BlockLeases, where: Slice) -> bool:
    async with leases.holding(where) as held:
        return held


async def held_names(metadata: HookedMetadata) -> set[str]:
    async with metadata.snapshot() as view:
        return {lease.name for lease in await view.leases.in_force("", now=await view.now())}


def test_blocks_are_of_a_policy_and_of_neighbours() -> None:
    assert block_of(FIRST) == block_of(SAME_BLOCK)
    assert len({block_of(FIRST), block_of(OTHER), block_of(OTHER_POLICY)}) == 3


async def test_a_block_in_which_another_process_works_is_passed_over(metadata: HookedMetadata) -> None:
    ours, theirs = BlockLeases(metadata, "ours"), BlockLeases(metadata, "theirs")
    async with ours.holding(FIRST) as held:
        assert held
        assert not await is_free(theirs, SAME_BLOCK)
        assert await is_free(theirs, OTHER)
        assert await is_free(theirs, OTHER_POLICY)


async def test_a_block_in_which_this_process_works_is_passed_over_by_its_other_steps(metadata: HookedMetadata) -> None:
    leases = BlockLeases(metadata, "a")
    async with leases.holding(FIRST):
        assert leases.is_busy(SAME_BLOCK)
        assert not await is_free(leases, SAME_BLOCK)
        assert not leases.is_busy(OTHER)
    assert await is_free(leases, SAME_BLOCK)


async def test_slice_by_slice_in_a_block_costs_one_transaction(metadata: HookedMetadata) -> None:
    leases = BlockLeases(metadata, "a")
    for _ in range(10):
        assert await is_free(leases, FIRST)
        assert await is_free(leases, SAME_BLOCK)
    assert metadata.commits == 1
    assert await is_free(leases, OTHER)
    assert metadata.commits == 2
    await leases.rest()
    await leases.rest()
    assert metadata.commits == 3


async def test_a_block_is_given_back_when_another_is_taken_and_at_rest(metadata: HookedMetadata) -> None:
    ours, theirs = BlockLeases(metadata, "ours"), BlockLeases(metadata, "theirs")
    await is_free(ours, FIRST)
    assert not await is_free(theirs, FIRST)
    await is_free(ours, OTHER)
    assert await is_free(theirs, FIRST)
    assert not await is_free(theirs, OTHER)
    await ours.rest()
    assert await is_free(theirs, OTHER)


async def test_a_dead_process_is_passed_over_until_its_leases_end(metadata: HookedMetadata, clock: HandClock) -> None:
    await is_free(BlockLeases(metadata, "dead"), FIRST)
    leases = BlockLeases(metadata, "alive")
    clock.advance(TERM_SECONDS - 1)
    assert not await is_free(leases, FIRST)
    clock.advance(1)
    assert await is_free(leases, FIRST)


async def test_long_work_keeps_its_lease_by_renewing_it(metadata: HookedMetadata, clock: HandClock) -> None:
    ours, theirs = BlockLeases(metadata, "ours"), BlockLeases(metadata, "theirs")
    async with ours.holding(FIRST):
        for _ in range(5):
            clock.advance(TERM_SECONDS / 2)
            await ours.renew()
            assert not await is_free(theirs, FIRST)


async def test_a_lease_that_was_lost_meanwhile_is_taken_anew(
    metadata: HookedMetadata, clock: HandClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = BlockLeases(metadata, "ours"), BlockLeases(metadata, "theirs")
    await is_free(ours, FIRST)
    clock.advance(2 * TERM_SECONDS)  # this process was stopped for so long
    async with theirs.holding(FIRST) as held:
        assert held
        await ours.renew()
        assert not await is_free(ours, FIRST)


async def test_who_leaves_gives_everything_back(metadata: HookedMetadata) -> None:
    leases = BlockLeases(metadata, "a")
    async with leases.holding(FIRST):
        assert await held_names(metadata) == {"reconcile:p:0", "worker:a"}
        await leases.leave()
    assert await held_names(metadata) == set()


async def test_the_only_process_does_not_wait_for_the_one_before_it(metadata: HookedMetadata) -> None:
    await is_free(BlockLeases(metadata, "dead"), FIRST)
    leases = BlockLeases(metadata, "alive")
    await leases.forget_others()
    assert await is_free(leases, FIRST)
    assert await held_names(metadata) == {"reconcile:p:0", "worker:alive"}


async def test_a_block_is_free_again_when_work_in_it_or_taking_it_fails(
    metadata: HookedMetadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases = BlockLeases(metadata, "a")

    async def fail() -> None:
        raise ZeroDivisionError

    metadata.before_commit(fail)
    with pytest.raises(ZeroDivisionError):
        await is_free(leases, FIRST)
    assert not leases.is_busy(FIRST)
    with pytest.raises(ZeroDivisionError):
        async with leases.holding(FIRST):
            await fail()
    assert await is_free(leases, FIRST)


async def test_many_at_once_hold_a_block_one_at_a_time(metadata: HookedMetadata) -> None:
    everybody = [BlockLeases(metadata, f"w{number}") for number in range(5)]
    inside = most = 0

    async def work(leases: BlockLeases) -> None:
        nonlocal inside, most
        for _ in range(20):
            async with leases.holding(FIRST) as held:
                inside += held
                most = max(most, inside)
                await asyncio.sleep(0)
                inside -= held
            await leases.rest()

    await asyncio.gather(*(work(leases) for leases in everybody for _ in range(2)))
    assert most == 1
    assert leases_module.RENEW_SECONDS < TERM_SECONDS / 2
