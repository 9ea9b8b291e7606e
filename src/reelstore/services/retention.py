"""Forget what is remembered for a while only: events, plans, samples of fill, idempotency keys, ended leases."""

from __future__ import annotations

from datetime import timedelta

from reelstore.repositories.interface import Metadata
from reelstore.services.clock_guard import ClockGuard
from reelstore.services.forecast import SAMPLES_KEEP, superfluous

IDEMPOTENCY_KEEP = timedelta(days=1)
PLAN_KEEP = timedelta(days=30)


class Retention:
    """Forget by age, while the clock can be trusted.

    Args:
        metadata: where everything is kept.
        guard: says whether it can.
        event_keep_seconds: how long events are kept.
    """

    def __init__(self, metadata: Metadata, guard: ClockGuard, *, event_keep_seconds: float) -> None:
        self._metadata = metadata
        self._guard = guard
        self._event_keep = timedelta(seconds=event_keep_seconds)

    async def forget(self) -> int:
        """Forget what is too old; return how many things went, none while the clock guard holds.

        Raises:
            MetadataUnavailable: nothing was forgotten; a retry can help.
        """
        async with self._metadata.unit_of_work(frees=True) as uow:
            now = await uow.now()
            if self._guard.check(now) is not None:
                return 0
            samples = await uow.usage.since(now - SAMPLES_KEEP)
            forgotten = [
                await uow.events.drop_before(now - self._event_keep),
                await uow.plans.drop_before(now - PLAN_KEEP),
                await uow.leases.drop_ended(now),
                await uow.idempotency.drop_before(now - IDEMPOTENCY_KEEP),
                await uow.usage.drop_before(now - SAMPLES_KEEP),
                await uow.usage.drop(superfluous({sample.at for sample in samples}, now)),
            ]
            await uow.commit()
        return sum(forgotten)
