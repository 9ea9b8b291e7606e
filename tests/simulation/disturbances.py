"""What goes wrong, and for how long."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.simulation.places import CALM, Place, Weather

if TYPE_CHECKING:
    from tests.simulation.world import World

STEPS_UNTIL_DEATH = 400
HESITATION_SECONDS_MAX = 32.0


def _a_place(world: World, rng: random.Random) -> Place:
    return rng.choice([place for place in world.places.values() if not place.is_gone])


async def down(world: World, rng: random.Random) -> None:
    """A machine is off for a while."""
    place = _a_place(world, rng)
    place.is_up = False
    world.note("down", place.name)
    await asyncio.sleep(10 ** rng.uniform(-0.5, 2.3))
    place.is_up = True
    world.note("up", place.name)


async def storm(world: World, rng: random.Random) -> None:
    """Requests to a place, or to all, fare badly for a while."""
    weather = Weather(
        **{fault: rng.uniform(0, 0.25) for fault in _FAULTS if rng.random() < 0.4},
        corrupt=rng.choice((0.0, 0.0, 0.1)),
        slowest=rng.uniform(-2, 1.3),
    )
    places = list(world.places.values()) if rng.random() < 0.4 else [_a_place(world, rng)]
    for place in places:
        place.weather = weather
    world.note("storm", [place.name for place in places])
    await asyncio.sleep(10 ** rng.uniform(0, 2))
    for place in places:
        place.weather = CALM


_FAULTS = ("refused", "lost", "unanswered", "late", "twice", "stale")


async def kill(world: World, rng: random.Random) -> None:
    """A process dies between any two steps, and another is started."""
    if not world.alive:
        return
    process = rng.choice(world.alive)
    process.steps_left = rng.randrange(STEPS_UNTIL_DEATH)
    await process.ended
    await asyncio.sleep(rng.expovariate(0.3))
    await world.start(works=process.settings.background)


async def restart(world: World, rng: random.Random) -> None:
    """A process is told to end, and does so in order; another is started."""
    if not world.alive:
        return
    process = rng.choice(world.alive)
    await process.request(process.stop())
    process.kill()
    await asyncio.sleep(rng.expovariate(0.3))
    await world.start(works=process.settings.background)


async def full(world: World, rng: random.Random) -> None:
    """A place has no room for a while."""
    place = _a_place(world, rng)
    place.is_full = True
    world.note("full", place.name)
    await asyncio.sleep(10 ** rng.uniform(0, 2))
    place.is_full = False


async def away(world: World, rng: random.Random) -> None:
    """The database fails now and then, for a while."""
    world.metadata_away = rng.choice((0.02, 0.1, 0.5, 1.0))
    world.note("metadata away", world.metadata_away)
    await asyncio.sleep(10 ** rng.uniform(-0.5, 1.5))
    world.metadata_away = 0.0


async def hesitate(world: World, rng: random.Random) -> None:
    """Processes stop for a while between their steps."""
    world.hesitation = rng.choice((0.01, 0.05))
    world.disturbed_at = float("inf")
    await asyncio.sleep(10 ** rng.uniform(0, 2))
    world.hesitation = 0.0
    world.disturbed_at = world.loop.time() + HESITATION_SECONDS_MAX


async def jump(world: World, rng: random.Random) -> None:
    """The database's clock is set."""
    seconds = rng.choice((-60.0, 20.0, 60.0, 600.0, 4000.0, 90_000.0))
    world.clock_offset_seconds += seconds
    world.note("clock", seconds)


# What harms data: no more places between two quiet times than the policies survive.


def _a_victim(world: World, rng: random.Random) -> Place | None:
    place = _a_place(world, rng)
    if place.name not in world.harmed and len(world.harmed) >= world.harmed_max:
        if not world.harmed:
            return None
        place = world.places[rng.choice(sorted(world.harmed))]
        if place.is_gone:
            return None
    world.harm(place)
    return place


async def rot(world: World, rng: random.Random) -> None:
    """Bytes at rest become others, or fewer, and nothing shows it."""
    place = _a_victim(world, rng)
    if place is None:
        return
    stored = place.disk._stored
    for name in sorted(stored):
        if name not in place.rotten and rng.random() < 0.3:
            data = stored[name].data
            if rng.random() < 0.3:
                continue_at = rng.randrange(len(data))
                place.disk._used_bytes -= len(data) - continue_at
                stored[name] = replace(stored[name], data=data[:continue_at])
            else:
                stored[name] = replace(stored[name], data=bytes([data[0] ^ 1]) + data[1:])
            place.rotten.add(name)
    world.note("rot", place.name, len(place.rotten))


async def wipe(world: World, rng: random.Random) -> None:
    """A place loses some or all of its shards, and keeps its marker."""
    place = _a_victim(world, rng)
    if place is None:
        return
    share = rng.choice((0.3, 1.0))
    content = place.content(sorted(world.policies))
    kept = {name: data for name, data in sorted(content.items()) if rng.random() > share}
    place.replace(kept, place.rotten, sorted(world.policies))
    world.note("wipe", place.name, len(content) - len(kept))


async def lie(world: World, rng: random.Random) -> None:
    """A place acknowledges puts and keeps nothing of them."""
    place = _a_victim(world, rng)
    if place is None:
        return
    place.lies = rng.randint(1, 3)
    world.note("lie", place.name)


async def return_older(world: World, rng: random.Random) -> None:
    """A machine is off, and comes back with what it had once."""
    place = _a_victim(world, rng)
    if place is None:
        return
    policies = sorted(world.policies)
    content, rotten = place.content(policies), set(place.rotten)
    await asyncio.sleep(10 ** rng.uniform(0, 2))
    if place.name not in world.harmed or place.is_gone:
        return  # it was healed in between, and another may be harmed by now
    place.is_up = False
    await asyncio.sleep(10 ** rng.uniform(0, 2))
    if place.name in world.harmed and not place.is_gone:
        world.harm(place)
        place.replace(content, rotten, policies)
        world.note("older", place.name)
    place.is_up = True


async def lose(world: World, rng: random.Random) -> None:
    """A machine with its disk is gone for ever."""
    place = _a_victim(world, rng)
    if place is not None:
        world.lose(place.name)
