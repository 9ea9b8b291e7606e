"""What every table keeps, after any history of changes."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from reelstore.placement.builder import default_partition_bits, first_ring, next_ring, split
from reelstore.placement.members import spread_cap
from reelstore.placement.plan import lower_bound, moved_shards, price
from reelstore.placement.quota import fair_shares
from reelstore.placement.ring import VACANT, Member, Ring
from tests.unit.placement.clusters import Tenures, bits, cluster, clusters, reweighted, ring_of, widths
from tests.unit.placement.oracles import fair_quota, held, tightest_cap

SOME = settings(max_examples=60, deadline=None)


def assert_keeps_its_promises(ring: Ring) -> None:
    live = {member.number for member in ring.members if member.weight > 0}
    zone_of = {member.number: member.zone for member in ring.members}
    cap = tightest_cap(ring.members, ring.width)
    for row in ring.slots.tolist():
        servers = [number for number in row if number != VACANT]
        assert len(servers) == len(set(servers)) == min(ring.width, len(live))
        assert set(servers) <= live
        zones = [zone_of[number] for number in servers]
        assert max([zones.count(zone) for zone in zones], default=0) <= cap
    fair = fair_quota(ring.members, ring.partitions, ring.width)
    assert all(abs(shards - fair[number]) < 1 for number, shards in held(ring).items())
    assert ((ring.tenures == 0) == (ring.slots == VACANT)).all()
    ring.validate()


def ones(ring: Ring) -> NDArray[np.int64]:
    """Return a size of one byte for each partition: then a price counts shards."""
    return np.ones(ring.partitions, np.int64)


@SOME
@given(st.lists(clusters(least=0), min_size=2, max_size=6), widths, bits)
def test_every_table_of_a_history_keeps_every_rule(history: list[list[Member]], width: int, bits: int) -> None:
    draw = Tenures()
    ring = first_ring("default", history[0], partition_bits=bits, width=width, draw=draw)
    assert_keeps_its_promises(ring)
    for members in history[1:]:
        following = next_ring(ring, None, members, draw=draw)
        assert_keeps_its_promises(following)
        assert following.epoch == ring.epoch + 1
        assert moved_shards(ring, following) >= lower_bound(ring, following)
        assert sum(price(ring, following, ones(following)).moves.values()) == moved_shards(ring, following)
        ring = following


@SOME
@given(clusters(least=0), widths, bits)
def test_the_fair_share_is_that_of_a_rising_water_level(members: list[Member], width: int, bits: int) -> None:
    assert fair_shares(members, partitions=1 << bits, width=width) == fair_quota(members, 1 << bits, width)
    assert spread_cap(members, width) == tightest_cap(members, width)


@SOME
@given(clusters(), clusters(), widths, bits, st.randoms(use_true_random=False))
def test_the_order_in_which_servers_are_listed_does_not_matter(
    members: list[Member], others: list[Member], width: int, bits: int, rng: random.Random
) -> None:
    shuffled = rng.sample(members, len(members)), rng.sample(others, len(others))
    rings = [
        next_ring(ring_of(first, bits=bits, width=width), None, second, draw=Tenures())
        for first, second in ((members, others), shuffled)
    ]
    assert rings[0].to_bytes() == rings[1].to_bytes()


@SOME
@given(clusters(least=0), clusters(least=0), widths, bits)
def test_the_same_servers_again_move_nothing(
    members: list[Member], others: list[Member], width: int, bits: int
) -> None:
    ring = next_ring(ring_of(members, bits=bits, width=width), None, others, draw=Tenures())
    again = next_ring(ring, None, others, draw=Tenures())
    assert (again.slots == ring.slots).all()
    assert (again.tenures == ring.tenures).all()


@SOME
@given(clusters(), clusters(), widths, bits)
def test_a_server_that_stays_in_a_row_keeps_its_slot_and_its_tenure(
    members: list[Member], others: list[Member], width: int, bits: int
) -> None:
    draw = Tenures()
    old = first_ring("default", members, partition_bits=bits, width=width, draw=draw)
    new = next_ring(old, None, others, draw=draw)
    changed = (new.slots != old.slots) & (new.slots != VACANT)
    assert np.count_nonzero(changed) == moved_shards(old, new)
    assert (new.tenures == old.tenures)[(new.slots == old.slots)].all()
    fresh = new.tenures[changed]
    assert len(set(fresh.tolist())) == fresh.size
    assert not np.isin(fresh, old.tenures).any()


@SOME
@given(clusters(least=6), widths, bits, st.sampled_from(["zone-0", "zone-1", "new"]), st.integers(1, 40))
def test_adding_a_server_raises_no_other_quota(
    members: list[Member], width: int, bits: int, zone: str, weight: int
) -> None:
    old = ring_of(members, bits=bits, width=width)
    new = next_ring(old, None, [*members, Member(99, zone, weight)], draw=Tenures())
    if spread_cap(old.members, width) == spread_cap(new.members, width):
        before, after = held(old), held(new)
        assert all(after[number] <= before[number] for number in before)
        fair_before, fair_after = (fair_quota(ring.members, 1 << bits, width) for ring in (old, new))
        assert all(fair_after[number] <= fair_before[number] for number in before)


@SOME
@given(st.integers(7, 20), widths, st.integers(4, 9), st.integers(1, 40))
def test_without_zones_shards_move_to_an_added_server_alone(servers: int, width: int, bits: int, weight: int) -> None:
    members = cluster(servers, 1)
    old = ring_of(members, bits=bits, width=width)
    new = next_ring(old, None, [*members, Member(99, "zone-0", weight)], draw=Tenures())
    if price(old, new, ones(new)).incoming.keys() <= {99}:
        assert moved_shards(old, new) == held(new)[99]
    else:  # it is in nearly every row, and the rows with slots to give have it already
        assert held(new)[99] > (1 << bits) // 2
    assert moved_shards(old, new) >= held(new)[99]


@SOME
@given(clusters(least=7), widths, bits, st.integers(0, 6))
def test_draining_is_removing_and_lowers_no_survivors_quota(
    members: list[Member], width: int, bits: int, victim: int
) -> None:
    old = ring_of(members, bits=bits, width=width)
    gone = members[victim].number
    removed = next_ring(old, None, [m for m in members if m.number != gone], draw=Tenures())
    drained = next_ring(old, None, reweighted(members, gone, 0), draw=Tenures())
    assert (removed.slots == drained.slots).all()
    assert (removed.tenures == drained.tenures).all()
    if spread_cap(old.members, width) == spread_cap(removed.members, width):
        before, after = held(old), held(removed)
        assert all(after[number] >= before[number] for number in after)


@SOME
@given(clusters(least=6), widths, bits, st.integers(0, 5), st.integers(1, 20))
def test_raising_a_weight_raises_no_other_quota(
    members: list[Member], width: int, bits: int, which: int, more: int
) -> None:
    raised = members[which]
    old = ring_of(members, bits=bits, width=width)
    new = next_ring(old, None, reweighted(members, raised.number, raised.weight + more), draw=Tenures())
    before, after = held(old), held(new)
    assert all(after[number] <= before[number] + 1 for number in before if number != raised.number)
    fair_before, fair_after = (fair_quota(ring.members, 1 << bits, width) for ring in (old, new))
    assert all(fair_after[number] <= fair_before[number] for number in before if number != raised.number)


@SOME
@given(clusters(least=0), widths, bits, st.binary(min_size=32, max_size=32))
def test_a_split_keeps_every_lookup_and_needs_at_most_one_move_for_each_server(
    members: list[Member], width: int, bits: int, digest: bytes
) -> None:
    ring = ring_of(members, bits=bits, width=width)
    doubled = split(ring)
    assert doubled.partitions == 2 * ring.partitions
    assert doubled.row(doubled.partition_of(digest)) == ring.row(ring.partition_of(digest))
    assert moved_shards(ring, doubled) == 0
    evened = next_ring(doubled, None, members, draw=Tenures())
    assert moved_shards(doubled, evened) <= len(members)


@SOME
@given(clusters(least=6), st.integers(0, 5), widths, bits)
def test_with_too_few_servers_slots_are_vacant_and_are_filled_when_servers_return(
    members: list[Member], few: int, width: int, bits: int
) -> None:
    draw = Tenures()
    full = first_ring("default", members, partition_bits=bits, width=width, draw=draw)
    poor = next_ring(full, None, members[:few], draw=draw)
    assert np.count_nonzero(poor.slots == VACANT) == (1 << bits) * max(0, width - few)
    rich = next_ring(poor, None, members, draw=draw)
    assert not (rich.slots == VACANT).any()
    assert_keeps_its_promises(rich)


def test_bits_follow_the_number_of_servers() -> None:
    assert [default_partition_bits(cluster(n, 3)) for n in (0, 1, 3, 100, 122, 123, 1000)] == [12] * 5 + [13, 16]
    assert all(a <= b for a, b in pairwise(default_partition_bits(cluster(n, 1), width=6) for n in range(1, 900, 50)))
