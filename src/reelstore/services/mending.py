"""Read, adopt and put the shards of chunks: several chunks at once, within the limits, and never past a pause."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from reelstore.chunkstore.redundancy import decoded, encoded
from reelstore.chunkstore.store import ChunkStore
from reelstore.domain.chunk import Chunk
from reelstore.domain.counter import Counter
from reelstore.domain.errors import ChunkLost, ChunkUnavailable
from reelstore.services.control import Paused
from reelstore.services.moves import Moves
from reelstore.services.outcome import Outcome
from reelstore.services.pace import Pace
from reelstore.services.progress import Progress
from reelstore.services.repair import Repairer, ShardState
from reelstore.services.survey import Expected
from reelstore.storage.interface import ByteString, ShardEntry

Found = Callable[[Expected, ShardState], Awaitable[None]]


@dataclass(slots=True)
class Case:
    """A chunk of which shards are to be read or put.

    Args:
        chunk: which one.
        partition: its partition.
        look: shards that are there, and are to be read.
        suspect: shards that are there, and are bad.
        gone: shards that are missing.
        others: by server number, what it has of the chunk under names that the row does not promise.
        scrub: they are read because it is time to, so that it keeps to the pace of reading.
    """

    chunk: Chunk
    partition: int
    look: list[Expected] = field(default_factory=list)
    suspect: list[Expected] = field(default_factory=list)
    gone: list[Expected] = field(default_factory=list)
    others: Mapping[int, list[ShardEntry]] = field(default_factory=dict)
    scrub: bool = True


class Mender:
    """Mend cases.

    Args:
        store: finds good bytes wherever they are.
        repairer: reads and puts single shards.
        moves: how many at once, and how fast they are put.
        pace: how fast they are read where nothing is to be put.
        progress: told of every shard that is where it should be.
    """

    def __init__(self, store: ChunkStore, repairer: Repairer, moves: Moves, pace: Pace, progress: Progress) -> None:
        self._store = store
        self._repairer = repairer
        self._moves = moves
        self._pace = pace
        self._progress = progress

    async def mend(
        self,
        cases: Iterable[Case],
        outcome: Outcome,
        *,
        is_move: Callable[[Expected], bool],
        found: Found,
        wanted: Callable[[], bool],
    ) -> bool:
        """Mend them all.

        Args:
            cases: in the order of urgency.
            outcome: what was done is noted there at once, so that nothing of it is forgotten whatever comes next.
            is_move: tells whether a missing shard was never there, as its server is new in the row.
            found: told of each bad or missing shard that a look finds, before anything is put in its place.
            wanted: tells whether it is still of use: a newer ring asks for other things.

        Returns:
            whether all of it was gone through.

        Raises:
            Paused: nothing more may be moved now; what was under way was brought to its end.
            MetadataUnavailable: a retry can help.
        """
        paused = False

        async def mend(case: Case) -> None:
            nonlocal paused
            try:
                await self._mend(case, outcome, is_move, found)
            except Paused:
                paused = True
            finally:
                self._moves.leave()

        try:
            async with asyncio.TaskGroup() as group:
                for case in cases:
                    try:
                        await self._moves.enter()
                    except Paused:
                        paused = True
                        break
                    if not wanted():
                        self._moves.leave()
                        break
                    group.create_task(mend(case))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        if paused:
            raise Paused
        return wanted()

    async def _mend(self, case: Case, outcome: Outcome, is_move: Callable[[Expected], bool], found: Found) -> None:
        read: dict[int, ByteString] = {}
        for shard in case.look:
            await self._look(case, shard, read, outcome, found)
        for shard in case.gone:
            move = is_move(shard)
            if await self._adopt(shard, case, outcome):
                continue
            await self._put(shard, read, outcome, Counter.SHARDS_MOVED if move else Counter.SHARDS_REPAIRED)
        for shard in case.suspect:
            await self._put(shard, read, outcome, Counter.SHARDS_REPAIRED, suspect=True)

    async def _look(
        self, case: Case, shard: Expected, read: dict[int, ByteString], outcome: Outcome, found: Found
    ) -> None:
        """Read a shard; keep its bytes if others of the chunk are to be made from them."""
        size_bytes = self._repairer.size_bytes(shard)
        if case.scrub:
            await self._pace.wait(size_bytes)
        await self._moves.begin()
        outcome.counts[Counter.SHARDS_VERIFIED] += 1
        outcome.counts[Counter.SHARDS_VERIFIED_BYTES] += size_bytes
        if (case.gone or case.suspect) and (data := await self._repairer.read(shard)) is not None:
            read[shard.seat.slot] = data
            outcome.proved.add(shard.name)
            return
        state = await self._repairer.look(shard)
        if state is ShardState.GOOD:
            outcome.proved.add(shard.name)
            return
        outcome.unverified.add((shard.partition, shard.seat.server))
        if state is ShardState.UNREACHABLE:
            outcome.blocked[shard.partition] = "unreachable: a server stopped answering"
            return
        (case.suspect if state is ShardState.CORRUPT else case.gone).append(shard)
        await found(shard, state)

    async def _adopt(self, shard: Expected, case: Case, outcome: Outcome) -> bool:
        others = case.others.get(shard.seat.server)
        if not others:
            return False
        await self._moves.begin()
        if not await self._repairer.adopt(shard, others):
            return False
        self._done(shard, outcome, Counter.SHARDS_ADOPTED)
        return True

    async def _put(
        self,
        shard: Expected,
        read: dict[int, ByteString],
        outcome: Outcome,
        kind: Counter,
        *,
        suspect: bool = False,
    ) -> None:
        try:
            data = await self._source(shard.chunk, shard.seat.slot, read)
        except (ChunkLost, ChunkUnavailable) as error:
            if isinstance(error, ChunkLost):
                outcome.lost[shard.chunk.id] = shard.chunk
            else:
                outcome.blocked[shard.partition] = str(error)
            return
        await self._moves.begin(self._repairer.size_bytes(shard))
        with self._progress.moving():
            why_not = await self._repairer.put(shard, data, suspect=suspect)
        if why_not is None:
            self._done(shard, outcome, kind)
        else:
            outcome.blocked[shard.partition] = why_not

    async def _source(self, chunk: Chunk, slot: int, read: dict[int, ByteString]) -> ByteString:
        """Return a slot's shard: made from what was read of the chunk already, or from what other servers have."""
        if slot not in read:
            redundancy = self._store.topology.present.redundancy(chunk.policy)
            data = await decoded(redundancy, read, digest=chunk.digest) if len(read) >= redundancy.needed else None
            if data is None:
                data = await self._store.fetch(chunk)
            read.update(enumerate(await encoded(redundancy, data, digest=chunk.digest)))
        return read[slot]

    def _done(self, shard: Expected, outcome: Outcome, kind: Counter) -> None:
        size_bytes = self._repairer.size_bytes(shard)
        outcome.counts[kind] += 1
        outcome.counts[_BYTES_OF[kind]] += size_bytes
        outcome.proved.add(shard.name)
        self._progress.moved(shard.chunk.policy, shard.partition, size_bytes)


_BYTES_OF = {
    Counter.SHARDS_MOVED: Counter.SHARDS_MOVED_BYTES,
    Counter.SHARDS_REPAIRED: Counter.SHARDS_REPAIRED_BYTES,
    Counter.SHARDS_ADOPTED: Counter.SHARDS_ADOPTED_BYTES,
}
