"""The quiet time after the storm: no more faults, until everything is as it should be; then it is proved."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime
from typing import TYPE_CHECKING

from reelstore.domain.server import ServerState
from reelstore.domain.video import VideoState
from tests.simulation import topology
from tests.simulation.clients import IDLE, read_everything
from tests.simulation.ledger import Fate
from tests.simulation.places import CALM

if TYPE_CHECKING:
    from tests.simulation.world import World

LOOK_SECONDS = 15.0
LOOKS_MAX = 240
"""An hour: far longer than a scrub and the retries take."""


async def come_to_rest(world: World, *, scrubbed: bool = True) -> None:
    """End all faults, wait until the cluster is healed, and prove it.

    Args:
        world: which.
        scrubbed: wait until every shard was read again, too; what rots is healed only then.

    Raises:
        Violation: it is not healed after an hour, or not as it should be.
    """
    _end_faults(world)
    if world.clock_offset_seconds:  # a clock that jumped holds things up until a process is started again
        for process in world.alive:
            process.kill()
    if not any(process.settings.background for process in world.alive):
        await world.start()
    await _resume(world)
    began = world.utc()
    reason = "it was never looked at"
    for look in range(LOOKS_MAX):
        await asyncio.sleep(LOOK_SECONDS)
        await topology.force_out(world, random.Random(f"rest {look} of {world.seed}"))
        found = _unfinished(world) or await _not_idle(world)
        if found is None and (not scrubbed or _is_scrubbed_since(world, began)):
            break
        reason = found or "not everything was scrubbed"
    else:
        raise world.broken("not healed", reason)
    _compare_videos(world)
    await read_everything(world)
    world.harmed.clear()
    world.note("at rest")


async def _resume(world: World) -> None:
    rng = random.Random(f"resume {world.seed}")
    for _ in range(LOOKS_MAX):
        if await topology.control(world, rng, paused=False, bytes_per_second=None, concurrency=None):
            return
        await asyncio.sleep(LOOK_SECONDS)


def _is_scrubbed_since(world: World, began: datetime) -> bool:
    states = world.invariants.partitions.values()
    return all(state.scrubbed_at is not None and state.scrubbed_at >= began for state in states)


def _end_faults(world: World) -> None:
    world.metadata_away = world.hesitation = 0.0
    for place in world.places.values():
        place.weather = CALM
        place.is_up = not place.is_gone
        place.is_full = False
        place.lies = 0
        place.listings.clear()
    world.note("calm")


def _unfinished(world: World) -> str | None:
    """Say what is not yet as it should be, by looking at the disks and at the metadata themselves."""
    invariants = world.invariants
    if invariants.unclean:
        return f"not clean: {sorted(invariants.unclean)}"
    tables = world.metadata._tables
    unreferenced = [chunk.id for chunk in invariants.chunks.values() if chunk.id not in tables.references]
    if unreferenced:
        return f"rows without a reference: {unreferenced}"
    if len(tables.transfers):
        return f"transfers: {list(tables.transfers.values())}"
    if len(tables.open_files):
        return f"open files: {list(tables.open_files)}"
    promised: dict[str, set[str]] = {name: set() for name in world.places}
    for chunk in invariants.live_chunks():
        for place, name in invariants.promised(chunk):
            promised[place.name].add(str(name))
    for place in world.places.values():
        if place.is_gone:
            server = invariants.servers.get(place.name)
            if server is not None and server.state is not ServerState.REMOVED:
                return f"{place.name} is gone, and not removed"
            continue
        there = {str(entry.name) for policy in world.policies for entry in place.listing(policy)}
        if there - promised[place.name]:
            return f"left over on {place.name}: {sorted(there - promised[place.name])}"
        if promised[place.name] - there:
            return f"lacking on {place.name}: {sorted(promised[place.name] - there)}"
        if place.rotten:
            return f"rotten on {place.name}: {sorted(map(str, place.rotten))}"
    return None


async def _not_idle(world: World) -> str | None:
    for process in world.alive:
        if not process.settings.background:
            continue
        answered = await process.request(process.app.rebalancer.status())
        if answered.error is not None or answered.is_lost:
            return f"{process.name} gives no status"
        status = answered.result
        if status.state != IDLE:
            return f"{process.name} is {status.state}: {status.reasons}"
    return None


def _compare_videos(world: World) -> None:
    found = {
        video.name: (video.id, Fate.TRASHED if video.state is VideoState.TRASHED else Fate.STORED)
        for video in world.metadata._tables.videos.values()
    }
    wrong = world.ledger.compare(found)
    if wrong is not None:
        raise world.broken("videos", wrong)
