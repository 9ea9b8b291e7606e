"""What steers the background: it is kept, it holds for everybody, and limits are shared out."""

from __future__ import annotations

from typing import Any

import pytest

from reelstore.domain.errors import InvalidInput
from reelstore.domain.event import Event, EventKind
from reelstore.repositories.interface import RebalanceControl
from reelstore.repositories.memory import InMemoryMetadata
from reelstore.services import control as control_module
from reelstore.services.control import BYTES_PER_SECOND_MIN, CONCURRENCY_MAX, Control, Paused, Share
from reelstore.services.leases import TERM_SECONDS, WORKERS, BlockLeases
from tests.cluster import HandClock


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def metadata(clock: HandClock, monkeypatch: pytest.MonkeyPatch) -> InMemoryMetadata:
    monkeypatch.setattr(control_module, "READ_SECONDS", 0.0)
    return InMemoryMetadata(clock=clock.utc)


async def told(metadata: InMemoryMetadata) -> list[Event]:
    async with metadata.snapshot() as view:
        return list(reversed(await view.events.latest(limit=100)))


async def test_nothing_is_limited_until_somebody_says_so(metadata: InMemoryMetadata) -> None:
    control = Control(metadata, "a")
    assert await control.read() == RebalanceControl()
    assert await control.check() == Share()


async def test_what_one_process_sets_holds_for_another_and_after_a_restart(metadata: InMemoryMetadata) -> None:
    await Control(metadata, "a").change(paused=True, bytes_per_second=10**6)
    other = Control(metadata, "b")
    with pytest.raises(Paused):
        await other.check()
    assert await other.read() == RebalanceControl(paused=True, bytes_per_second=10**6)


async def test_what_is_not_given_stays_and_none_takes_a_limit_away(metadata: InMemoryMetadata) -> None:
    control = Control(metadata, "a")
    await control.change(bytes_per_second=10**6, concurrency=3)
    assert await control.change(paused=True) == RebalanceControl(True, 10**6, 3)
    assert await control.change(bytes_per_second=None) == RebalanceControl(True, None, 3)
    assert await control.change(paused=False, concurrency=None) == RebalanceControl()


async def test_each_change_is_told_once_and_no_change_is_not(metadata: InMemoryMetadata) -> None:
    control = Control(metadata, "a")
    await control.change(paused=True)
    await control.change(paused=True)
    await control.change(paused=False, bytes_per_second=10**6, concurrency=2)
    await control.change()
    events = await told(metadata)
    assert [event.kind for event in events] == [EventKind.REBALANCE_SET] * 2
    assert events[0].message == "moving and mending: paused"
    assert events[1].message.endswith("resumed, at most 1,000,000 bytes per second, at most 2 shards at once")
    assert events[1].data == {"paused": False, "bytes_per_second": 10**6, "concurrency": 2}


async def test_since_when_it_is_paused_is_when_it_was_and_not_when_something_else_was_set(
    metadata: InMemoryMetadata, clock: HandClock
) -> None:
    control = Control(metadata, "a")
    assert await control.paused_since() is None
    await control.change(paused=True)
    await control.change(paused=False)
    clock.advance(100)
    paused_at = clock.now
    await control.change(paused=True)
    clock.advance(100)
    await control.change(concurrency=2)
    assert await control.paused_since() == paused_at


@pytest.mark.parametrize(
    "change",
    [
        {"bytes_per_second": BYTES_PER_SECOND_MIN - 1},
        {"bytes_per_second": 2**40 + 1},
        {"bytes_per_second": -1},
        {"concurrency": 0},
        {"concurrency": CONCURRENCY_MAX + 1},
    ],
)
async def test_a_limit_out_of_range_is_refused_and_changes_nothing(
    metadata: InMemoryMetadata, change: dict[str, Any]
) -> None:
    control = Control(metadata, "a")
    with pytest.raises(InvalidInput) as refused:
        await control.change(paused=True, **change)
    assert refused.value.field == next(iter(change))
    assert await control.read() == RebalanceControl()
    assert await told(metadata) == []


@pytest.mark.parametrize(
    ("concurrency", "workers", "shares"),
    [(4, 1, [4]), (4, 2, [2, 2]), (5, 3, [2, 2, 1]), (1, 3, [1, 0, 0]), (None, 2, [None, None])],
)
async def test_the_shares_of_all_workers_are_together_what_is_allowed(
    metadata: InMemoryMetadata, concurrency: int | None, workers: int, shares: list[int | None]
) -> None:
    controls = [Control(metadata, f"w{number}") for number in range(workers)]
    for number in range(workers):
        await BlockLeases(metadata, f"w{number}").renew()
    await controls[0].change(bytes_per_second=12 * 10**6, concurrency=concurrency)
    found: list[int | None] = []
    rates: list[float] = []
    for control in controls:
        try:
            share = await control.check()
        except Paused:  # others take all of them
            found.append(0)
        else:
            found.append(share.concurrency)
            rates.append(share.bytes_per_second or 0)
    assert found == shares
    assert sum(rates) == 12 * 10**6


async def test_a_worker_that_died_is_counted_until_its_lease_ends(metadata: InMemoryMetadata, clock: HandClock) -> None:
    control, leases = Control(metadata, "a"), BlockLeases(metadata, "a")
    await leases.renew()
    await BlockLeases(metadata, "dead").renew()
    await control.change(bytes_per_second=10**6)
    assert await control.check() == Share(5 * 10**5)
    clock.advance(TERM_SECONDS)
    await leases.renew()
    assert await control.check() == Share(10**6)
    assert control.workers == 1


async def test_a_process_that_is_not_counted_yet_leaves_the_others_theirs(metadata: InMemoryMetadata) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.leases.take(f"{WORKERS}z", holder="z", now=await uow.now(), term_seconds=TERM_SECONDS)
        await uow.commit()
    control = Control(metadata, "a")
    await control.change(concurrency=3, bytes_per_second=10**6)
    assert await control.check() == Share(5 * 10**5, 1)


async def test_what_is_known_is_read_again_only_when_it_is_old(
    metadata: InMemoryMetadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_module, "READ_SECONDS", 3600.0)
    control = Control(metadata, "a")
    await control.check()
    await Control(metadata, "b").change(paused=True)
    await control.check()
    monkeypatch.setattr(control_module, "READ_SECONDS", 0.0)
    with pytest.raises(Paused):
        await control.check()
