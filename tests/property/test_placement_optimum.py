"""How little moves, against an exact linear program, on a fixed corpus of changes."""

from __future__ import annotations

import random

import numpy as np
import pytest

from reelstore.placement.builder import next_ring
from reelstore.placement.plan import lower_bound, moved_shards
from reelstore.placement.ring import VACANT, Member
from tests.unit.placement.clusters import Tenures, cluster, reweighted, ring_of
from tests.unit.placement.oracles import fewest_moves


def moves_and_optimum(members: list[Member], changed: list[Member], *, bits: int, width: int) -> tuple[int, int]:
    old = ring_of(members, bits=bits, width=width)
    new = next_ring(old, None, changed, draw=Tenures())
    moved, fewest = moved_shards(old, new), fewest_moves(old, new)
    assert lower_bound(old, new) <= fewest <= moved
    assert np.count_nonzero((new.slots != old.slots) & (new.slots != VACANT)) == moved, "somebody changed slots"
    return moved, fewest


def changed_somehow(rng: random.Random, members: list[Member]) -> list[Member]:
    first = members[0]
    match rng.choice(["add", "remove", "drain", "double", "reweight", "add a zone", "lose a zone"]):
        case "add":
            return [*members, Member(50, rng.choice(members).zone, 20)]
        case "remove":
            return members[1:]
        case "drain":
            return reweighted(members, first.number, 0)
        case "double":
            return reweighted(members, first.number, 2 * first.weight)
        case "reweight":
            return [Member(m.number, m.zone, rng.choice([10, 20, 40])) for m in members]
        case "add a zone":
            return [*members, Member(50, "new", 20), Member(51, "new", 20)]
    return [m for m in members if m.zone != first.zone] or members


def test_changes_of_all_kinds_move_at_most_2_percent_more_than_the_exact_optimum() -> None:
    rng = random.Random(170)
    moved_in_all = fewest_in_all = 0
    for _ in range(170):
        width = rng.choice([1, 3, 3, 6])
        weights = tuple(rng.choice([10, 10, 20, 40, 100]) for _ in range(7))
        members = cluster(rng.randint(width + 3, 14), rng.choice([1, 3, 4, 5]), weights)
        moved, fewest = moves_and_optimum(members, changed_somehow(rng, members), bits=7, width=width)
        assert moved <= 1.02 * fewest, (members, width)
        moved_in_all += moved
        fewest_in_all += fewest
    assert moved_in_all <= 1.0016 * fewest_in_all


TEN = cluster(10, 1)
HUNDRED = cluster(100, 1)
FIVE_ZONES = cluster(12, 5, (1, 2, 3, 4))
TIGHT = cluster(12, 4)


@pytest.mark.parametrize(
    ("members", "changed", "bits", "width", "most"),
    [
        pytest.param(TEN, [*TEN, Member(10, "zone-0", 10)], 9, 3, 1.0, id="add 1 to 10"),
        pytest.param(TEN, reweighted(TEN, 0, 20), 9, 3, 1.0, id="double one of 10"),
        pytest.param(HUNDRED, [*HUNDRED, Member(100, "zone-0", 10)], 9, 3, 1.0, id="add 1 to 100"),
        pytest.param(FIVE_ZONES, [*FIVE_ZONES, Member(12, "zone-0", 4)], 9, 3, 1.016, id="add 1 to 12 in 5 zones"),
        pytest.param(TIGHT, reweighted(TIGHT, 0, 20), 9, 6, 1.02, id="4 zones x 3, erasure(4, 2), double one"),
        pytest.param(TIGHT, TIGHT[1:], 9, 6, 1.02, id="4 zones x 3, erasure(4, 2), remove one"),
        pytest.param(TIGHT, [*TIGHT, Member(12, "zone-0", 10)], 9, 6, 1.02, id="4 zones x 3, erasure(4, 2), add one"),
    ],
)
def test_the_known_cases_move_no_more_than_their_figure(
    members: list[Member], changed: list[Member], bits: int, width: int, most: float
) -> None:
    moved, fewest = moves_and_optimum(members, changed, bits=bits, width=width)
    assert moved <= most * fewest
