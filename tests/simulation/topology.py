"""What operators do with the cluster's servers; they accept no warning, so that every row keeps all its seats."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from reelstore.domain.change import ChangeAction, ServerChange
from reelstore.domain.errors import Conflict, InvalidInput, PlanNotFound, ServerNotFound
from reelstore.domain.server import ServerState
from tests.simulation.places import CALM, Weather

if TYPE_CHECKING:
    from tests.simulation.world import Answer, Process, World

SERVERS_MAX = 9
PARTITION_BITS_MAX = 5
GIB = 2**30


async def _ask(world: World, what: str, work: Coroutine[Any, Any, Any], process: Process) -> Answer:
    """Ask for a change: it is done, or refused with a reason, or a retry can help."""
    answered = await process.request(work)
    world.note(what, process.name, answered.told)
    error = answered.error
    if error is not None and not (
        error.retryable or isinstance(error, Conflict | InvalidInput | ServerNotFound | PlanNotFound)
    ):
        raise world.broken("final error", f"{what}: {type(error).__name__}: {error}")
    return answered


def _added(world: World, rng: random.Random) -> ServerChange:
    return ServerChange(
        ChangeAction.ADD,
        f"new{len(world.places)}",
        url="memory:",
        zone=f"z{rng.randrange(3)}",
        capacity_bytes=rng.choice((1, 2, 4, 8)) * GIB,
    )


def _changed(world: World, rng: random.Random) -> ServerChange | None:
    """Draw a change of one server; the more there are, the rather one has to go."""
    servers = [server for server in world.invariants.servers.values() if server.state is not ServerState.REMOVED]
    if rng.random() < 0.5 and len(servers) < SERVERS_MAX:
        return _added(world, rng)
    server = rng.choice(servers)
    if server.state is ServerState.DRAINING:
        return ServerChange(rng.choice((ChangeAction.ACTIVATE, ChangeAction.REMOVE)), server.name)
    active = [server for server in servers if server.state is ServerState.ACTIVE]
    if rng.random() < 0.6 and len(active) > world.servers_min:
        return ServerChange(rng.choice((ChangeAction.DRAIN, ChangeAction.REMOVE)), server.name)
    return ServerChange(
        ChangeAction.UPDATE, server.name, zone=f"z{rng.randrange(3)}", capacity_bytes=rng.choice((1, 2, 4, 8)) * GIB
    )


def _draw_changes(world: World, rng: random.Random) -> list[ServerChange]:
    drawn = [_changed(world, rng) for _ in range(rng.choice((1, 1, 1, 2)))]
    return list({change.name: change for change in drawn if change is not None}.values())


async def change(world: World, rng: random.Random) -> None:
    """Change some servers at once."""
    if world.alive:
        process = rng.choice(world.alive)
        changes = _draw_changes(world, rng)
        told = "change " + ", ".join(f"{each.action} {each.name}" for each in changes)
        await _ask(world, told, process.app.changes.change(changes, accept_warnings=False), process)


async def plan_and_apply(world: World, rng: random.Random) -> None:
    """Plan a change, and apply it somewhat later, through another gateway perhaps."""
    if not world.alive:
        return
    process = rng.choice(world.alive)
    planned = await _ask(world, "plan", process.app.changes.plan(_draw_changes(world, rng)), process)
    await asyncio.sleep(rng.expovariate(0.3))
    if planned.error is None and not planned.is_lost and world.alive:
        process = rng.choice(world.alive)
        plan_id = planned.result.id
        await _ask(world, "apply", process.app.changes.apply(plan_id, accept_warnings=False), process)


async def there_and_back(world: World, rng: random.Random) -> None:
    """Drain a server and take it back soon, while what is sent to it arrives late, or twice."""
    active = [server.name for server in world.invariants.servers.values() if server.state is ServerState.ACTIVE]
    if not world.alive or len(active) < 2:
        return
    name = rng.choice(active)
    place = world.places[name]
    place.weather = Weather(late=0.5, twice=0.3)
    for action in (ChangeAction.DRAIN, ChangeAction.ACTIVATE) * rng.choice((1, 2, 2, 3)):
        if world.alive:
            process = rng.choice(world.alive)
            changes = [ServerChange(action, name)]
            work = process.app.changes.change(changes, accept_warnings=False)
            await _ask(world, f"{action} {name}", work, process)
        await asyncio.sleep(10 ** rng.uniform(-0.5, 1.7))
    place.weather = CALM


async def revert(world: World, rng: random.Random) -> None:
    """Go back to what was."""
    if world.alive:
        process = rng.choice(world.alive)
        await _ask(world, "revert", process.app.changes.revert(accept_warnings=False), process)


async def split(world: World, rng: random.Random) -> None:
    """Have twice the partitions."""
    rings = world.invariants.rings[world.invariants.head].rings
    if world.alive and max(ring.partition_bits for ring in rings.values()) < PARTITION_BITS_MAX:
        process = rng.choice(world.alive)
        await _ask(world, "split", process.app.changes.split(), process)


async def pause(world: World, rng: random.Random) -> None:
    """Have nothing moved for a while."""
    await control(world, rng, paused=True)
    await asyncio.sleep(10 ** rng.uniform(0, 1.7))
    await control(world, rng, paused=False)


async def limit(world: World, rng: random.Random) -> None:
    """Have things moved slowly, or one by one, from now on."""
    await control(world, rng, bytes_per_second=rng.choice((None, 64 * 1024)), concurrency=rng.choice((None, 1, 2, 5)))


async def control(world: World, rng: random.Random, **changes: Any) -> bool:
    """Steer the background; return whether that was acknowledged."""
    if not world.alive:
        return False
    process = rng.choice(world.alive)
    answered = await _ask(world, f"set {changes}", process.app.rebalancer.control.change(**changes), process)
    return answered.error is None and not answered.is_lost


async def may_it_go(world: World, rng: random.Random) -> None:
    """Ask whether a server can be powered off; what is said to be safe must be."""
    servers = [server for server in world.invariants.servers.values() if server.state is not ServerState.REMOVED]
    draining = [server for server in servers if server.state is ServerState.DRAINING]
    if not world.alive:
        return
    process, name = rng.choice(world.alive), rng.choice(draining or servers).name
    answered = await process.request(process.app.removals.check(name))
    if answered.error is not None or answered.is_lost:
        return
    check = answered.result
    world.note("may go" if check.is_safe else "may not go", name, process.name)
    if check.is_safe and check.standing.epoch == world.invariants.head:
        world.invariants.check_all_copies(f"{name} was said to be safe to power off", without=name)


async def force_out(world: World, rng: random.Random) -> None:
    """Force out a server whose machine is gone for ever; others are added first if too few would be left."""
    gone = [server for server in world.invariants.servers.values() if world.places[server.name].is_gone]
    gone = [server for server in gone if server.state is not ServerState.REMOVED]
    if not gone or not world.alive:
        return
    process, name = rng.choice(world.alive), rng.choice(gone).name
    active = [server for server in world.invariants.servers.values() if server.state is ServerState.ACTIVE]
    if sum(not world.places[server.name].is_gone for server in active) < world.servers_min:
        work = process.app.changes.change([_added(world, rng)], accept_warnings=False)
        await _ask(world, "add instead", work, process)
    await _ask(world, f"force out {name}", process.app.forced_removal.remove(name), process)
