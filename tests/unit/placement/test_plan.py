"""What lies between two tables."""

from __future__ import annotations

import numpy as np
import pytest

from reelstore.domain.errors import InvalidRing
from reelstore.placement.builder import effective_ring, first_ring, next_ring, split
from reelstore.placement.plan import WarningKind, lower_bound, moved_shards, warnings
from reelstore.placement.ring import PARTITION_BITS_MAX, VACANT, Member, Ring
from tests.unit.placement.clusters import Tenures, cluster, ring_of


def table(rows: list[list[int]]) -> Ring:
    slots = np.array(rows, np.int32)
    numbers = sorted({number for row in rows for number in row if number != VACANT})
    return Ring("p", 1, slots, (slots != VACANT).astype(np.uint64), tuple(Member(n, str(n), 1) for n in numbers))


def test_moves_are_counted_slot_by_slot() -> None:
    old = table([[1, 2], [1, 3], [2, VACANT], [3, 1]])
    new = table([[1, 4], [4, 3], [2, 4], [3, 1]])
    assert moved_shards(old, new) == 3
    assert lower_bound(old, new) == 3


def test_a_split_alone_moves_nothing() -> None:
    ring = ring_of(cluster(5, 2), bits=4, width=3)
    assert moved_shards(ring, split(ring)) == 0


def test_tables_of_other_widths_or_fewer_partitions_are_not_compared() -> None:
    ring = ring_of(cluster(5, 2), bits=4, width=3)
    with pytest.raises(InvalidRing):
        moved_shards(ring, ring_of(cluster(5, 2), bits=4, width=2))
    with pytest.raises(InvalidRing):
        moved_shards(split(ring), ring)


def kinds(members: list[Member], width: int, losses_tolerated: int) -> set[WarningKind]:
    return {warning.kind for warning in warnings(members, width=width, losses_tolerated=losses_tolerated)}


def test_enough_equal_zones_give_no_warning() -> None:
    assert kinds(cluster(6, 3), 3, 2) == set()
    assert kinds(cluster(12, 4), 6, 2) == set()


def test_a_zone_that_holds_more_than_may_be_lost_is_warned_of() -> None:
    assert kinds(cluster(9, 3), 6, 1) == {WarningKind.ZONE_LOSS_LOSES_DATA}
    assert kinds(cluster(6, 1), 2, 1) == {WarningKind.ZONE_LOSS_LOSES_DATA}


def test_too_few_servers_are_warned_of() -> None:
    assert WarningKind.TOO_FEW_SERVERS in kinds(cluster(2, 2), 3, 2)
    assert kinds([], 3, 2) == {WarningKind.TOO_FEW_SERVERS}


def test_servers_that_zones_keep_from_being_filled_are_named() -> None:
    members = [Member(1, "a", 10), Member(2, "b", 10), Member(3, "c", 100)]
    (warning,) = warnings(members, width=2, losses_tolerated=1)
    assert warning.kind is WarningKind.UNUSABLE_CAPACITY
    assert warning.servers == (3,)


@pytest.mark.parametrize(("bits", "width"), [(-1, 1), (PARTITION_BITS_MAX + 1, 1), (3, 0)])
def test_a_ring_of_impossible_size_is_refused(bits: int, width: int) -> None:
    with pytest.raises(InvalidRing):
        ring_of(cluster(3, 1), bits=bits, width=width)


@pytest.mark.parametrize(
    "drawn", [np.zeros(8, np.uint64), np.ones(7, np.uint64), np.ones(8, np.int64), np.array([1] * 7 + [0], np.uint64)]
)
def test_tenures_that_cannot_be_used_are_refused(drawn: np.ndarray[tuple[int], np.dtype[np.uint64]]) -> None:
    with pytest.raises(InvalidRing, match="8 tenures"):
        first_ring("p", cluster(1, 1), partition_bits=3, width=2, draw=lambda _: drawn)


def test_an_effective_table_that_does_not_fit_is_refused() -> None:
    ring = ring_of(cluster(4, 1), bits=3, width=2)
    with pytest.raises(InvalidRing, match="epoch 7"):
        effective_ring(ring, {1: ring}, np.full(8, 7))
    with pytest.raises(InvalidRing):
        effective_ring(ring, {1: ring}, np.full(4, 1))
    with pytest.raises(InvalidRing):
        next_ring(ring, split(ring), cluster(4, 1), draw=Tenures())
