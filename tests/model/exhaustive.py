"""The exhaustive scheduler: every interleaving, and every delay of every message, of a small configuration."""

from __future__ import annotations

from dataclasses import dataclass

from tests.model.actions import Action, enabled, perform
from tests.model.healing import heal
from tests.model.rules import Rules
from tests.model.state import Configuration, Violation
from tests.model.world import World

HEAL_EVERY = 200
"""Healing costs as much as dozens of steps, so only each so-manieth state is healed, and every last one."""


@dataclass(frozen=True, slots=True)
class Exploration:
    """What an exploration found."""

    states: int
    depth: int
    """Steps of the longest of the shortest ways to a state; with a violation, the steps that lead to it."""
    is_complete: bool
    """Every reachable state was seen, up to the violation if there is one."""
    violation: Violation | None = None
    trace: tuple[Action, ...] = ()
    is_after_healing: bool = False


def explore(rules: Rules, configuration: Configuration, *, states_max: int = 1_000_000) -> Exploration:
    """Explore breadth first, so that the trace of a violation is the shortest there is.

    Args:
        rules: The rules that hold.
        configuration: Where to begin, and what may happen how often.
        states_max: Stop after the level in which this many states were seen; 350,000 take about 240 MB.
    """
    first = World(rules, configuration)
    seen = {hash(first.key())}
    level: list[tuple[World, tuple[Action, ...]]] = [(first, ())]
    depth = 0
    while level:
        next_level: list[tuple[World, tuple[Action, ...]]] = []
        for world, trace in level:
            actions = enabled(world)
            if not actions and (broken := _heal(world)) is not None:
                return Exploration(len(seen), depth, True, broken, trace, True)
            for action in actions:
                successor = world.clone()
                perform(successor, action)
                way = (*trace, action)
                if successor.violation is not None:
                    return Exploration(len(seen), depth + 1, True, successor.violation, way)
                key = hash(successor.key())
                if key in seen:
                    continue
                seen.add(key)
                next_level.append((successor, way))
                if len(seen) % HEAL_EVERY == 0 and (broken := _heal(successor)) is not None:
                    return Exploration(len(seen), depth + 1, True, broken, way, True)
        if len(seen) > states_max:
            return Exploration(len(seen), depth, False)
        level = next_level
        depth += bool(next_level)
    return Exploration(len(seen), depth, True)


def _heal(world: World) -> Violation | None:
    healed = world.clone()
    heal(healed)
    return healed.violation
