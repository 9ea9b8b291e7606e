"""Who stands in for a primary that is down."""

from __future__ import annotations

from collections import Counter

import numpy as np

from reelstore.placement.builder import split
from reelstore.placement.handoffs import negative_log2, rank_handoffs
from reelstore.placement.ring import Member
from tests.unit.placement.clusters import cluster, reweighted, ring_of


def test_handoffs_are_all_live_servers_outside_the_row_other_zones_first() -> None:
    members = reweighted(cluster(9, 4), 8, 0)
    ring = ring_of(members, bits=5, width=3)
    zone_of = {member.number: member.zone for member in members}
    for partition in range(ring.partitions):
        row = {seat.server for seat in ring.row(partition)}
        handoffs = ring.handoffs(partition)
        assert sorted(handoffs) == sorted(set(range(8)) - row)
        in_row_zones = [zone_of[number] in {zone_of[n] for n in row} for number in handoffs]
        assert in_row_zones == sorted(in_row_zones)


def test_a_server_leads_in_proportion_to_its_weight() -> None:
    members = [Member(number, f"zone-{number}", number * 10**12) for number in range(1, 5)]
    firsts = Counter(rank_handoffs(members, (), key)[0] for key in range(2000))
    assert all(abs(firsts[number] - 200 * number) < 100 for number in range(1, 5))


def test_a_server_that_joins_changes_nobody_elses_order() -> None:
    members = cluster(12, 12)
    for key in range(50):
        without = rank_handoffs(members, (0, 1), key)
        with_it = rank_handoffs([*members, Member(99, "new", 30)], (0, 1), key)
        assert [number for number in with_it if number != 99] == list(without)


def test_the_first_half_of_a_split_partition_keeps_its_order() -> None:
    ring = ring_of(cluster(8, 2), bits=4, width=2)
    doubled = split(ring)
    assert all(doubled.handoffs(2 * partition) == ring.handoffs(partition) for partition in range(ring.partitions))


def test_the_fixed_point_logarithm_is_one() -> None:
    hashed = np.array([1, 3, 2**31 + 1, 2**32 - 1, 2**63 + 1, 2**63 + 2**62 + 1, 2**64 - 1], np.uint64)
    exact = -np.log2(hashed.astype(np.float64) / 2.0**64)
    found = negative_log2(hashed)
    assert np.abs(found / 2**24 - exact).max() < 1e-6
    assert found.min() >= 1  # a draw of 0 would win whatever the weight
    assert negative_log2(np.array([0], np.uint64))[0] == 64 << 24
