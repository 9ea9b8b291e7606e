"""What must hold at every moment, checked where it could break: at each commit, each put and each delete.

The checker keeps what is committed apart from what a unit of work has only begun, and it sees through the network:
it knows what lies on each disk.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from reelstore.chunkstore.redundancy import redundancy_of
from reelstore.chunkstore.topology import shard_name
from reelstore.domain.chunk import Chunk, ChunkState, ShardName
from reelstore.domain.server import Server, ServerState
from reelstore.placement.ring import RingSet, Seat
from reelstore.repositories.interface import PartitionState
from reelstore.repositories.memory.table import Table
from reelstore.repositories.memory.tables import THE_ROW

if TYPE_CHECKING:
    from tests.simulation.places import Place
    from tests.simulation.world import Process, World

K = TypeVar("K")

PAUSE_SECONDS_MAX = 2.0
"""After which a pause holds for every worker that is not stopped itself."""


class Violation(Exception):
    """Say which promise was broken."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(f"{kind}: {what}")
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Changes:
    """What a unit of work is about to commit, by key."""

    chunks: tuple[str, ...]
    files: tuple[str, ...]
    partitions: tuple[tuple[str, int], ...]
    rings: tuple[int, ...]
    servers: tuple[str, ...]

    @property
    def told(self) -> str:
        chunks = f" chunks {' '.join(chunk[:6] for chunk in self.chunks)}" if self.chunks else ""
        partitions = f" partitions {' '.join(f'{p}/{i}' for p, i in self.partitions)}" if self.partitions else ""
        return f"{chunks}{partitions}{f' rings {self.rings}' if self.rings else ''}"


def _changed(table: Table[K, Any]) -> tuple[K, ...]:
    return tuple(dict.fromkeys(key for key, _ in table._journal))


@dataclass(slots=True)
class _KnownFile:
    """When a file was begun, and how many of its chunks are confirmed."""

    began: float
    confirmed: int = 0


class Invariants:
    """Mirror what is committed, and compare it with the disks."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.chunks: dict[str, Chunk] = {}
        self._files: dict[str, _KnownFile] = {}
        self.partitions: dict[tuple[str, int], PartitionState] = {}
        self.rings: dict[int, RingSet] = {}
        self.servers: dict[str, Server] = {}
        self.unclean: set[tuple[str, int]] = set()
        self.commits = 0
        self._clean_at: tuple[int, int] = (0, 0)
        self.checks = 0

    # ------------------------------------------------------------------ what is committed

    def before_commit(self) -> Changes:
        """Return what the unit of work that holds the turn has changed."""
        tables = self._world.metadata._tables
        return Changes(
            chunks=_changed(tables.chunks),
            files=_changed(tables.files),
            partitions=_changed(tables.partitions),
            rings=_changed(tables.rings),
            servers=_changed(tables.servers),
        )

    def after_commit(self, changes: Changes) -> None:
        """Follow a commit, and check what it made true."""
        tables = self._world.metadata._tables
        partitions = set(changes.partitions)
        confirmed = []
        for key in changes.chunks:
            before, now = self.chunks.get(key), tables.chunks.get(key)
            if now is None:
                self.chunks.pop(key, None)
                continue
            self.chunks[key] = now
            if now.state is ChunkState.LIVE and (before is None or before.state is not ChunkState.LIVE):
                confirmed.append(now)
        for partition in changes.partitions:
            state = tables.partitions.get(partition)
            assert state is not None
            self.partitions[partition] = state
        for epoch in changes.rings:
            ring_set = tables.rings.get(epoch)
            assert ring_set is not None
            self.rings[epoch] = ring_set
        control = tables.control.get(THE_ROW)
        if control is None or not control.paused:
            self._world.paused_at = None
        elif self._world.paused_at is None:
            self._world.paused_at = self._world.loop.time()
        for name in changes.servers:
            server = tables.servers.get(name)
            assert server is not None
            removed = server.state is ServerState.REMOVED and self.servers[name].state is not ServerState.REMOVED
            self.servers[name] = server
            if removed:
                self._power_off(name)
        if changes.servers:
            self.__dict__.pop("_names", None)
        self._note_clean(changes)
        partitions.update((chunk.policy, self.partition_of(chunk)) for chunk in confirmed)
        for chunk in confirmed:
            self.check_copies(chunk, "confirmed")
        for file_id in changes.files:
            self._follow_file(file_id)
        for policy, index in sorted(partitions):
            self.check_clean(policy, index)

    def _follow_file(self, file_id: str) -> None:
        """Check the chunks that a file has confirmed just now: they are there, whatever was harmed before it began."""
        tables = self._world.metadata._tables
        file = tables.files.get(file_id)
        if file is None:
            self._files.pop(file_id, None)
            return
        known = self._files.setdefault(file_id, _KnownFile(self._world.loop.time()))
        for position in range(known.confirmed, file.chunk_count):
            self._check_presence(self.chunks[tables.places[file_id, position].chunk_id], known.began)
        known.confirmed = file.chunk_count

    def _check_presence(self, chunk: Chunk, began: float) -> None:
        world = self._world
        size_bytes = world.shard_size_bytes(chunk)
        there = {place.name for place in world.places.values() if place.has(chunk, size_bytes)}
        harmed_since = sum(at >= began for at in world.harmed_at.values())
        if len(there) < world.policies[chunk.policy].copies_min - harmed_since:
            raise world.broken("below copies_min", f"chunk {chunk.id[:6]} is confirmed and only on {sorted(there)}")

    def _note_clean(self, changes: Changes) -> None:
        self.commits += 1
        for partition in self.partitions if changes.rings else changes.partitions:
            (self.unclean.discard if self.is_clean(*partition) else self.unclean.add)(partition)
        if not self.unclean:
            self._clean_at = (self.commits, self.head)

    def was_unclean_since(self, commits: int, epoch: int) -> bool:
        """Say whether there was no moment, since so many commits, at which everything was clean at that epoch."""
        if not self.unclean:
            return epoch != self.head
        clean_commits, clean_epoch = self._clean_at
        return clean_commits < commits or clean_epoch != epoch

    def _power_off(self, name: str) -> None:
        """Take a removed server's disk away, as an operator may who was told that it is removed."""
        self._world.lose(name)
        self.check_all_copies(f"server {name} was removed")

    def check_all_copies(self, why: str, *, without: str | None = None) -> None:
        for chunk in self.live_chunks():
            self.check_copies(chunk, why, without=without)

    @property
    def head(self) -> int:
        return len(self.rings)

    @cached_property
    def _names(self) -> dict[int, str]:
        return {server.number: server.name for server in self.servers.values()}

    def live_chunks(self) -> list[Chunk]:
        return [chunk for chunk in self.chunks.values() if chunk.state is ChunkState.LIVE]

    def partition_of(self, chunk: Chunk) -> int:
        return self.rings[self.head].rings[chunk.policy].partition_of(chunk.digest)

    def row(self, chunk: Chunk) -> tuple[Seat, ...]:
        """Return the newest row of a chunk."""
        return self.rings[self.head].rings[chunk.policy].row(self.partition_of(chunk))

    def promised(self, chunk: Chunk) -> Iterable[tuple[Place, ShardName]]:
        """Give the places of a chunk's newest row, each with the name of its shard."""
        for seat in self.row(chunk):
            yield self._world.places[self._names[seat.server]], shard_name(chunk, seat)

    def is_clean(self, policy: str, index: int) -> bool:
        """Say whether the metadata calls a partition clean."""
        state = self.partitions[policy, index]
        return (state.synced_epoch, state.synced_version) == (self.head, state.version)

    # ------------------------------------------------------------------ what must hold

    def check_copies(self, chunk: Chunk, why: str, *, without: str | None = None) -> None:
        """Invariant I1: enough good copies on distinct servers, less the disks that were harmed.

        Args:
            chunk: a live one.
            why: is it checked now.
            without: a server that is to be thought away.
        """
        self.checks += 1
        world = self._world
        shards = [
            (place.name, name.slot)
            for place in world.places.values()
            if not place.is_gone and place.name != without
            for name in place.shards(chunk.policy, chunk.digest)
            if name.chunk == chunk.id and name not in place.rotten
        ]
        good, policy = {server for server, _ in shards}, world.policies[chunk.policy]
        slots = len(good) if redundancy_of(policy).alike else len({slot for _, slot in shards})
        needed = policy.copies_min - len(world.harmed)
        if min(len(good), slots) < needed:
            raise self._world.broken(
                "below copies_min" if slots >= policy.needed else "loss",
                f"{why}: chunk {chunk.id[:6]} of partition {self.partition_of(chunk)} is good on {sorted(good)}; "
                f"{needed} are needed, harmed: {sorted(world.harmed)}",
            )

    def check_clean(self, policy: str, index: int) -> None:
        """Invariant I3: what is called clean lies where the newest row says."""
        if not self.is_clean(policy, index):
            return
        self.checks += 1
        for chunk in self.live_chunks():
            if chunk.policy != policy or self.partition_of(chunk) != index:
                continue
            for place, name in self.promised(chunk):
                if place.name in self._world.harmed:
                    continue
                if place.is_gone or name not in place.shards(policy, chunk.digest) or name in place.rotten:
                    raise self._world.broken(
                        "lie", f"partition {policy}/{index} is called clean; {place.name} lacks {name}"
                    )

    def before_sending(self, process: Process, place: Place, operation: str) -> None:
        """Check that nothing is moved while that is paused, but for what was begun before."""
        world, now = self._world, self._world.loop.time()
        if operation not in {"delete", "adopt"} or world.paused_at is None or process.is_clone:
            return
        if now - max(world.paused_at, world.disturbed_at) > PAUSE_SECONDS_MAX:
            raise world.broken("pause", f"{process.name} sends a {operation} to {place.name} in a pause")

    def before_put(self, place: Place, name: ShardName, content: bytes) -> None:
        """Invariant I2: a stored name never holds other bytes."""
        redundancy = redundancy_of(self._world.policies[name.policy])
        if not redundancy.is_good(content, digest=name.digest, slot=name.slot):
            raise self._world.broken("other bytes", f"{name} is put on {place.name} with bytes of another shard")

    def after_put(self, process: Process, place: Place, name: ShardName, content: bytes) -> None:
        place.rotten.discard(name)
        process.put_bytes += len(content)

    def after_adopt(self, place: Place, old: ShardName, new: ShardName) -> None:
        """Follow bytes that came under another name, good or bad."""
        place.rotten.discard(new)
        if old in place.rotten:
            place.rotten.add(new)

    def after_delete(self, process: Process, place: Place, name: ShardName) -> None:
        """Check that what was deleted was not needed."""
        place.rotten.discard(name)
        if process.is_clone:
            raise self._world.broken("clone", f"a copy of the metadata deletes {name} from {place.name}")
        chunk = self.chunks.get(name.chunk)
        if chunk is None or chunk.state is not ChunkState.LIVE:
            return
        self.check_copies(chunk, f"{name} was deleted from {place.name} for {process.name}")
        self.check_clean(chunk.policy, self.partition_of(chunk))
