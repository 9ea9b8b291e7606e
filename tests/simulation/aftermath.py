"""What is tried on a cluster at rest, where exactly one thing happens and its effect can be told."""

from __future__ import annotations

import asyncio
import random
from dataclasses import fields
from typing import TYPE_CHECKING

from reelstore.chunkstore.redundancy import redundancy_of
from reelstore.placement.ring import RingSet
from reelstore.repositories.memory import InMemoryMetadata
from reelstore.repositories.memory.table import Table
from reelstore.repositories.memory.tables import Tables
from tests.simulation import clients, topology
from tests.simulation.rest import come_to_rest

if TYPE_CHECKING:
    from tests.simulation.world import World

MOVED_PER_MINIMUM_MAX = 1.02
CLONE_SECONDS = 400.0


async def move_at_rest(world: World, rng: random.Random) -> None:
    """Change some servers, and see that no more bytes are sent than the new rings need."""
    for process in world.alive:
        if process.settings.background:
            process.kill()
    worker = await world.start()  # alone: two may do the same at once, which is harmless and would be counted twice
    invariants = world.invariants
    before, put_bytes = invariants.rings[invariants.head], worker.put_bytes
    await topology.change(world, rng)
    await come_to_rest(world, scrubbed=False)
    minimum_bytes = _entering_bytes(world, before, invariants.rings[invariants.head])
    moved_bytes = worker.put_bytes - put_bytes
    world.note("moved", moved_bytes, "of at least", minimum_bytes)
    if moved_bytes > minimum_bytes * MOVED_PER_MINIMUM_MAX:
        raise world.broken("moved too much", f"{moved_bytes} bytes where {minimum_bytes} were needed")


def _entering_bytes(world: World, before: RingSet, after: RingSet) -> int:
    """Sum up, over all chunks, the shards of servers that were not in the chunk's row, or its slot, before."""
    total = 0
    for chunk in world.invariants.live_chunks():
        rings = (before.rings[chunk.policy], after.rings[chunk.policy])
        alike = redundancy_of(world.policies[chunk.policy]).alike
        old, new = (
            {(seat.server, 0 if alike else seat.slot) for seat in ring.row(ring.partition_of(chunk.digest))}
            for ring in rings
        )
        total += len(new - old) * world.shard_size_bytes(chunk)
    return total


async def clone(world: World, rng: random.Random) -> None:
    """Copy the metadata, go on, and start a process on the copy: it must not delete anything (rule 12)."""
    copy = _copied(world)
    rounds = _delete_rounds(world.metadata)
    for act in (clients.store, clients.purge, clients.store, clients.purge):
        await act(world, rng)
    await come_to_rest(world)
    if _delete_rounds(world.metadata) == rounds:
        return  # nothing had to be deleted: the copy knows all that the servers know
    for process in world.alive:
        process.kill()
    await world.start(metadata=copy)
    await asyncio.sleep(CLONE_SECONDS)
    for process in world.alive:
        process.kill()
    await world.start()
    await come_to_rest(world)


def _copied(world: World) -> InMemoryMetadata:
    copy = InMemoryMetadata(clock=world.utc)
    for field in fields(Tables):
        table = getattr(world.metadata._tables, field.name)
        if isinstance(table, Table):
            getattr(copy._tables, field.name)._rows = dict(table._rows)
    return copy


def _delete_rounds(metadata: InMemoryMetadata) -> int:
    tables: Tables = metadata._tables
    (cluster,) = tables.cluster.values()
    return cluster.delete_rounds
