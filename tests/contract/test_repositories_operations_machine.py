"""The dictionary and SQLite, given the same operations on what runs the cluster in any order, answer the same."""

from __future__ import annotations

from datetime import datetime

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from reelstore.domain.counter import Counter
from reelstore.domain.event import Event, EventKind
from reelstore.repositories.interface import KeptPlan, RebalanceControl, UsageSample
from tests.contract.metadata_values import later
from tests.contract.twins import SETTINGS, Twins

NAMES = st.sampled_from(["a", "A", "ab", "a/b", "%", "_", "é"])
HOLDERS = st.sampled_from(["x", "y"])
TIMES = st.integers(0, 8).map(later)
TERMS = st.sampled_from([0.5, 1, 2, 5])
LIMITS = st.integers(1, 4)
KINDS = st.sampled_from([EventKind.SERVER_ADDED, EventKind.RING_APPLIED, EventKind.CHUNK_LOST])
COUNTERS = st.sampled_from([Counter.SHARDS_MOVED, Counter.CHUNKS_COLLECTED, Counter.MOVING_SECONDS])
NUMBERS = st.integers(0, 2**40)
DOCUMENTS = st.dictionaries(st.text(max_size=3), st.none() | st.integers() | st.text(max_size=3), max_size=2)


class OperationsTwins(Twins):
    """Leases, limits, events, plans, counts and samples of fill."""

    @rule(name=NAMES, holder=HOLDERS, at=TIMES, term=TERMS)
    def take_lease(self, name: str, holder: str, at: datetime, term: float) -> None:
        self.both(lambda unit: unit.leases.take(name, holder=holder, now=at, term_seconds=term))

    @rule(name=NAMES, holder=HOLDERS)
    def release_lease(self, name: str, holder: str) -> None:
        self.both(lambda unit: unit.leases.release(name, holder=holder))

    @rule(prefix=st.just("") | NAMES, at=TIMES)
    def look_at_leases(self, prefix: str, at: datetime) -> None:
        self.both(lambda unit: unit.leases.in_force(prefix, now=at))

    @rule(at=TIMES)
    def drop_leases(self, at: datetime) -> None:
        self.both(lambda unit: unit.leases.drop_ended(at))

    @rule(kind=KINDS, subject=st.just("") | NAMES, at=TIMES, data=DOCUMENTS)
    def add_event(self, kind: EventKind, subject: str, at: datetime, data: dict[str, object]) -> None:
        self.both(lambda unit: unit.events.add(Event(kind, subject, "message", at, data)))

    @rule(
        limit=LIMITS,
        before=st.none() | st.integers(0, 9),
        subject=st.none() | st.just("") | NAMES,
        kinds=st.lists(KINDS, max_size=2),
    )
    def look_at_events(self, limit: int, before: int | None, subject: str | None, kinds: list[EventKind]) -> None:
        self.both(lambda unit: unit.events.latest(limit=limit, before=before, subject=subject, kinds=kinds))
        self.both(lambda unit: unit.events.after(before or 0, limit=limit))

    @rule(plan_id=NAMES, at=TIMES, document=DOCUMENTS)
    def add_plan(self, plan_id: str, at: datetime, document: dict[str, object]) -> None:
        self.both(lambda unit: unit.plans.add(KeptPlan(plan_id, 1, at, document)))

    @rule(plan_id=NAMES, epoch=st.integers(1, 3), limit=LIMITS)
    def apply_plan(self, plan_id: str, epoch: int, limit: int) -> None:
        self.both(lambda unit: unit.plans.mark_applied(plan_id, epoch=epoch))
        self.both(lambda unit: unit.plans.get(plan_id))
        self.both(lambda unit: unit.plans.latest(limit=limit))

    @rule(paused=st.booleans(), rate=st.none() | NUMBERS, concurrency=st.none() | LIMITS)
    def set_limits(self, paused: bool, rate: int | None, concurrency: int | None) -> None:
        self.both(lambda unit: unit.control.set(RebalanceControl(paused, rate, concurrency)))

    @rule(counts=st.dictionaries(COUNTERS, NUMBERS))
    def count(self, counts: dict[Counter, int]) -> None:
        self.both(lambda unit: unit.counters.add(counts))

    @rule(samples=st.lists(st.builds(UsageSample, NAMES, TIMES, NUMBERS, NUMBERS), max_size=3))
    def add_samples(self, samples: list[UsageSample]) -> None:
        self.both(lambda unit: unit.usage.add(samples))

    @rule(at=TIMES)
    def look_at_samples(self, at: datetime) -> None:
        self.both(lambda unit: unit.usage.since(at))

    @rule(at=TIMES)
    def forget(self, at: datetime) -> None:
        self.both(lambda unit: unit.events.drop_before(at))
        self.both(lambda unit: unit.plans.drop_before(at))
        self.both(lambda unit: unit.usage.drop_before(at))

    @rule(moments=st.lists(TIMES, max_size=2))
    def forget_samples(self, moments: list[datetime]) -> None:
        self.both(lambda unit: unit.usage.drop(moments))

    @invariant()
    def heads_are_the_same(self) -> None:
        self.both(lambda unit: unit.events.last_id())
        self.both(lambda unit: unit.control.get())
        self.both(lambda unit: unit.counters.get())


TestOperationsTwins = OperationsTwins.TestCase
TestOperationsTwins.settings = SETTINGS
