"""Videos on their way to another policy, in memory. The methods promise what their port says."""

from __future__ import annotations

from collections.abc import Sequence

from reelstore.domain.video import Transfer
from reelstore.repositories.memory.tables import Tables


class InMemoryTransfers:
    """See `TransferRepository`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def put(self, transfer: Transfer) -> None:
        """See `TransferRepository.put`."""
        if transfer.video_id not in self._tables.videos:
            raise self._tables.violation(f"there is no video {transfer.video_id}")
        self._tables.transfers.put(transfer.video_id, transfer)

    async def get(self, video_id: str) -> Transfer | None:
        """See `TransferRepository.get`."""
        return self._tables.transfers.get(video_id)

    async def list(self, *, limit: int, after: str = "") -> Sequence[Transfer]:
        """See `TransferRepository.list`."""
        later = (transfer for transfer in self._tables.transfers.values() if transfer.video_id > after)
        return sorted(later, key=lambda transfer: transfer.video_id)[:limit]

    async def delete(self, video_id: str) -> bool:
        """See `TransferRepository.delete`."""
        if video_id not in self._tables.transfers:
            return False
        self._tables.transfers.drop(video_id)
        return True
