"""What the way from one table to another costs in bytes; and tables of other numbers of partitions."""

from __future__ import annotations

import numpy as np
import pytest

from reelstore.domain.errors import InvalidRing
from reelstore.placement.builder import next_ring, split, unchanged, wants_split, widened
from reelstore.placement.plan import lower_bound, moved_shards, price
from reelstore.placement.ring import VACANT, Member, Ring
from tests.unit.placement.clusters import Tenures, cluster, ring_of


def table(rows: list[list[int]]) -> Ring:
    slots = np.array(rows, np.int32)
    numbers = sorted({number for row in rows for number in row if number != VACANT})
    return Ring("p", 1, slots, (slots != VACANT).astype(np.uint64), tuple(Member(n, str(n), 1) for n in numbers))


def sizes(*size_bytes: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(size_bytes, np.int64)


def test_each_move_costs_what_its_partition_holds() -> None:
    old = table([[1, 2], [1, 3], [2, VACANT], [3, 1]])
    new = table([[1, 4], [4, 3], [2, 4], [3, 1]])
    found = price(old, new, sizes(1, 10, 100, 1000))
    assert found.moves == {(2, 4): 1, (1, 4): 10, (VACANT, 4): 100}
    assert found.incoming == {4: 111}
    assert found.outgoing == {2: 1, 1: 10}
    assert found.bytes_minimum == 111


def test_what_only_changes_places_is_above_the_minimum() -> None:
    found = price(table([[1], [2]]), table([[2], [1]]), sizes(10, 7))
    assert (sum(found.moves.values()), found.bytes_minimum) == (17, 3)


def test_what_nobody_needs_any_more_goes_and_costs_nothing() -> None:
    found = price(table([[1, 2]]), table([[1, VACANT]]), sizes(5))
    assert (found.moves, found.incoming, found.outgoing) == ({}, {}, {2: 5})


def test_empty_partitions_cost_nothing() -> None:
    found = price(table([[1], [2]]), table([[2], [1]]), sizes(0, 0))
    assert (found.moves, found.incoming, found.outgoing, found.bytes_minimum) == ({}, {}, {}, 0)


def test_bytes_are_counted_exactly_however_many() -> None:
    found = price(table([[1], [1]]), table([[2], [2]]), sizes(2**60, 1))
    assert found.moves == {(1, 2): 2**60 + 1}


def test_partitions_of_one_size_are_priced_as_they_are_counted() -> None:
    old = ring_of(cluster(10, 4, (1, 2)), bits=7, width=3)
    new = next_ring(old, None, cluster(12, 4, (1, 2)), draw=Tenures())
    found = price(old, new, np.full(new.partitions, 7, np.int64))
    assert (
        sum(found.moves.values())
        == sum(found.incoming.values())
        == sum(found.outgoing.values())
        == 7 * moved_shards(old, new)
    )
    assert found.bytes_minimum == 7 * lower_bound(old, new)


def test_there_is_one_size_for_each_partition() -> None:
    with pytest.raises(InvalidRing, match="sizes"):
        price(table([[1], [2]]), table([[2], [1]]), sizes(1))


def test_a_table_from_before_a_split_is_priced_against_one_after_it() -> None:
    old = ring_of(cluster(4, 1), bits=3, width=2)
    wide = split(old)
    assert price(old, wide, np.ones(16, np.int64)).moves == {}
    assert (widened(old, 4, epoch=2).slots == wide.slots).all()
    assert widened(wide, 4) is wide
    with pytest.raises(InvalidRing):
        widened(wide, 3)


def test_a_ring_that_stays_is_the_child_of_what_it_was() -> None:
    ring = ring_of(cluster(4, 1), bits=3, width=2)
    same = unchanged(ring)
    same.check_parent(ring)
    assert (same.slots == ring.slots).all()
    assert (same.tenures == ring.tenures).all()


@pytest.mark.parametrize(
    ("bits", "servers", "wanted"), [(12, 100, False), (12, 200, True), (13, 200, False), (4, 200, False)]
)
def test_too_many_servers_for_the_partitions_want_a_split_unless_few_were_chosen(
    bits: int, servers: int, wanted: bool
) -> None:
    ring = ring_of(cluster(3, 1), bits=bits, width=3)
    assert wants_split(ring, cluster(servers, 4)) is wanted
