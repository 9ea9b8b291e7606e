"""Get a chunk from whichever servers have good shards of it: verified, hedged, and searched for before it is missed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Container, Iterable
from dataclasses import dataclass

from reelstore.chunkstore.fleet import Fleet, FleetMember
from reelstore.chunkstore.redundancy import Redundancy, decoded
from reelstore.chunkstore.topology import Topology, TopologyCache, shard_name
from reelstore.domain.chunk import Chunk, ShardName
from reelstore.domain.errors import ChunkLost, ChunkUnavailable, ServerUnavailable, ShardCorrupt, ShardMissing
from reelstore.domain.server import ServerState
from reelstore.repositories.interface import Metadata
from reelstore.storage.interface import ByteString

PASSES_MAX = 5
HEDGE_SECONDS_MIN = 0.05
HEDGE_SECONDS_MAX = 1.0
HEDGE_LATENCIES = 4
"""A second server is asked when the first takes this many times its usual latency."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Defect:
    """A shard that is not what the ring promises; somebody should reconcile its partition."""

    policy: str
    partition: int
    server: int
    name: ShardName
    problem: str


@dataclass(frozen=True, slots=True)
class _Candidate:
    member: FleetMember
    name: ShardName


class Fetcher:
    """Fetch chunks.

    Args:
        fleet: the servers.
        topology: where shards should be.
        metadata: asked again before a chunk is declared lost (rule 8).
        on_defect: told of each missing or corrupt shard that a read met; must not block.
        get_timeout_seconds: after which a server counts as not answering.
    """

    def __init__(
        self,
        fleet: Fleet,
        topology: TopologyCache,
        metadata: Metadata,
        *,
        on_defect: Callable[[Defect], None],
        get_timeout_seconds: float = 15.0,
    ) -> None:
        self._fleet = fleet
        self._topology = topology
        self._metadata = metadata
        self._on_defect = on_defect
        self._get_timeout_seconds = get_timeout_seconds

    async def fetch(self, chunk: Chunk) -> ByteString:
        """Return a chunk's bytes, verified against its digest.

        Raises:
            ChunkUnavailable: no good shard on the servers that answered, and some did not; a retry can help.
            ChunkLost: a whole pass over all servers, all of which answered, found none, and neither the ring nor the
                partition changed during it.
        """
        topology = self._topology.present
        data = await self._gather(chunk, topology, self._expected(chunk, topology), silent=set())
        return data if data is not None else await self._search(chunk)

    async def _search(self, chunk: Chunk) -> ByteString:
        """Look everywhere: a miss is final only if nothing changed during a whole pass and all answered (rule 8)."""
        unreachable: set[str] = set()
        for _ in range(PASSES_MAX):
            topology = await self._topology.refresh()
            partition = topology.ring(chunk.policy).partition_of(chunk.digest)
            before = await self._version(chunk.policy, partition)
            expected = self._expected(chunk, topology)
            known = {(candidate.member.server.number, candidate.name) for candidate in expected}
            found, unreachable = await self._find_everywhere(chunk)
            others = [c for c in found if (c.member.server.number, c.name) not in known]
            data = await self._gather(chunk, topology, expected + others, silent=unreachable)
            if data is not None:
                return data
            if await self._version(chunk.policy, partition) != before:
                continue
            unreachable |= await self._unknown_servers()
            if not unreachable and all(member.is_up for member in self._fleet):
                raise ChunkLost(
                    f"no server has a good copy of chunk {chunk.digest.hex()}, and all of them answered",
                    digest=chunk.digest.hex(),
                )
            break
        down = tuple(sorted(unreachable | {member.server.name for member in self._fleet if not member.is_up}))
        raise ChunkUnavailable(
            f"chunk {chunk.digest.hex()} is on none of the servers that answer"
            + (f"; no answer from {', '.join(down)}" if down else "; the ring kept changing"),
            digest=chunk.digest.hex(),
            unreachable=down,
        )

    async def _version(self, policy: str, partition: int) -> tuple[int, int]:
        async with self._metadata.snapshot() as view:
            state = await view.partitions.get(policy, partition)
            return await view.rings.head(), state.version if state else -1

    async def _unknown_servers(self) -> set[str]:
        """Return the names of servers that another process has added and this one has not asked: it follows late."""
        async with self._metadata.snapshot() as view:
            servers = await view.servers.list()
        asked = self._fleet.numbers()
        return {each.name for each in servers if each.state is not ServerState.REMOVED and each.number not in asked}

    def _expected(self, chunk: Chunk, topology: Topology) -> list[_Candidate]:
        """Return where the newest row, then the synced row, say that shards are; each row in order of preference.

        Fragments of data come before those of parity, so that nothing is computed while all of them can be had.
        """
        ring = topology.ring(chunk.policy)
        partition = ring.partition_of(chunk.digest)
        newest = ring.row(partition)
        synced = topology.synced_row(chunk.policy, partition)
        rows = (newest,) if synced == newest else (newest, synced)
        candidates: dict[tuple[int, ShardName], _Candidate] = {}
        for row in rows:
            names = {seat.server: shard_name(chunk, seat) for seat in row}
            for member in self._fleet.by_preference(names):
                name = names[member.server.number]
                candidates.setdefault((member.server.number, name), _Candidate(member, name))
        redundancy = topology.redundancy(chunk.policy)

        def rank(candidate: _Candidate) -> tuple[bool, bool]:
            return not candidate.member.is_up, not redundancy.alike and candidate.name.slot >= redundancy.needed

        return sorted(candidates.values(), key=rank)

    async def _find_everywhere(self, chunk: Chunk) -> tuple[list[_Candidate], set[str]]:
        async def ask(member: FleetMember) -> list[_Candidate] | None:
            try:
                async with asyncio.timeout(self._get_timeout_seconds):
                    entries = await member.driver.find(chunk.policy, chunk.digest)
            except (ServerUnavailable, TimeoutError):
                return None
            return [_Candidate(member, entry.name) for entry in entries]

        members = list(self._fleet)
        answers = await asyncio.gather(*map(ask, members))
        found = [candidate for answer in answers if answer for candidate in answer]
        silent = {m.server.name for m, answer in zip(members, answers, strict=True) if answer is None}
        return found, silent

    async def _gather(
        self, chunk: Chunk, topology: Topology, candidates: Iterable[_Candidate], *, silent: set[str]
    ) -> ByteString | None:
        """Read candidates in order until enough are good; ask one more whenever the ones asked take long.

        The names of servers that do not answer are added to `silent`: a probe may call them up again at any moment.
        """
        redundancy = topology.redundancy(chunk.policy)
        queue = list(candidates)
        good: dict[int, ByteString] = {}
        running: dict[asyncio.Task[ByteString | None], int] = {}
        enough, hedge = redundancy.needed, False
        try:
            while True:
                patience = HEDGE_SECONDS_MAX
                while hedge or len(good.keys() | running.values()) < enough:
                    candidate = _next(queue, good, running.values(), even_if_asked=hedge)
                    hedge = False
                    if candidate is None:
                        break
                    task = asyncio.create_task(self._read(chunk, candidate, redundancy, topology, silent))
                    running[task] = candidate.name.slot
                    patience = candidate.member.latency_seconds * HEDGE_LATENCIES
                if not running:
                    return None
                patience = min(max(patience, HEDGE_SECONDS_MIN), HEDGE_SECONDS_MAX)
                done, _ = await asyncio.wait(
                    running, timeout=patience if queue else None, return_when=asyncio.FIRST_COMPLETED
                )
                hedge = not done
                for task in done:
                    slot, shard = running.pop(task), task.result()
                    if shard is not None:
                        good[slot] = shard
                if len(good) >= enough:
                    data = await decoded(redundancy, good, digest=chunk.digest)
                    if data is not None:
                        return data
                    log.error("shards of chunk %s are good, and do not make it together", chunk.digest.hex())
                    enough = len(good) + 1
        finally:
            for task in running:
                task.cancel()

    async def _read(
        self, chunk: Chunk, candidate: _Candidate, redundancy: Redundancy, topology: Topology, silent: set[str]
    ) -> ByteString | None:
        """Read and verify one shard; return its bytes, or None when it is no good or not to be had."""
        member, name = candidate.member, candidate.name
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self._get_timeout_seconds):
                shard = await member.driver.get(name)
        except ShardMissing:
            self._report_missing(chunk, candidate, topology)
            return None
        except ShardCorrupt:  # the medium itself cannot give the bytes back
            self._report(chunk, candidate, topology, "corrupt")
            return None
        except ServerUnavailable as error:
            silent.add(member.server.name)
            member.failed(error)
            return None
        except TimeoutError:
            silent.add(member.server.name)
            member.failed(
                ServerUnavailable(
                    f"no answer to a get within {self._get_timeout_seconds:g} s", server=member.server.name
                )
            )
            return None
        if not await asyncio.to_thread(redundancy.is_good, shard, digest=chunk.digest, slot=name.slot):
            log.warning("server %s has a corrupt shard: %s", member.server.name, name)
            self._report(chunk, candidate, topology, "corrupt")
            return None
        member.succeeded(time.perf_counter() - began)
        return shard

    def _report_missing(self, chunk: Chunk, candidate: _Candidate, topology: Topology) -> None:
        """Report a missing shard, but not where it is known to be still on its way to the newest row."""
        partition = topology.ring(chunk.policy).partition_of(chunk.digest)
        if int(topology.synced[chunk.policy][partition]) == topology.epoch:
            self._report(chunk, candidate, topology, "missing")

    def _report(self, chunk: Chunk, candidate: _Candidate, topology: Topology, problem: str) -> None:
        """Report a defect where the newest row promises the shard; any other copy goes when that row is settled."""
        ring = topology.ring(chunk.policy)
        partition = ring.partition_of(chunk.digest)
        if any(candidate.name == shard_name(chunk, seat) for seat in ring.row(partition)):
            number = candidate.member.server.number
            self._on_defect(Defect(chunk.policy, partition, number, candidate.name, problem))


def _next(
    queue: list[_Candidate], good: Container[int], asked: Collection[int], *, even_if_asked: bool
) -> _Candidate | None:
    """Take the next candidate off the queue: one of a slot that nobody is asked for, or any slot that nobody gave."""
    queue[:] = [candidate for candidate in queue if candidate.name.slot not in good]
    for index, candidate in enumerate(queue):
        if candidate.name.slot not in asked:
            return queue.pop(index)
    return queue.pop(0) if queue and even_if_asked else None
