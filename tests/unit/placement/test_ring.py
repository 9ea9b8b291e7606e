"""Reading a ring: lookups, rows, validation, the serialised form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reelstore.domain.errors import CorruptRing, InvalidRing
from reelstore.placement.builder import first_ring, next_ring, split
from reelstore.placement.ring import NO_PARENT, VACANT, Member, Ring, RingSet, Seat
from reelstore.placement.sealed import seal
from tests.unit.placement.clusters import Tenures, cluster, ring_of


@pytest.fixture(scope="module")
def ring() -> Ring:
    return ring_of(cluster(7, 3, (1, 2)), bits=6, width=3)


@pytest.mark.parametrize("bits", [0, 1, 8, 13])
def test_single_and_batch_lookups_agree_also_at_the_edges_of_the_hash_space(bits: int) -> None:
    ring = ring_of(cluster(5, 2), bits=bits, width=3)
    rng = np.random.default_rng(1)
    edges = [[0] * 32, [255] * 32, [127, *[255] * 31], [128, *[0] * 31]]
    digests = np.concatenate([np.array(edges, np.uint8), rng.integers(0, 256, (200, 32), np.uint8)])
    rows = ring.lookup_many(digests)
    for digest, row in zip(digests, rows.tolist(), strict=True):
        assert [seat.server for seat in ring.lookup(digest.tobytes())] == row
        assert ring.lookup(digest.tobytes()) == ring.row(ring.partition_of(digest.tobytes()))
    assert ring.partition_of(bytes(32)) == 0
    assert ring.partition_of(b"\xff" * 32) == ring.partitions - 1


def test_a_row_names_slots_servers_and_tenures_and_leaves_vacancies_out() -> None:
    slots = np.array([[4, VACANT, 2], [VACANT, 2, 4]], np.int32)
    tenures = np.array([[11, 0, 12], [0, 13, 2**64 - 1]], np.uint64)
    ring = Ring("default", 1, slots, tenures, (Member(2, "a", 1), Member(4, "b", 1)))
    ring.validate()
    assert ring.row(0) == (Seat(0, 4, 11), Seat(2, 2, 12))
    assert ring.row(1) == (Seat(1, 2, 13), Seat(2, 4, 2**64 - 1))
    with pytest.raises(IndexError):
        ring.row(2)


def test_a_ring_cannot_be_changed(ring: Ring) -> None:
    with pytest.raises(ValueError, match="read-only"):
        ring.slots[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        ring.tenures[0, 0] = 1
    with pytest.raises(AttributeError):
        ring.epoch = 2  # type: ignore[misc]  # that is what is refused


def test_a_ring_does_not_follow_the_array_it_was_made_from() -> None:
    slots = np.array([[1]], np.int32)
    ring = Ring("default", 1, slots, np.array([[1]], np.uint64), (Member(1, "a", 1), Member(2, "a", 1)))
    slots[0, 0] = 2
    assert ring.row(0)[0].server == 1


def test_shares_add_up_to_one_and_follow_the_weights() -> None:
    ring = ring_of([Member(1, "a", 1), Member(2, "b", 3), Member(3, "c", 0)], bits=8, width=1)
    assert ring.shares() == {1: 0.25, 2: 0.75, 3: 0.0}
    assert ring.balance() == 1.0


def test_balance_is_the_largest_load_over_the_fair_one() -> None:
    members = (Member(1, "a", 1), Member(2, "a", 1))
    lopsided = Ring("p", 1, np.array([[1], [1], [1], [2]], np.int32), np.ones((4, 1), np.uint64), members)
    assert lopsided.balance() == 1.5


def test_a_ring_without_servers_is_valid_and_empty() -> None:
    ring = ring_of([], bits=3, width=2)
    assert ring.row(0) == ()
    assert ring.handoffs(0) == ()
    assert ring.balance() == 1.0
    assert Ring.from_bytes(ring.to_bytes()) == ring


A, B, C = Member(1, "a", 1), Member(2, "b", 1), Member(3, "b", 1)


@pytest.mark.parametrize(
    ("members", "row", "tenures", "complaint"),
    [
        ((A, B), [1, 9], [1, 2], "unknown"),
        ((A, B, Member(3, "c", 0)), [1, 3], [1, 2], "draining"),
        ((A, B), [1, 2], [1, 0], "tenure"),
        ((A,), [1, VACANT], [1, 1], "tenure"),
        ((A, B), [1, VACANT], [1, 0], "does not name 2"),
        ((A, B), [1, 1], [1, 2], "twice"),
        ((A, B, C), [2, 3], [1, 2], "zone"),
    ],
)
def test_validation_finds_each_broken_rule(
    members: tuple[Member, ...], row: list[int], tenures: list[int], complaint: str
) -> None:
    ring = Ring("default", 1, np.array([row], np.int32), np.array([tenures], np.uint64), members)
    with pytest.raises(InvalidRing, match=complaint):
        ring.validate()


@pytest.mark.parametrize("change", [{"epoch": 0}, {"policy": ""}])
def test_validation_wants_a_policy_and_an_epoch(ring: Ring, change: dict[str, object]) -> None:
    arguments: dict[str, object] = {
        name: getattr(ring, name) for name in ("policy", "epoch", "slots", "tenures", "members")
    }
    with pytest.raises(InvalidRing):
        Ring(**(arguments | change)).validate()  # type: ignore[arg-type]  # a table of arguments


@pytest.mark.parametrize("shape", [(3, 2), (0, 2), (4, 0), (4,)])
def test_a_table_of_another_shape_is_no_ring(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidRing):
        Ring("default", 1, np.zeros(shape, np.int32), np.zeros(shape, np.uint64), ())


@pytest.mark.parametrize(("number", "weight"), [(-1, 1), (2**31, 1), (1, -1)])
def test_a_member_out_of_range_is_refused(number: int, weight: int) -> None:
    with pytest.raises(InvalidRing):
        Member(number, "a", weight)


def test_two_members_of_one_number_are_refused() -> None:
    with pytest.raises(InvalidRing, match="number 1"):
        ring_of([A, replace(B, number=1)], bits=2, width=1)


def test_what_is_read_is_what_was_written(ring: Ring) -> None:
    read = Ring.from_bytes(ring.to_bytes())
    assert read == ring
    assert hash(read) == hash(ring)
    assert (read.slots == ring.slots).all()
    assert (read.tenures == ring.tenures).all()
    assert (read.policy, read.epoch, read.members, read.parent) == (ring.policy, ring.epoch, ring.members, NO_PARENT)


def test_zones_of_any_text_survive_the_serialised_form() -> None:
    zones = ["", "зона/1", 'a"b\\', "\ud800", "\x00"]
    ring = ring_of([Member(n, zone, 10**18) for n, zone in enumerate(zones)], bits=2, width=2)
    assert [member.zone for member in Ring.from_bytes(ring.to_bytes()).members] == zones


def test_every_flipped_bit_and_every_cut_is_noticed(ring: Ring) -> None:
    good = ring.to_bytes()
    for position in range(0, len(good), 7):
        bad = bytearray(good)
        bad[position] ^= 1 << (position % 8)
        with pytest.raises(CorruptRing):
            Ring.from_bytes(bytes(bad))
    for length in (0, 10, 40, len(good) // 2, len(good) - 1):
        with pytest.raises(CorruptRing):
            Ring.from_bytes(good[:length])
    with pytest.raises(CorruptRing):
        Ring.from_bytes(good + b"\x00")


@pytest.mark.parametrize(
    "header", [{}, {"policy": "p", "epoch": 1, "partition_bits": 1, "width": 2, "members": 7, "parent": ""}]
)
def test_a_checked_header_that_describes_no_ring_is_corrupt(header: dict[str, object]) -> None:
    with pytest.raises(CorruptRing):
        Ring.from_bytes(seal(b"REELRING", header, bytes(48)))
    with pytest.raises(CorruptRing):
        RingSet.from_bytes(seal(b"REELSET\x00", header, b""))


def test_a_stored_ring_that_breaks_a_rule_is_refused_on_load() -> None:
    twice = Ring("p", 1, np.array([[1, 1]], np.int32), np.ones((1, 2), np.uint64), (A, B))
    with pytest.raises(InvalidRing):
        Ring.from_bytes(twice.to_bytes())


def test_a_ring_knows_its_parent_and_refuses_another(ring: Ring) -> None:
    child = next_ring(ring, None, cluster(8, 3, (1, 2)), draw=Tenures())
    child.check_parent(ring)
    split(child).check_parent(child)
    stranger = first_ring("default", cluster(7, 3), partition_bits=6, width=3, draw=Tenures())
    for other in (stranger, child, split(ring)):
        with pytest.raises(CorruptRing):
            child.check_parent(other)


def ring_set(ring: Ring) -> RingSet:
    other = first_ring("archive", ring.members, partition_bits=4, width=2, draw=Tenures())
    return RingSet(1, {"default": ring, "archive": other})


def test_a_ring_set_keeps_the_rings_of_all_policies(ring: Ring) -> None:
    first = ring_set(ring)
    first.validate()
    read = RingSet.from_bytes(first.to_bytes())
    assert read == first
    assert dict(read.rings) == dict(first.rings)
    assert list(read.rings) == ["archive", "default"]


def test_a_ring_set_is_followed_by_one_of_the_next_epoch_that_names_it(ring: Ring) -> None:
    first = ring_set(ring)
    members = cluster(8, 3)
    second = first.followed_by(
        {name: next_ring(old, None, members, draw=Tenures()) for name, old in first.rings.items()}
    )
    second.check_parent(first)
    assert RingSet.from_bytes(second.to_bytes()).parent == first.checksum
    with pytest.raises(CorruptRing):
        second.check_parent(second)
    with pytest.raises(InvalidRing):
        first.followed_by(first.rings)


def test_a_ring_set_refuses_a_ring_of_another_policy_or_epoch(ring: Ring) -> None:
    for wrong in (RingSet(1, {"archive": ring}), RingSet(2, {"default": ring}), RingSet(1, {}, b"short")):
        with pytest.raises(InvalidRing):
            wrong.validate()


def test_flipped_bits_in_a_ring_set_are_noticed(ring: Ring) -> None:
    good = ring_set(ring).to_bytes()
    for position in range(0, len(good), 101):
        bad = bytearray(good)
        bad[position] ^= 16
        with pytest.raises(CorruptRing):
            RingSet.from_bytes(bytes(bad))
