"""Videos on their way to another policy, in SQL. The methods promise what `TransferRepository` says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import delete, select

from reelstore.domain.video import Transfer
from reelstore.repositories.sql.dialects import upsert
from reelstore.repositories.sql.schema import transfers
from reelstore.repositories.sql.session import Session


class SqlTransfers:
    """See `TransferRepository`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def put(self, transfer: Transfer) -> None:
        """See `TransferRepository.put`."""
        values = asdict(transfer)
        statement = upsert(transfers)
        statement = statement.on_conflict_do_update(
            index_elements=["video_id"], set_={name: statement.excluded[name] for name in values if name != "video_id"}
        )
        await self._session.write(lambda connection: connection.execute(statement, values))

    async def get(self, video_id: str) -> Transfer | None:
        """See `TransferRepository.get`."""
        statement = select(transfers).where(transfers.c.video_id == video_id)
        row = await self._session.read(lambda connection: connection.execute(statement).one_or_none())
        return None if row is None else Transfer(**row._asdict())

    async def list(self, *, limit: int, after: str = "") -> Sequence[Transfer]:
        """See `TransferRepository.list`."""
        video_id = transfers.c.video_id
        statement = select(transfers).where(video_id > after).order_by(video_id).limit(limit)
        return await self._session.read(
            lambda connection: [Transfer(**row._asdict()) for row in connection.execute(statement)]
        )

    async def delete(self, video_id: str) -> bool:
        """See `TransferRepository.delete`."""
        statement = delete(transfers).where(transfers.c.video_id == video_id)
        return await self._session.write(lambda connection: connection.execute(statement).rowcount > 0)
