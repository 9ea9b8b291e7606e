"""How much room there is, and who is full first: servers, and disks that several of them share. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Room:
    """What one server has, or what servers on one disk have together.

    Args:
        servers: their numbers.
        used_bytes: of shards.
        free_bytes: what is left.
        part: bytes of shards that come here for a byte of video that is stored; 0 where the ring has no slot.
    """

    servers: tuple[int, ...]
    used_bytes: int
    free_bytes: int
    part: float


def joined(rooms: Sequence[Room], *, disk_free_bytes: int) -> Room:
    """Return the room of servers on one disk: all of theirs, and no more than the disk has left."""
    return Room(
        servers=tuple(number for room in rooms for number in room.servers),
        used_bytes=sum(room.used_bytes for room in rooms),
        free_bytes=min(disk_free_bytes, sum(room.free_bytes for room in rooms)),
        part=sum(room.part for room in rooms),
    )


def on_disks(
    rooms: Mapping[int, Room], disks: Mapping[int, str], disk_free_bytes: Mapping[int, int]
) -> tuple[Room, ...]:
    """Return the room of each disk, and of each server that shares none.

    Args:
        rooms: of each server, by number.
        disks: on which disk servers are, by number, where that is known.
        disk_free_bytes: what each of these servers says of its disk; they asked at different moments.
    """
    by_disk: dict[str, list[int]] = {}
    for number in rooms:
        if number in disks and number in disk_free_bytes:
            by_disk.setdefault(disks[number], []).append(number)
    shared = {number for numbers in by_disk.values() for number in numbers}
    alone = [room for number, room in rooms.items() if number not in shared]
    return (
        *alone,
        *(
            joined(
                [rooms[number] for number in numbers], disk_free_bytes=min(disk_free_bytes[each] for each in numbers)
            )
            for numbers in by_disk.values()
        ),
    )


def usable(rooms: Iterable[Room], *, chunk_bytes: int) -> tuple[int, Room | None]:
    """Return how many bytes of video still fit, and whose room is used up first.

    What counts is not how full servers are now, while data may still be moving, but how full the ring makes them.

    Args:
        rooms: of servers and of disks.
        chunk_bytes: of one copy of every chunk that is stored.
    """
    taking = [room for room in rooms if room.part > 0]
    if not taking:
        return 0, None
    left = [(room.used_bytes + room.free_bytes) / room.part - chunk_bytes for room in taking]
    first = min(range(len(taking)), key=left.__getitem__)
    return max(int(left[first]), 0), taking[first]
