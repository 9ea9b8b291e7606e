"""Leases, limits, counts and samples of fill in SQL. The methods promise what their ports say."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, delete, func, select

from reelstore.domain.counter import Counter
from reelstore.repositories.interface import Lease, Need, Partition, RebalanceControl, UsageSample
from reelstore.repositories.sql.dialects import upsert
from reelstore.repositories.sql.schema import control, counters, leases, needs, usage_samples
from reelstore.repositories.sql.session import Session


class SqlLeases:
    """See `LeaseRepository`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def take(self, name: str, *, holder: str, now: datetime, term_seconds: float) -> bool:
        """See `LeaseRepository.take`."""
        term, known = timedelta(seconds=term_seconds), leases.c
        void = (known.expires_at <= now) | (known.expires_at > now + 2 * term)
        statement = upsert(leases)
        statement = statement.on_conflict_do_update(
            index_elements=["name"],
            set_={"holder": statement.excluded.holder, "expires_at": statement.excluded.expires_at},
            where=(known.holder == holder) | void,
        )
        values = {"name": name, "holder": holder, "expires_at": now + term}
        return await self._session.write(lambda connection: connection.execute(statement, values).rowcount > 0)

    async def release(self, name: str, *, holder: str) -> bool:
        """See `LeaseRepository.release`."""
        statement = delete(leases).where(leases.c.name == name, leases.c.holder == holder)
        return await self._session.write(lambda connection: connection.execute(statement).rowcount > 0)

    async def in_force(self, prefix: str, *, now: datetime) -> Sequence[Lease]:
        """See `LeaseRepository.in_force`. LIKE would take `_` for any character, and `A` for `a`."""
        begins = (leases.c.name >= prefix) & (func.substr(leases.c.name, 1, len(prefix)) == prefix)
        statement = select(leases).where(begins, leases.c.expires_at > now).order_by(leases.c.name)
        return await self._session.read(lambda connection: [Lease(*row) for row in connection.execute(statement)])

    async def drop_ended(self, now: datetime) -> int:
        """See `LeaseRepository.drop_ended`."""
        statement = delete(leases).where(leases.c.expires_at <= now)
        return await self._session.write(lambda connection: connection.execute(statement).rowcount)


class SqlNeeds:
    """See `NeedRepository`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def add(self, needs: Mapping[Partition, Need]) -> None:
        """See `NeedRepository.add`."""
        rows = [
            {"policy": policy, "partition": index, **asdict(need)} for (policy, index), need in sorted(needs.items())
        ]
        self._session.check_writable()
        if rows:
            await self._session.write(lambda connection: connection.execute(_JOIN_NEEDS, rows))

    async def list(self, *, limit: int) -> Mapping[Partition, Need]:
        """See `NeedRepository.list`."""
        statement = select(needs).order_by(needs.c.policy, needs.c.partition).limit(limit)
        rows = await self._session.read(lambda connection: connection.execute(statement).all())
        return {(row.policy, row.partition): Need(row.verify, row.collect, row.unsettled) for row in rows}

    async def drop(self, partitions: Collection[Partition]) -> None:
        """See `NeedRepository.drop`."""
        statement = delete(needs).where(
            needs.c.policy == bindparam("of_policy"), needs.c.partition == bindparam("index")
        )
        rows = [{"of_policy": policy, "index": index} for policy, index in sorted(partitions)]
        self._session.check_writable()
        if rows:
            await self._session.write(lambda connection: connection.execute(statement, rows))


_JOIN_NEEDS = upsert(needs)
_JOIN_NEEDS = _JOIN_NEEDS.on_conflict_do_update(
    index_elements=["policy", "partition"],
    set_={name: needs.c[name] | _JOIN_NEEDS.excluded[name] for name in ("verify", "collect", "unsettled")},
)


class SqlControl:
    """See `ControlRepository`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def get(self) -> RebalanceControl:
        """See `ControlRepository.get`."""
        statement = select(control.c.paused, control.c.bytes_per_second, control.c.concurrency)
        row = await self._session.read(lambda connection: connection.execute(statement).one_or_none())
        return RebalanceControl() if row is None else RebalanceControl(*row)

    async def set(self, control: RebalanceControl) -> None:
        """See `ControlRepository.set`."""
        values = {"the_row": 1, **asdict(control)}
        await self._session.write(lambda connection: connection.execute(_SET_CONTROL, values))


_SET_CONTROL = upsert(control)
_SET_CONTROL = _SET_CONTROL.on_conflict_do_update(
    index_elements=["the_row"],
    set_={column.name: _SET_CONTROL.excluded[column.name] for column in control.c if not column.primary_key},
)


class SqlCounters:
    """See `CounterRepository`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def add(self, counts: Mapping[Counter, int]) -> None:
        """See `CounterRepository.add`. In order of name, so that two who add cannot lock each other out."""
        rows = [{"name": counter, "count": count} for counter, count in sorted(counts.items())]
        self._session.check_writable()
        if rows:
            await self._session.write(lambda connection: connection.execute(_ADD_COUNTS, rows))

    async def get(self) -> Mapping[Counter, int]:
        """See `CounterRepository.get`."""
        rows = await self._session.read(lambda connection: connection.execute(select(counters)).all())
        kept = {name: count for name, count in rows}  # noqa: C416  # dict(rows) is not typed
        return {counter: kept.get(counter, 0) for counter in Counter}


_ADD_COUNTS = upsert(counters)
_ADD_COUNTS = _ADD_COUNTS.on_conflict_do_update(
    index_elements=["name"], set_={"count": counters.c["count"] + _ADD_COUNTS.excluded["count"]}
)


class SqlUsage:
    """See `UsageRepository`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def add(self, samples: Sequence[UsageSample]) -> None:
        """See `UsageRepository.add`."""
        rows = [asdict(sample) for sample in samples]
        self._session.check_writable()
        if rows:
            await self._session.write(lambda connection: connection.execute(_ADD_SAMPLES, rows))

    async def since(self, at: datetime) -> Sequence[UsageSample]:
        """See `UsageRepository.since`."""
        taken = usage_samples.c
        statement = select(usage_samples).where(taken.at >= at).order_by(taken.at, taken.server)
        return await self._session.read(
            lambda connection: [UsageSample(**row._asdict()) for row in connection.execute(statement)]
        )

    async def drop_before(self, at: datetime) -> int:
        """See `UsageRepository.drop_before`."""
        statement = delete(usage_samples).where(usage_samples.c.at < at)
        return await self._session.write(lambda connection: connection.execute(statement).rowcount)

    async def drop(self, moments: Sequence[datetime]) -> int:
        """See `UsageRepository.drop`."""

        def work(connection: Connection) -> int:
            statement = delete(usage_samples).where(usage_samples.c.at == bindparam("moment"))
            return sum(connection.execute(statement, {"moment": moment}).rowcount for moment in moments)

        return await self._session.write(work)


_ADD_SAMPLES = upsert(usage_samples)
_ADD_SAMPLES = _ADD_SAMPLES.on_conflict_do_update(
    index_elements=["at", "server"],
    set_={name: _ADD_SAMPLES.excluded[name] for name in ("used_bytes", "capacity_bytes")},
)
