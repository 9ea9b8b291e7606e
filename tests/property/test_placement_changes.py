"""Changes that begin before the last one has ended, and the names that depend on them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelstore.placement.builder import effective_ring, first_ring, next_ring, split
from reelstore.placement.plan import moved_shards
from reelstore.placement.ring import Member, Ring
from tests.unit.placement.clusters import Tenures, bits, cluster, clusters, reweighted, ring_of, widths

SOME = settings(max_examples=60, deadline=None)

Names = set[tuple[int, int, int, int]]


def names_in(ring: Ring) -> Names:
    """Return what the shards of a table are named by: partition, server, slot and tenure."""
    return {
        (partition, seat.server, seat.slot, seat.tenure)
        for partition in range(ring.partitions)
        for seat in ring.row(partition)
    }


@SOME
@given(clusters(), st.lists(clusters(), min_size=1, max_size=3), widths, bits)
def test_cancelling_before_anything_has_moved_gives_the_old_table_back(
    members: list[Member], changes: list[list[Member]], width: int, bits: int
) -> None:
    draw = Tenures()
    old = first_ring("default", members, partition_bits=bits, width=width, draw=draw)
    newest = old
    for changed in changes:
        newest = next_ring(newest, old, changed, draw=draw)
    cancelled = next_ring(newest, old, members, draw=draw)
    assert (cancelled.slots == old.slots).all()
    assert moved_shards(old, cancelled) == 0
    if len(changes) == 1:
        assert (cancelled.tenures == old.tenures).all()


@SOME
@given(clusters(), st.data(), widths, st.integers(2, 5))
def test_a_name_that_is_in_no_table_any_more_never_comes_back(
    members: list[Member], data: st.DataObject, width: int, bits: int
) -> None:
    draw = Tenures()
    newest = first_ring("default", members, partition_bits=bits, width=width, draw=draw)
    rings = {newest.epoch: newest}
    synced = np.full(newest.partitions, newest.epoch)
    in_use, retired = names_in(newest), set[tuple[int, int, int, int]]()
    for _ in range(4):
        done = data.draw(st.lists(st.booleans(), min_size=len(synced), max_size=len(synced)))
        synced[np.array(done)] = newest.epoch
        effective = effective_ring(newest, rings, synced)
        newest = next_ring(newest, effective, data.draw(clusters()), draw=draw)
        rings[newest.epoch] = newest
        now_in_use = names_in(newest) | names_in(effective)
        assert not now_in_use & retired
        retired |= in_use - now_in_use
        in_use = now_in_use


@SOME
@given(clusters(least=3), clusters(least=3), widths, bits, st.data())
def test_a_change_under_way_goes_on_where_it_was_going(
    members: list[Member], others: list[Member], width: int, bits: int, data: st.DataObject
) -> None:
    draw = Tenures()
    old = first_ring("default", members, partition_bits=bits, width=width, draw=draw)
    newest = next_ring(old, None, others, draw=draw)
    done = data.draw(st.integers(0, newest.partitions))
    synced = np.where(np.arange(newest.partitions) < done, newest.epoch, old.epoch)
    effective = effective_ring(newest, {old.epoch: old, newest.epoch: newest}, synced)
    again = next_ring(newest, effective, others, draw=draw)
    # Rounding goes by what is held, which differs half-way: that and its consequences are a few shards.
    assert moved_shards(effective, again) <= moved_shards(effective, newest) + len(others)
    same = again.slots == newest.slots
    assert (again.tenures == newest.tenures)[same].all()


TEN = cluster(10, 5)


@pytest.mark.parametrize("done_of_64", [0, 5, 32, 60])
@pytest.mark.parametrize("changed", [[*TEN, Member(10, "zone-0", 10)], TEN[2:], reweighted(TEN, 4, 40)], ids=len)
def test_shards_on_their_way_are_not_sent_elsewhere(changed: list[Member], done_of_64: int) -> None:
    old = ring_of(TEN, bits=6, width=3)
    newest = next_ring(old, None, changed, draw=Tenures())
    synced = np.where(np.arange(64) < done_of_64, newest.epoch, old.epoch)
    again = next_ring(newest, effective_ring(newest, {1: old, 2: newest}, synced), changed, draw=Tenures())
    assert moved_shards(newest, again) <= 2  # a unit of rounding may sit elsewhere


@SOME
@given(clusters(), clusters(), widths, st.integers(2, 6))
def test_rows_synced_before_a_split_are_found_after_it(
    members: list[Member], others: list[Member], width: int, bits: int
) -> None:
    old = ring_of(members, bits=bits, width=width)
    newest = next_ring(split(old), None, others, draw=Tenures())
    effective = effective_ring(newest, {old.epoch: old}, np.full(newest.partitions, old.epoch))
    assert (effective.slots[::2] == old.slots).all()
    assert (effective.tenures[1::2] == old.tenures).all()
