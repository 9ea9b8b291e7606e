"""What is remembered for a while only is forgotten after it, and not before."""

from __future__ import annotations

from datetime import timedelta

from reelstore.domain.event import Event, EventKind
from reelstore.repositories.interface import KeptPlan, UsageSample
from reelstore.services.forecast import SAMPLES_KEEP
from reelstore.services.retention import PLAN_KEEP
from tests.cluster import Cluster

MOMENT = timedelta(microseconds=1)


async def test_events_plans_and_leases_are_forgotten_after_their_time(cluster: Cluster) -> None:
    begun = cluster.clock.now
    event_keep = timedelta(seconds=cluster.settings.event_keep_seconds)
    assert event_keep == PLAN_KEEP
    async with cluster.metadata.unit_of_work() as uow:
        await uow.events.add(Event(EventKind.SERVER_ADDED, "disk9", "", at=begun))
        await uow.plans.add(KeptPlan("p", 1, begun, {}))
        await uow.commit()
    cluster.clock.now = begun + event_keep
    assert await cluster.app.retention.forget() == 0
    async with cluster.metadata.unit_of_work() as uow:
        await uow.leases.take("l", holder="a", now=begun, term_seconds=1)
        await uow.commit()
    cluster.clock.now += MOMENT
    assert await cluster.app.retention.forget() == 3
    async with cluster.metadata.snapshot() as view:
        assert await view.events.latest(limit=9) == []
        assert await view.plans.get("p") is None
        assert await view.leases.in_force("", now=begun) == []


async def test_samples_become_sparser_with_their_age(cluster: Cluster) -> None:
    now = cluster.clock.now = cluster.clock.now.replace(hour=12, minute=0, second=0)
    ages = [timedelta(minutes=30 * step) for step in range(100 * 48)]
    async with cluster.metadata.unit_of_work() as uow:
        await uow.usage.add([UsageSample(name, now - age, 1, 2) for age in ages for name in ("a", "b")])
        await uow.commit()
    await cluster.app.retention.forget()
    async with cluster.metadata.snapshot() as view:
        kept = [now - sample.at for sample in await view.usage.since(now - 2 * SAMPLES_KEEP) if sample.server == "b"]
    assert len([age for age in kept if age <= timedelta(days=2)]) == 97
    assert len([age for age in kept if timedelta(days=2) < age <= timedelta(days=14)]) == 12 * 24
    assert len([age for age in kept if age > timedelta(days=14)]) == 77  # 76 days, from noon to noon
    assert max(kept) <= SAMPLES_KEEP
    assert await cluster.app.retention.forget() == 0
