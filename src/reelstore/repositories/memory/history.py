"""Events and plans in memory. The methods promise what their ports say."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from reelstore.domain.event import Event, EventKind
from reelstore.repositories.documents import as_kept
from reelstore.repositories.interface import KeptPlan
from reelstore.repositories.memory.tables import THE_ROW, Tables


class InMemoryEvents:
    """See `EventRepository`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, event: Event) -> int:
        """See `EventRepository.add`. One writer at a time commits, so ids are in the order of commits."""
        data, event_id = as_kept(event.data), await self.last_id() + 1
        self._tables.events.put(event_id, replace(event, data=data, id=event_id))
        self._tables.event_head.put(THE_ROW, event_id)
        return event_id

    async def after(self, event_id: int, *, limit: int) -> Sequence[Event]:
        """See `EventRepository.after`."""
        kept = map(self._tables.events.get, range(max(0, event_id) + 1, await self.last_id() + 1))
        return list(itertools.islice((event for event in kept if event is not None), limit))

    async def latest(
        self, *, limit: int, before: int | None = None, subject: str | None = None, kinds: Sequence[EventKind] = ()
    ) -> Sequence[Event]:
        """See `EventRepository.latest`."""
        last = await self.last_id() if before is None else min(before - 1, await self.last_id())
        kept = (self._tables.events.get(event_id) for event_id in range(last, 0, -1))
        found = (
            event
            for event in kept
            if event is not None and subject in {None, event.subject} and (not kinds or event.kind in kinds)
        )
        return list(itertools.islice(found, limit))

    async def last_id(self) -> int:
        """See `EventRepository.last_id`."""
        return self._tables.event_head.get(THE_ROW) or 0

    async def drop_before(self, at: datetime) -> int:
        """See `EventRepository.drop_before`."""
        old = [event.id for event in self._tables.events.values() if event.at < at]
        for event_id in old:
            self._tables.events.drop(event_id)
        return len(old)


class InMemoryPlans:
    """See `PlanRepository`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, plan: KeptPlan) -> None:
        """See `PlanRepository.add`."""
        document = as_kept(plan.document)
        if plan.id in self._tables.plans:
            raise self._tables.violation(f"there is a plan {plan.id} already")
        self._tables.plans.put(plan.id, replace(plan, document=document))

    async def get(self, plan_id: str) -> KeptPlan | None:
        """See `PlanRepository.get`."""
        return self._tables.plans.get(plan_id)

    async def mark_applied(self, plan_id: str, *, epoch: int) -> bool:
        """See `PlanRepository.mark_applied`."""
        plan = self._tables.plans.get(plan_id)
        if plan is None or plan.applied_epoch is not None:
            return False
        self._tables.plans.put(plan_id, replace(plan, applied_epoch=epoch))
        return True

    async def latest(self, *, limit: int) -> Sequence[KeptPlan]:
        """See `PlanRepository.latest`. Of those of the same moment, the largest id comes first."""
        return heapq.nlargest(limit, self._tables.plans.values(), key=lambda plan: (plan.created_at, plan.id))

    async def drop_before(self, at: datetime) -> int:
        """See `PlanRepository.drop_before`."""
        plans = self._tables.plans.values()
        old = [plan.id for plan in plans if plan.created_at < at and plan.applied_epoch is None]
        for plan_id in old:
            self._tables.plans.drop(plan_id)
        return len(old)
