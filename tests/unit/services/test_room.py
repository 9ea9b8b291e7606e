"""What fits, fits on every server and on every disk; and one is full then."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelstore.services.room import Room, on_disks, usable

TIB = 2**40
rooms = st.builds(
    Room,
    servers=st.just((0,)),
    used_bytes=st.integers(0, TIB),
    free_bytes=st.integers(0, TIB),
    part=st.floats(0.001, 3),
)


@given(st.lists(rooms, min_size=1, max_size=6), st.integers(0, TIB))
def test_what_fits_fills_nobody_beyond_his_room_and_the_first_to_the_last_byte(
    found: list[Room], chunk_bytes: int
) -> None:
    bytes_left, first = usable(found, chunk_bytes=chunk_bytes)
    assert first in found
    fill = [(chunk_bytes + bytes_left) * room.part / (room.used_bytes + room.free_bytes + 1) for room in found]
    if bytes_left:
        assert max(fill) <= 1 + 1e-9
        assert first is not None
        assert (chunk_bytes + bytes_left + 2) * first.part >= (first.used_bytes + first.free_bytes) * (1 - 1e-9)


def test_nothing_fits_where_the_ring_has_no_servers() -> None:
    assert usable([], chunk_bytes=0) == (0, None)
    assert usable([Room((1,), 0, 100, 0.0)], chunk_bytes=0) == (0, None)


def test_servers_on_one_disk_have_together_what_it_has_left() -> None:
    found = {number: Room((number,), 10, 90, 0.5) for number in (1, 2, 3, 4)}
    disks = on_disks(found, {1: "a", 2: "a", 3: "b", 4: "c"}, {1: 60, 2: 61, 3: 500})
    assert set(disks) == {Room((1, 2), 20, 60, 1.0), Room((3,), 10, 90, 0.5), Room((4,), 10, 90, 0.5)}
    assert usable([*found.values(), *disks], chunk_bytes=0) == (80, Room((1, 2), 20, 60, 1.0))


@pytest.mark.parametrize("known", [{}, {1: "a"}])
def test_a_server_whose_disk_is_not_known_stands_alone(known: dict[int, str]) -> None:
    found = {1: Room((1,), 0, 90, 1.0), 2: Room((2,), 0, 90, 1.0)}
    assert sum(room.free_bytes for room in on_disks(found, known, {1: 90, 2: 90})) == 180
