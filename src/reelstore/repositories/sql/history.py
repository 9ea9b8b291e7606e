"""Events and plans in SQL. The methods promise what their ports say."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, delete, insert, select, update

from reelstore.domain.event import Event, EventKind
from reelstore.repositories.documents import as_kept
from reelstore.repositories.interface import KeptPlan
from reelstore.repositories.sql.schema import event_head, events, plans
from reelstore.repositories.sql.session import Session


class SqlEvents:
    """See `EventRepository`.

    An id is drawn from a row that stays locked until the unit ends. So ids are in the order of commits, and who has
    read one has missed none before it. A sequence of the database's own would not do: its numbers become visible in
    another order, and some never.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    async def add(self, event: Event) -> int:
        """See `EventRepository.add`."""
        values = {
            "kind": event.kind,
            "subject": event.subject,
            "message": event.message,
            "at": event.at,
            "data": as_kept(event.data),
        }

        def work(connection: Connection) -> int:
            event_id: int = connection.execute(_NEXT_ID).scalar_one()
            connection.execute(insert(events), {"id": event_id, **values})
            return event_id

        return await self._session.write(work)

    async def after(self, event_id: int, *, limit: int) -> Sequence[Event]:
        """See `EventRepository.after`."""
        statement = select(events).where(events.c.id > event_id).order_by(events.c.id).limit(limit)
        return await self._session.read(lambda connection: _read_events(connection, statement))

    async def latest(
        self, *, limit: int, before: int | None = None, subject: str | None = None, kinds: Sequence[EventKind] = ()
    ) -> Sequence[Event]:
        """See `EventRepository.latest`."""
        statement = select(events).order_by(events.c.id.desc()).limit(limit)
        if before is not None:
            statement = statement.where(events.c.id < before)
        if subject is not None:
            statement = statement.where(events.c.subject == subject)
        if kinds:
            statement = statement.where(events.c.kind.in_(kinds))
        return await self._session.read(lambda connection: _read_events(connection, statement))

    async def last_id(self) -> int:
        """See `EventRepository.last_id`."""
        statement = select(event_head.c.last_id)
        return await self._session.read(lambda connection: connection.execute(statement).scalar_one())

    async def drop_before(self, at: datetime) -> int:
        """See `EventRepository.drop_before`."""
        statement = delete(events).where(events.c.at < at)
        return await self._session.write(lambda connection: connection.execute(statement).rowcount)


_NEXT_ID = update(event_head).values(last_id=event_head.c.last_id + 1).returning(event_head.c.last_id)


class SqlPlans:
    """See `PlanRepository`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def add(self, plan: KeptPlan) -> None:
        """See `PlanRepository.add`."""
        values = {column.name: getattr(plan, column.name) for column in plans.c} | {"document": as_kept(plan.document)}
        await self._session.write(lambda connection: connection.execute(insert(plans), values))

    async def get(self, plan_id: str) -> KeptPlan | None:
        """See `PlanRepository.get`."""
        statement = select(plans).where(plans.c.id == plan_id)
        row = await self._session.read(lambda connection: connection.execute(statement).one_or_none())
        return None if row is None else KeptPlan(**row._asdict())

    async def mark_applied(self, plan_id: str, *, epoch: int) -> bool:
        """See `PlanRepository.mark_applied`."""
        statement = update(plans).where(plans.c.id == plan_id, plans.c.applied_epoch.is_(None))
        values = {"applied_epoch": epoch}
        return await self._session.write(lambda connection: connection.execute(statement, values).rowcount > 0)

    async def latest(self, *, limit: int) -> Sequence[KeptPlan]:
        """See `PlanRepository.latest`. Of those of the same moment, the largest id comes first."""
        statement = select(plans).order_by(plans.c.created_at.desc(), plans.c.id.desc()).limit(limit)
        return await self._session.read(
            lambda connection: [KeptPlan(**row._asdict()) for row in connection.execute(statement)]
        )

    async def drop_before(self, at: datetime) -> int:
        """See `PlanRepository.drop_before`."""
        statement = delete(plans).where(plans.c.created_at < at, plans.c.applied_epoch.is_(None))
        return await self._session.write(lambda connection: connection.execute(statement).rowcount)


def _read_events(connection: Connection, statement: Select[Any]) -> list[Event]:
    rows = connection.execute(statement)
    return [Event(**{**row._asdict(), "kind": EventKind(row.kind)}) for row in rows]
