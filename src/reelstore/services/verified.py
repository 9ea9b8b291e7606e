"""Which shards changed since they were last read and hashed, so that a quick pass need not read all of them."""

from __future__ import annotations

from collections.abc import Container, Iterable

from reelstore.repositories.interface import PartitionState
from reelstore.services.survey import Expected
from reelstore.storage.interface import ShardEntry

CLOCK_MARGIN_SECONDS = 3600
"""How far a server's clock may be from the database's, for what was scrubbed before this process began."""


class VerifiedThrough:
    """Remember, for each partition and server, up to which change time its shards were verified.

    It only decides what is read *soon*: bytes that rot without a change time are found by scrubbing, in which every
    shard is read whatever this says.
    """

    def __init__(self) -> None:
        self._through: dict[tuple[str, int, int], int] = {}
        self._partitions: dict[str, int] = {}

    def follow(self, policy: str, partitions: int) -> None:
        """Forget what is known of a policy's partitions when there are more of them: they are numbered anew."""
        if self._partitions.setdefault(policy, partitions) != partitions:
            self._partitions[policy] = partitions
            self._through = {key: through for key, through in self._through.items() if key[0] != policy}

    def is_due(self, state: PartitionState, server: int, entry: ShardEntry) -> bool:
        """Return whether a shard was touched since it was last verified."""
        if entry.changed_ns is None:
            return False
        through = self._through.get((state.policy, state.index, server))
        if through is None:
            scrubbed_at = state.scrubbed_at
            through = 0 if scrubbed_at is None else int((scrubbed_at.timestamp() - CLOCK_MARGIN_SECONDS) * 1e9)
        return entry.changed_ns > through

    def note(self, policy: str, shards: Iterable[Expected], *, but: Container[tuple[int, int]]) -> None:
        """Remember that all of these shards are verified, but for those partitions and servers where one is not."""
        for shard in shards:
            where = (shard.partition, shard.seat.server)
            if shard.entry is None or shard.entry.changed_ns is None or where in but:
                continue
            key = (policy, *where)
            self._through[key] = max(self._through.get(key, 0), shard.entry.changed_ns)
