"""Kill a process at each of its steps while it does one thing, start another, and see whether all is well then."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from reelstore.chunkstore.body import PiecedBody
from reelstore.domain.change import ChangeAction, ServerChange
from reelstore.services.video_requests import StoreRequest
from tests.simulation import clients, disturbances
from tests.simulation.ledger import Fate
from tests.simulation.places import Place
from tests.simulation.rest import come_to_rest
from tests.simulation.run import Result, found, playing
from tests.simulation.scenario import CHUNK, Scenario
from tests.simulation.world import Process, World

STEPS_OF_WORK_MAX = 60
VIDEOS = 6

Prepare = Callable[[World, Process], Awaitable[None]]
Act = Callable[[World, Process], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Job:
    """What a process does while it may die, and what must be there before.

    Args:
        prepare: by anybody, without being disturbed.
        act: what the process does, from its first step to its last.
        scrubbed: whether healing needs a scrub.
    """

    prepare: Prepare
    act: Act
    scrubbed: bool = False


def scenario_of(job: str) -> Scenario:
    """Return the cluster in which a job is done."""
    return Scenario(
        seed=f"crash points of {job}",
        servers=3,
        zones=1,
        copies=2,
        partition_bits=2,
        second_policy=None,
        works=(False,),
        phases=(),
    )


def steps_of(job: str) -> int:
    """Return how many steps a job takes when nobody dies."""
    steps: list[int] = []
    result = attempt(job, None, steps)
    assert result.violation is None, result.violation
    return steps[0]


def attempt(job: str, dies_after: int | None, steps: list[int] | None = None) -> Result:
    """Do a job, have the process die after so many steps of it, and let another heal what there is."""
    doing = JOBS[job]
    scenario = scenario_of(job)

    async def play(world: World) -> None:
        await found(world, scenario)
        (process,) = world.alive
        for number in range(VIDEOS):
            await store(world, process, number)
        await doing.prepare(world, process)
        began = process.steps
        process.steps_left = dies_after
        await doing.act(world, process)
        if steps is not None:
            steps.append(process.steps - began)
        process.steps_left = None
        process.kill()
        await world.start()
        await come_to_rest(world, scrubbed=doing.scrubbed)

    return playing(scenario, play)


# ---------------------------------------------------------------------- what is done


async def store(world: World, process: Process, number: int) -> None:
    """Store a video, and note what is known of it."""
    rng = random.Random(f"video {number}")
    known = world.ledger.new(clients.draw_content(world, rng) + rng.randbytes(CHUNK))
    known.begin(Fate.STORED)
    answered = await process.request(
        process.app.videos.store(StoreRequest(known.name), PiecedBody(clients.body_of(known.content)))
    )
    if answered.error is None and not answered.is_lost:
        known.answer(Fate.STORED, answered.result.video.id)
    else:
        known.unanswered()


async def nothing(world: World, process: Process) -> None:
    """Nothing has to be there before."""


async def work(world: World, process: Process) -> None:
    """Reconcile until there is nothing left to do."""

    async def steps() -> None:
        for _ in range(STEPS_OF_WORK_MAX):
            if not await process.app.rebalancer.step():
                return

    await process.request(steps())


async def change(world: World, process: Process, *changes: ServerChange) -> None:
    await process.request(process.app.changes.change(changes, accept_warnings=True))


async def add(world: World, process: Process) -> None:
    """Add a server."""
    await change(
        world, process, ServerChange(ChangeAction.ADD, "new", url="memory:", zone="memory", capacity_bytes=2**32)
    )


async def drain(world: World, process: Process) -> None:
    """Drain a server."""
    await change(world, process, ServerChange(ChangeAction.DRAIN, "disk2"))


async def remove(world: World, process: Process) -> None:
    """Drain a server in order to remove it."""
    await change(world, process, ServerChange(ChangeAction.REMOVE, "disk2"))


async def emptied(world: World, process: Process) -> None:
    """Have a server that is empty, and is to be removed."""
    await remove(world, process)
    await work(world, process)


async def step_of_removals(world: World, process: Process) -> None:
    """Look for what can be removed."""
    await process.request(process.app.removals.step())


async def back_with_its_shards(world: World, process: Process) -> None:
    """Have a server that was drained while it was away, and is back with all that it had."""
    world.places["disk2"].is_up = False
    await process.request(process.app.monitor.probe_all())
    await drain(world, process)
    await work(world, process)
    world.places["disk2"].is_up = True
    await change(world, process, ServerChange(ChangeAction.ACTIVATE, "disk2"))
    await process.request(process.app.monitor.probe_all())


async def purge(world: World, process: Process) -> None:
    """Purge a video that shares chunks with others."""
    known = world.ledger.videos["video-1"]
    known.begin(Fate.ABSENT)
    answered = await process.request(process.app.videos.purge(known.video_id or "", expected_version=None))
    if answered.error is None and not answered.is_lost:
        known.answer(Fate.ABSENT)
    else:
        known.unanswered()


async def rot(world: World, process: Process) -> None:
    """Have bad shards on one disk."""
    await disturbances.rot(world, random.Random(1))


async def half_stored(world: World, process: Process) -> None:
    """Have handoffs: a video was stored while a server was down, which is back now."""
    place = _take_down(world)
    await store(world, process, VIDEOS + 1)
    place.is_up = True
    await process.request(process.app.monitor.probe_all())


async def store_without_a_server(world: World, process: Process) -> None:
    """Store a video while a server does not answer."""
    await store(world, process, VIDEOS + 1)


async def take_down(world: World, process: Process) -> None:
    """Have a server that is down, without anybody knowing."""
    _take_down(world)


def _take_down(world: World) -> Place:
    place = world.places["disk3"]
    place.is_up = False
    return place


JOBS: Mapping[str, Job] = {
    "move": Job(add, work),
    "drain": Job(drain, work),
    "empty and remove": Job(remove, work),
    "remove": Job(emptied, step_of_removals),
    "adopt": Job(back_with_its_shards, work),
    "collect": Job(purge, work),
    "repair": Job(rot, work, scrubbed=True),
    "settle handoffs": Job(half_stored, work),
    "apply": Job(nothing, add),
    "purge": Job(nothing, purge),
    "store with a handoff": Job(take_down, store_without_a_server),
}
