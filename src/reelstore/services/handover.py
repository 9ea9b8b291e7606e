"""Hand needs over from gateways without a background to workers, by way of the metadata.

What is on its way in neither place is lost by a crash, and costs time only: all is seen again (rule 10).
"""

from __future__ import annotations

from reelstore.domain.errors import ReelstoreError
from reelstore.repositories.interface import Metadata
from reelstore.services.attention import Attention

NEEDS_AT_ONCE = 4096


class Handover:
    """Give needs of this process to others, or take theirs.

    Args:
        metadata: where they wait.
        attention: of this process.
    """

    def __init__(self, metadata: Metadata, attention: Attention) -> None:
        self._metadata = metadata
        self._attention = attention

    async def give(self) -> None:
        """Leave all that this process has noted to a worker.

        Raises:
            MetadataUnavailable: it is noted here still; a retry can help.
        """
        needs = self._attention.take()
        if not needs:
            return
        try:
            async with self._metadata.unit_of_work(frees=True) as uow:  # what frees room waits among them
                await uow.needs.add(needs)
                await uow.commit()
        except ReelstoreError:
            self._attention.put_back(needs)
            raise

    async def take(self) -> None:
        """Take over what others have left; who comes first has it.

        Raises:
            MetadataUnavailable: a retry can help.
        """
        async with self._metadata.snapshot() as view:
            if not await view.needs.list(limit=1):
                return
        async with self._metadata.unit_of_work(frees=True) as uow:
            needs = await uow.needs.list(limit=NEEDS_AT_ONCE)
            await uow.needs.drop(needs.keys())
            await uow.commit()
        for (policy, partition), need in needs.items():
            self._attention.add(policy, [partition], need)
