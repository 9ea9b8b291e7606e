"""What happens in a run: a cluster's shape and a list of operations, all drawn from one seed.

Each operation has a seed of its own, so that a list from which some are left out still does the same with the others.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from reelstore.config import MIB, Settings
from reelstore.domain.policy import Policy
from reelstore.domain.server import Eviction

CHUNK = 4096
SECOND_POLICIES = (
    None,
    None,
    None,
    Policy.replicated("second", 2, chunk_size_bytes=CHUNK),
    Policy.replicated("second", 3, chunk_size_bytes=CHUNK),
    Policy.erasure("second", 2, 1, chunk_size_bytes=CHUNK),
    Policy.erasure("second", 3, 2, chunk_size_bytes=CHUNK),
)


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that is begun so long after the one before."""

    number: int
    after_seconds: float
    kind: str
    seed: str

    def __str__(self) -> str:
        return f"{self.number}: after {self.after_seconds:.3f} s: {self.kind}"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A cluster and what becomes of it.

    Args:
        seed: of everything that is drawn while it runs.
        servers, zones, copies, partition_bits: of the cluster that is founded.
        second_policy: another one beside the default; None for none.
        works: for each process that is started, whether it works in the background.
        phases: operations; after each phase the cluster is left alone until it is healed.
        settings: further ones.
    """

    seed: int | str
    servers: int
    zones: int
    copies: int
    partition_bits: int
    second_policy: Policy | None
    works: tuple[bool, ...]
    phases: tuple[tuple[Operation, ...], ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def made_settings(self) -> Settings:
        given: dict[str, Any] = {
            "first_servers": self.servers,
            "copies": self.copies,
            "partition_bits": self.partition_bits,
            "chunk_size_bytes": CHUNK,
            "memory": True,
            "probe_seconds": 20.0,
            "survey_seconds": 90.0,
            "scrub_seconds": 120.0,
            "expiry_seconds": 20.0,
            "open_file_seconds": 30.0,
            "put_timeout_seconds": 10.0,
            "get_timeout_seconds": 5.0,
            "scrub_bytes_per_second": 512 * MIB,
            "cache_bytes": 0,
        }
        return Settings(**given | dict(self.settings))

    @property
    def operations(self) -> tuple[Operation, ...]:
        return tuple(operation for phase in self.phases for operation in phase)

    def keeping(self, numbers: set[int]) -> Scenario:
        """Return the scenario with only these operations."""
        kept = (tuple(operation for operation in phase if operation.number in numbers) for phase in self.phases)
        return replace(self, phases=tuple(phase for phase in kept if phase) or ((),))


def draw_scenario(seed: int | str, weights: Mapping[str, float], *, operations: int = 40) -> Scenario:
    """Draw a scenario.

    Some kinds of operation are left out of each, and the others get a weight of their own: what is common to all
    scenarios would hide what needs much of one thing and nothing of another.

    Args:
        seed: the same seed gives the same scenario.
        weights: how common each kind of operation is.
        operations: how many there are in all.
    """
    rng = random.Random(f"scenario {seed}")
    copies = rng.choices((1, 2, 3, 4), (1, 8, 5, 1))[0]
    servers = rng.randint(max(3, copies), 6)
    mood = {kind: weight * 10 ** rng.uniform(-0.7, 0.5) for kind, weight in weights.items() if rng.random() > 0.25}
    mood.setdefault("store", weights["store"])
    kinds = sorted(mood)
    hurry = 10 ** rng.uniform(-0.7, 1.0)
    phases = []
    number = 0
    for count in _parts(operations, rng.choice((1, 1, 2, 3))):
        phase = []
        for _ in range(count):
            number += 1
            kind = rng.choices(kinds, [mood[kind] for kind in kinds])[0]
            phase.append(Operation(number, rng.expovariate(1) * hurry, kind, f"{seed}/{number}"))
        phases.append(tuple(phase))
    return Scenario(
        seed=seed,
        servers=servers,
        zones=rng.choice((1, 2, 3, servers)),
        copies=copies,
        partition_bits=rng.choice((2, 2, 3, 4)),
        second_policy=rng.choice([policy for policy in SECOND_POLICIES if policy is None or policy.width <= servers]),
        works=rng.choice(((True,), (True, False), (True, True), (True, True, False))),
        phases=tuple(phases),
        settings={
            "cache_bytes": rng.choice((0, 0, 16 * CHUNK)),
            "evict": rng.choice((Eviction.OFF, Eviction.ON)),
            "evict_after_seconds": rng.choice((30.0, 120.0)),
            "probe_misses": rng.choice((1, 3)),
        },
    )


def _parts(total: int, count: int) -> list[int]:
    return [total // count + (index < total % count) for index in range(count)]
