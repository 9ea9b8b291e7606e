"""Run a scenario, and make one that breaks something short."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.simulation import aftermath, clients, disturbances, topology
from tests.simulation.invariants import Violation
from tests.simulation.loop import StuckError, VirtualLoop, simulate
from tests.simulation.rest import come_to_rest
from tests.simulation.scenario import Scenario, draw_scenario
from tests.simulation.world import Watching, World

Act = Callable[[World, random.Random], Coroutine[Any, Any, None]]

ACTS: Mapping[str, tuple[float, Act]] = {
    "store": (12, clients.store),
    "read": (8, clients.read),
    "purge": (5, clients.purge),
    "trash": (1, clients.trash),
    "restore": (1, clients.restore),
    "transfer": (2, clients.transfer),
    "verify": (1, clients.verify),
    "status": (3, clients.status),
    "change": (2, topology.change),
    "plan and apply": (0.7, topology.plan_and_apply),
    "there and back": (3, topology.there_and_back),
    "revert": (0.7, topology.revert),
    "split": (0.3, topology.split),
    "pause": (0.7, topology.pause),
    "limit": (0.5, topology.limit),
    "may it go": (1, topology.may_it_go),
    "force out": (1, topology.force_out),
    "lose": (0.3, disturbances.lose),
    "down": (2, disturbances.down),
    "storm": (2, disturbances.storm),
    "kill": (2, disturbances.kill),
    "restart": (0.5, disturbances.restart),
    "full": (0.7, disturbances.full),
    "away": (0.5, disturbances.away),
    "hesitate": (0.7, disturbances.hesitate),
    "jump": (0.3, disturbances.jump),
    "rot": (1, disturbances.rot),
    "wipe": (0.5, disturbances.wipe),
    "lie": (0.5, disturbances.lie),
    "return older": (0.5, disturbances.return_older),
}
MOVES_AT_REST = 0.2
CLONES = 0.1
"""How often these are tried when a cluster has come to rest."""
WEIGHTS = {kind: weight for kind, (weight, _) in ACTS.items()}


@dataclass(frozen=True, slots=True)
class Result:
    """What a run showed: its whole trace as a value, and the broken promise, if there is one."""

    scenario: Scenario
    violation: Violation | None
    digest: str
    steps: int
    trace: tuple[tuple[object, ...], ...]


def run(seed: int | str, *, operations: int = 40) -> Result:
    """Run the scenario of a seed."""
    return play(draw_scenario(seed, WEIGHTS, operations=operations))


def play(scenario: Scenario) -> Result:
    """Run a scenario; the same one gives the same result."""
    return playing(scenario, lambda world: _play(world, scenario))


def playing(scenario: Scenario, act: Callable[[World], Coroutine[Any, Any, None]]) -> Result:
    """Let something happen in the world of a scenario."""
    worlds: list[World] = []

    async def main(loop: VirtualLoop) -> None:
        world = World(loop, scenario.seed, scenario.made_settings())
        worlds.append(world)
        with _watched(world):
            await act(world)

    try:
        simulate(scenario.seed, main)
    except (Violation, StuckError, RuntimeError) as error:
        if not worlds or (worlds[0].violation is None and not isinstance(error, StuckError)):
            raise
        if worlds[0].violation is None:
            worlds[0].violation = Violation("stuck", str(error))
    world = worlds[0]
    return Result(scenario, world.violation, world.digest(), world.loop.steps, tuple(world.trace))


@contextmanager
def _watched(world: World) -> Iterator[None]:
    """Hear what the code logs, and what its tasks fail with."""
    logger = logging.getLogger("reelstore")
    before = (logger.level, logger.propagate, list(logger.handlers))
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    logger.handlers = [Watching(world)]
    world.loop.set_exception_handler(lambda _loop, context: _failed(world, context))
    try:
        yield
    finally:
        world.is_over = True
        logger.setLevel(before[0])
        logger.propagate, logger.handlers = before[1], before[2]


def _failed(world: World, context: dict[str, object]) -> None:
    error = context.get("exception")
    if not isinstance(error, Violation):
        world.broken("traceback", f"{context.get('message')}: {type(error).__name__}: {error}")


async def found(world: World, scenario: Scenario) -> None:
    """Start a cluster, with all its policies and processes."""
    first = await world.start(works=scenario.works[0])
    world.policies = dict(first.app.topology.present.policies)
    if scenario.second_policy is not None:
        await first.request(first.app.policies.add(scenario.second_policy))
        world.policies = dict(first.app.topology.present.policies)
    for works in scenario.works[1:]:
        await world.start(works=works)


async def _play(world: World, scenario: Scenario) -> None:
    await found(world, scenario)
    for number, phase in enumerate(scenario.phases):
        async with asyncio.TaskGroup() as group:
            for operation in phase:
                await asyncio.sleep(operation.after_seconds)
                _, act = ACTS[operation.kind]
                group.create_task(act(world, random.Random(operation.seed)))
        await come_to_rest(world)
        rng = random.Random(f"aftermath {number} of {scenario.seed}")
        chance = rng.random()
        if chance < MOVES_AT_REST:
            await aftermath.move_at_rest(world, rng)
        elif chance > 1 - CLONES:
            await aftermath.clone(world, rng)


def shrink(broken: Result) -> Result:
    """Leave out all operations that a violation of the same kind does not need, the longest pieces first."""
    assert broken.violation is not None
    size = len(broken.scenario.operations) // 2
    while size:
        start = 0
        while start < len(broken.scenario.operations):
            numbers = [operation.number for operation in broken.scenario.operations]
            attempt = play(broken.scenario.keeping({*numbers[:start], *numbers[start + size :]}))
            if attempt.violation is not None and attempt.violation.kind == broken.violation.kind:
                broken = attempt
            else:
                start += size
        size //= 2
    return broken
