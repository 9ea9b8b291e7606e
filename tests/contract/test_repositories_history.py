"""What the repositories of events and plans promise."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

import pytest

from reelstore.domain.errors import IntegrityViolation
from reelstore.domain.event import Event, EventKind
from reelstore.repositories.interface import KeptPlan, Metadata
from tests.contract.metadata_values import NOW, later

DETAILS = {"bytes": 2**53 + 1, "servers": ["a", "b"], "nested": {"deep": [None, True, 1.5]}, "🎬": "ß\u202e"}
NOT_JSON = ({"when": NOW}, {"raw": b""}, {"set": {1}}, {"much": float("inf")}, {"nothing": float("nan")})


def _event(
    subject: str = "a", *, kind: EventKind = EventKind.SERVER_ADDED, at: datetime = NOW, **data: object
) -> Event:
    return Event(kind, subject, f"server {subject} was added", at, data)


async def _add(metadata: Metadata, *events: Event) -> list[int]:
    async with metadata.unit_of_work() as uow:
        ids = [await uow.events.add(event) for event in events]
        await uow.commit()
    return ids


def _ids(events: Sequence[Event]) -> list[int]:
    return [event.id for event in events]


# ------------------------------------------------------------------ events


async def test_an_event_comes_back_with_its_id_as_it_was_kept(metadata: Metadata) -> None:
    kept = Event(EventKind.CHUNK_LOST, "", "line\n'; DROP TABLE events", later(0.000001), MappingProxyType(DETAILS))
    (event_id,) = await _add(metadata, kept)
    assert event_id == 1
    async with metadata.snapshot() as seen:
        (found,) = await seen.events.after(0, limit=9)
        assert found == replace(kept, id=event_id, data=DETAILS)
        assert isinstance(found.kind, EventKind)


async def test_ids_grow_and_events_come_in_their_order_whatever_their_time(metadata: Metadata) -> None:
    ids = await _add(metadata, _event(at=later(5)), _event(at=NOW))
    ids += await _add(metadata, _event(at=later(1)))
    assert ids == [1, 2, 3]
    async with metadata.snapshot() as seen:
        assert _ids(await seen.events.after(0, limit=9)) == ids
        assert _ids(await seen.events.after(ids[0], limit=1)) == ids[1:2]
        assert _ids(await seen.events.after(ids[-1], limit=9)) == []
        assert _ids(await seen.events.after(-1, limit=9)) == ids
        assert _ids(await seen.events.after(2**62, limit=9)) == []
        assert await seen.events.last_id() == ids[-1]


async def test_there_is_no_last_event_before_the_first(metadata: Metadata) -> None:
    async with metadata.snapshot() as seen:
        assert await seen.events.last_id() == 0
        assert await seen.events.latest(limit=9) == []


async def test_the_latest_are_chosen_by_subject_kind_and_place(metadata: Metadata) -> None:
    await _add(
        metadata,
        _event("a"),
        _event("b"),
        _event("a", kind=EventKind.SERVER_DRAINING),
        _event("", kind=EventKind.REBALANCE_STARTED),
        _event("a", kind=EventKind.SERVER_REMOVED),
    )
    async with metadata.snapshot() as seen:

        async def latest(limit: int = 9, **which: Any) -> list[int]:
            return _ids(await seen.events.latest(limit=limit, **which))

        assert await latest() == [5, 4, 3, 2, 1]
        assert await latest(2) == [5, 4]
        assert await latest(before=3) == [2, 1]
        assert await latest(before=1) == []
        assert await latest(before=99) == [5, 4, 3, 2, 1]
        assert await latest(subject="a") == [5, 3, 1]
        assert await latest(subject="") == [4]
        assert await latest(subject="A") == []
        assert await latest(kinds=[EventKind.SERVER_ADDED, EventKind.SERVER_REMOVED]) == [5, 2, 1]
        assert await latest(1, subject="a", before=5, kinds=[EventKind.SERVER_ADDED]) == [1]


async def test_ids_of_forgotten_events_are_never_used_again(metadata: Metadata) -> None:
    await _add(metadata, _event(at=NOW), _event(at=later(2)), _event(at=later(1)))
    async with metadata.unit_of_work() as uow:
        assert await uow.events.drop_before(later(1)) == 1
        assert _ids(await uow.events.after(0, limit=9)) == [2, 3]
        assert await uow.events.drop_before(later(9)) == 2
        assert await uow.events.drop_before(later(9)) == 0
        assert await uow.events.last_id() == 3
        await uow.commit()
    assert await _add(metadata, _event()) == [4]
    async with metadata.snapshot() as seen:
        assert _ids(await seen.events.latest(limit=9)) == [4]


async def test_an_event_is_of_its_transaction(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        event_id = await uow.events.add(_event("never"))
        assert _ids(await uow.events.after(0, limit=9)) == [event_id]
        async with metadata.snapshot() as seen:
            assert await seen.events.last_id() == 0
    await _add(metadata, _event("kept"))
    async with metadata.snapshot() as seen:
        assert [event.subject for event in await seen.events.after(0, limit=9)] == ["kept"]
        with pytest.raises(RuntimeError):
            await seen.events.add(_event())


async def test_a_follower_misses_no_event_of_many_writers(metadata: Metadata) -> None:
    async def writer(number: int) -> None:
        for turn in range(5):
            async with metadata.unit_of_work() as uow:
                await uow.events.add(_event(f"{number}.{turn}"))
                await asyncio.sleep(0)
                if turn == 3:
                    continue  # rolled back
                await uow.events.add(_event(f"{number}.{turn}+"))
                await uow.commit()

    followed: list[Event] = []

    async def follow() -> None:
        while len(followed) < 10 * 4 * 2:
            async with metadata.snapshot() as seen:
                followed.extend(await seen.events.after(followed[-1].id if followed else 0, limit=7))
            await asyncio.sleep(0)

    async with asyncio.timeout(60):
        await asyncio.gather(follow(), *map(writer, range(10)))
    assert len({event.subject for event in followed}) == len(followed) == 80
    async with metadata.snapshot() as seen:
        assert await seen.events.after(0, limit=99) == followed


@pytest.mark.parametrize("data", NOT_JSON, ids=[next(iter(data)) for data in NOT_JSON])
async def test_what_is_not_json_is_refused_in_events_and_plans(metadata: Metadata, data: dict[str, object]) -> None:
    async with metadata.unit_of_work() as uow:
        with pytest.raises((TypeError, ValueError)):
            await uow.events.add(replace(_event(), data=data))
        with pytest.raises((TypeError, ValueError)):
            await uow.plans.add(KeptPlan("p", 1, NOW, data))


async def test_what_is_kept_is_a_copy(metadata: Metadata) -> None:
    servers = ["a"]
    event, plan = _event(servers=servers), KeptPlan("p", 1, NOW, {"servers": servers})
    async with metadata.unit_of_work() as uow:
        await uow.events.add(event)
        await uow.plans.add(plan)
        servers.append("b")
        (kept,) = await uow.events.latest(limit=1)
        assert kept.data == {"servers": ["a"]}
        assert await uow.plans.get("p") == replace(plan, document={"servers": ["a"]})


# ------------------------------------------------------------------ plans


async def test_a_plan_comes_back_as_it_was_kept_and_its_id_is_used_once(metadata: Metadata) -> None:
    plan = KeptPlan("p", 3, later(0.000001), DETAILS)
    async with metadata.unit_of_work() as uow:
        await uow.plans.add(plan)
        assert await uow.plans.get("p") == plan
        assert await uow.plans.get("P") is None
        with pytest.raises(IntegrityViolation):
            await uow.plans.add(replace(plan, base_epoch=4))


async def test_a_plan_is_applied_once(metadata: Metadata) -> None:
    plan = KeptPlan("p", 3, NOW, {})
    async with metadata.unit_of_work() as uow:
        await uow.plans.add(plan)
        assert not await uow.plans.mark_applied("q", epoch=4)
        assert await uow.plans.mark_applied("p", epoch=4)
        assert not await uow.plans.mark_applied("p", epoch=5)
        assert await uow.plans.get("p") == replace(plan, applied_epoch=4)


async def test_plans_are_listed_the_newest_first_and_old_ones_forgotten_unless_applied(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        for plan_id, second in (("b", 1), ("c", 3), ("a", 1), ("d", 2)):
            await uow.plans.add(KeptPlan(plan_id, 1, later(second), {}))
        await uow.plans.mark_applied("a", epoch=2)
        assert [plan.id for plan in await uow.plans.latest(limit=9)] == ["c", "d", "b", "a"]
        assert [plan.id for plan in await uow.plans.latest(limit=2)] == ["c", "d"]
        assert await uow.plans.drop_before(later(2)) == 1
        assert [plan.id for plan in await uow.plans.latest(limit=9)] == ["c", "d", "a"]
        await uow.commit()
    async with metadata.snapshot() as seen:
        with pytest.raises(RuntimeError):
            await seen.plans.mark_applied("c", epoch=9)
