"""The random scheduler, and how a schedule that breaks something is played again and made short."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.model.actions import Action, enabled, perform
from tests.model.healing import heal
from tests.model.rules import Rules
from tests.model.state import SERVER_COUNT, Change, Configuration, Violation
from tests.model.world import World

STEPS_MAX = 140
"""Longer than nearly every random schedule takes until nothing is enabled any more."""
_ROWS_THAT_MEET_AGAIN = ((0, 1), (2, 3), (0, 2), (1, 3))
"""Rows that a topology change often goes back to, where reused names are most dangerous."""


@dataclass(frozen=True, slots=True)
class Run:
    """One schedule, and what it broke."""

    configuration: Configuration
    trace: tuple[Action, ...]
    violation: Violation | None


def run(seed: int, rules: Rules, *, configuration: Configuration | None = None, copies: int = 2) -> Run:
    """Run one random schedule, then heal.

    Each actor, each message and each kind of other action draws a weight at its first sight and keeps it, so that
    some are slow for the whole schedule: even choices would hardly ever delay one message past a dozen others.

    Args:
        seed: The same seed gives the same schedule.
        rules: The rules that hold.
        configuration: What may happen; drawn from the seed, for the policy `replicated(copies)`, when absent.
        copies: See above.
    """
    rng = random.Random(seed)
    configuration = configuration or draw_configuration(rng, copies)
    world = World(rules, configuration)
    weights: dict[object, float] = {}
    slowness = rng.choice([-0.5, -1.5, -2.5])
    trace: list[Action] = []
    for _ in range(STEPS_MAX):
        actions = enabled(world)
        if not actions:
            break
        for action in actions:
            who = _who(action)
            if who not in weights:
                share = 1.0 if action.verb in {"step", "deliver"} else 0.3
                weights[who] = share * 10 ** rng.uniform(slowness, 0.5)
        action = rng.choices(actions, [weights[_who(action)] for action in actions])[0]
        trace.append(action)
        perform(world, action)
        if world.violation is not None:
            return Run(configuration, tuple(trace), world.violation)
    heal(world)
    return Run(configuration, tuple(trace), world.violation)


def _who(action: Action) -> object:
    if action.verb == "step":
        return action.subject
    return action if action.verb == "deliver" else action.verb


def draw_configuration(rng: random.Random, copies: int) -> Configuration:
    """Draw what may happen in a random schedule."""

    def up_to(largest: int, probability: float) -> int:
        return rng.randint(1, largest) if rng.random() < probability else 0

    changes = tuple(_draw_change(rng, copies) for _ in range(up_to(3, 0.7)))
    return Configuration(
        copies=copies,
        preloaded=rng.random() < 0.75,
        uploads=tuple(rng.choice([("x",), ("x", "y"), ("y",), ("x",)]) for _ in range(up_to(3, 0.85))),
        changes=changes,
        purge=up_to(2, 0.6),
        collect=up_to(3, 0.7),
        reconcile=up_to(4, 0.85),
        crash=up_to(2, 0.3),
        down=up_to(1, 0.3),
        wipe=up_to(1, 0.2),
        expire=up_to(1, 0.3),
        timeout=up_to(1, 0.3),
        remove=up_to(1, 0.4),
        read=up_to(1, 0.3),
        stale=up_to(2, 0.3),
        duplicate=up_to(1, 0.2),
    )


def _draw_change(rng: random.Random, copies: int) -> Change:
    drained = rng.choice([None, None, *range(SERVER_COUNT)])
    may_serve = [server for server in range(SERVER_COUNT) if server != drained]
    if copies > 2 or rng.random() < 0.6:
        return Change(tuple(rng.sample(may_serve, copies)), drained)
    return Change(rng.choice([row for row in _ROWS_THAT_MEET_AGAIN if drained not in row]), drained)


def replay(rules: Rules, configuration: Configuration, trace: Sequence[Action]) -> Run:
    """Play a schedule again, leaving out what is not enabled, then heal. The trace returned was all enabled."""
    world = World(rules, configuration)
    done: list[Action] = []
    for action in trace:
        if action in enabled(world):
            done.append(action)
            perform(world, action)
            if world.violation is not None:
                return Run(configuration, tuple(done), world.violation)
    heal(world)
    return Run(configuration, tuple(done), world.violation)


def describe(rules: Rules, configuration: Configuration, trace: Sequence[Action]) -> list[str]:
    """Return a schedule in words, a step each; an actor's step is told by its phase."""
    world = World(rules, configuration)
    words: list[str] = []
    for action in trace:
        if action.verb == "step":
            words.append(f"{action.subject}: {world.actors[action.subject].phase}")
        else:
            words.append(str(action))
        perform(world, action)
    return words


def shrink(rules: Rules, broken: Run) -> Run:
    """Leave out all that a violation of the same kind does not need, the longest pieces first."""
    assert broken.violation is not None
    has_improved = True
    while has_improved:
        has_improved = False
        for size in (8, 4, 2, 1):
            start = 0
            while start < len(broken.trace):
                shorter = broken.trace[:start] + broken.trace[start + size :]
                attempt = replay(rules, broken.configuration, shorter)
                if attempt.violation is not None and attempt.violation.kind == broken.violation.kind:
                    broken, has_improved = attempt, True
                else:
                    start += size
    return broken
