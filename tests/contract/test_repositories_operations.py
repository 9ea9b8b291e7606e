"""What the repositories of leases, limits, counts and samples of fill promise."""

from __future__ import annotations

import pytest

from reelstore.domain.counter import Counter
from reelstore.repositories.interface import Lease, Metadata, Need, RebalanceControl, UsageSample
from tests.contract.metadata_values import NOW, later

# ------------------------------------------------------------------ leases


async def test_a_lease_has_one_holder_who_may_renew_it(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        assert await uow.leases.take("l", holder="a", now=NOW, term_seconds=10)
        assert not await uow.leases.take("l", holder="b", now=later(9.999999), term_seconds=10)
        assert await uow.leases.take("l", holder="a", now=later(5), term_seconds=10)
        assert not await uow.leases.take("l", holder="b", now=later(14), term_seconds=10)
        assert await uow.leases.in_force("", now=later(14)) == [Lease("l", "a", later(15))]
        assert await uow.leases.take("m", holder="b", now=NOW, term_seconds=10)


async def test_a_lease_is_anybodys_from_the_moment_it_ends(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.leases.take("l", holder="a", now=NOW, term_seconds=10)
        assert await uow.leases.in_force("l", now=later(10)) == []
        assert await uow.leases.take("l", holder="b", now=later(10), term_seconds=10)
        assert not await uow.leases.take("l", holder="a", now=later(11), term_seconds=10)


async def test_a_lease_that_ends_later_than_twice_the_term_from_now_is_void(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.leases.take("l", holder="a", now=later(100), term_seconds=10)  # by a clock that was ahead
        assert not await uow.leases.take("l", holder="b", now=later(90), term_seconds=10)
        assert await uow.leases.take("l", holder="b", now=later(89.999999), term_seconds=10)
        assert await uow.leases.in_force("l", now=NOW) == [Lease("l", "b", later(99.999999))]


async def test_a_lease_taken_by_a_clock_that_was_ahead_can_be_renewed_to_end_earlier(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.leases.take("l", holder="a", now=later(1e6), term_seconds=10)
        assert await uow.leases.take("l", holder="a", now=NOW, term_seconds=10)
        assert await uow.leases.in_force("l", now=NOW) == [Lease("l", "a", later(10))]


async def test_only_its_holder_gives_a_lease_back(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.leases.take("l", holder="a", now=NOW, term_seconds=10)
        assert not await uow.leases.release("l", holder="b")
        assert not await uow.leases.release("m", holder="a")
        assert await uow.leases.release("l", holder="a")
        assert not await uow.leases.release("l", holder="a")
        assert await uow.leases.take("l", holder="b", now=NOW, term_seconds=10)


async def test_leases_are_listed_by_how_their_names_begin_literally_and_in_order(metadata: Metadata) -> None:
    names = ["move/2", "move/10", "Move/1", "mo", "move_", "mend/1", "möve", "%", "🎬"]
    async with metadata.unit_of_work() as uow:
        for name in names:
            await uow.leases.take(name, holder="a", now=NOW, term_seconds=10)

        async def begin(prefix: str) -> list[str]:
            return [lease.name for lease in await uow.leases.in_force(prefix, now=NOW)]

        assert await begin("move/") == ["move/10", "move/2"]
        assert await begin("m%") == []
        assert await begin("m_") == []
        assert await begin("%") == ["%"]
        assert await begin("🎬") == ["🎬"]
        assert await begin("") == sorted(names)


async def test_leases_that_have_ended_are_forgotten(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        for name, seconds in (("a", 1), ("b", 2), ("c", 3)):
            await uow.leases.take(name, holder="x", now=NOW, term_seconds=seconds)
        assert await uow.leases.drop_ended(later(2)) == 2
        assert await uow.leases.drop_ended(later(2)) == 0
        assert await uow.leases.in_force("", now=NOW) == [Lease("c", "x", later(3))]


# ------------------------------------------------------------------ limits


async def test_the_limits_are_the_defaults_until_they_are_set_and_are_replaced_as_a_whole(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        assert await uow.control.get() == RebalanceControl()
        await uow.control.set(RebalanceControl(paused=True, bytes_per_second=2**40, concurrency=3))
        assert await uow.control.get() == RebalanceControl(paused=True, bytes_per_second=2**40, concurrency=3)
        await uow.control.set(RebalanceControl(bytes_per_second=0))
        await uow.commit()
    async with metadata.snapshot() as seen:
        kept = await seen.control.get()
        assert kept == RebalanceControl(paused=False, bytes_per_second=0, concurrency=None)
        assert kept.paused is False


# ------------------------------------------------------------------ counts


async def test_counts_add_up_and_those_never_added_to_are_zero(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        assert await uow.counters.get() == dict.fromkeys(Counter, 0)
        await uow.counters.add({Counter.SHARDS_MOVED: 2, Counter.SHARDS_MOVED_BYTES: 2**53})
        await uow.counters.add({})
        await uow.counters.add({Counter.SHARDS_MOVED_BYTES: 1, Counter.SHARDS_CORRUPT: 0})
        await uow.commit()
    async with metadata.snapshot() as seen:
        assert await seen.counters.get() == {
            **dict.fromkeys(Counter, 0),
            Counter.SHARDS_MOVED: 2,
            Counter.SHARDS_MOVED_BYTES: 2**53 + 1,
        }


# ------------------------------------------------------------------ samples of fill


async def test_samples_come_in_order_of_time_then_of_server_and_the_later_of_one_time_counts(
    metadata: Metadata,
) -> None:
    first, second = UsageSample("b", NOW, 1, 2**50), UsageSample("a", NOW, 2, 10)
    third, replaced = UsageSample("a", later(1), 3, 10), UsageSample("b", NOW, 9, 2**51)
    async with metadata.unit_of_work() as uow:
        await uow.usage.add([])
        await uow.usage.add([third, first])
        await uow.usage.add([second, replaced])
        assert await uow.usage.since(NOW) == [second, replaced, third]
        assert await uow.usage.since(later(0.000001)) == [third]
        assert await uow.usage.since(later(2)) == []


async def test_old_samples_are_forgotten(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.usage.add([UsageSample("a", later(second), 1, 2) for second in range(4)])
        assert await uow.usage.drop_before(later(2)) == 2
        assert await uow.usage.drop_before(later(2)) == 0
        assert [sample.at for sample in await uow.usage.since(NOW)] == [later(2), later(3)]


# ------------------------------------------------------------------ all


async def test_what_is_not_committed_is_rolled_back(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.leases.take("l", holder="a", now=NOW, term_seconds=10)
        await uow.control.set(RebalanceControl(paused=True))
        await uow.counters.add({Counter.SHARDS_MOVED: 2})
        await uow.usage.add([UsageSample("a", NOW, 1, 2)])
    async with metadata.snapshot() as seen:
        assert await seen.leases.in_force("", now=NOW) == []
        assert await seen.control.get() == RebalanceControl()
        assert await seen.counters.get() == dict.fromkeys(Counter, 0)
        assert await seen.usage.since(NOW) == []


async def test_a_snapshot_changes_none_of_them(metadata: Metadata) -> None:
    async with metadata.snapshot() as seen:
        with pytest.raises(RuntimeError):
            await seen.leases.take("l", holder="a", now=NOW, term_seconds=10)
        with pytest.raises(RuntimeError):
            await seen.control.set(RebalanceControl())
        with pytest.raises(RuntimeError):
            await seen.counters.add({Counter.SHARDS_MOVED: 1})
        with pytest.raises(RuntimeError):
            await seen.usage.add([UsageSample("a", NOW, 1, 2)])


async def test_samples_of_given_moments_are_forgotten_and_no_others(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.usage.add([UsageSample(name, later(second), 1, 2) for second in range(4) for name in ("a", "b")])
        assert await uow.usage.drop([later(1), later(3), later(3), later(1.5)]) == 4
        assert await uow.usage.drop([]) == 0
        assert [sample.at for sample in await uow.usage.since(NOW)] == [NOW, NOW, later(2), later(2)]


# ---------------------------------------------------------------------- needs


async def test_needs_of_a_partition_are_joined_and_handed_over_once(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.needs.add({("b", 1): Need(verify=True), ("a", 7): Need(collect=True)})
        await uow.needs.add({("b", 1): Need(unsettled=True), ("a", 2): Need()})
        await uow.needs.add({})
        await uow.commit()
    async with metadata.unit_of_work() as uow:
        found = await uow.needs.list(limit=2)
        assert list(found.items()) == [(("a", 2), Need()), (("a", 7), Need(collect=True))]
        await uow.needs.drop([*found, ("never", 3)])
        assert await uow.needs.list(limit=9) == {("b", 1): Need(verify=True, unsettled=True)}
        await uow.needs.drop([])
        await uow.commit()
    async with metadata.snapshot() as seen:
        assert len(await seen.needs.list(limit=9)) == 1
