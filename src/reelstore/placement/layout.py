"""The first table: exact at once, then stirred so that many servers share partitions with many."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reelstore.placement.mixing import mix

_VACANT = -1
_STIR_ROUNDS = 64
_COLUMN_SALT, _PAIR_SALT, _SWAP_SALT = 1, 2, 3


def first_layout(
    quota: NDArray[np.int64], zone_of: NDArray[np.int64], *, partitions: int, width: int, cap: int
) -> NDArray[np.int64]:
    """Lay out servers so that each has its quota, no row names one twice, and no zone has more than `cap` in a row.

    The wrap-around rule (McNaughton, "Scheduling with deadlines and loss functions", 1959): write each server as often
    as its quota says, zone after zone, in one line, and wrap the line into columns. A run of at most `partitions`
    equal entries meets each row at most once, one of at most `cap` × `partitions` at most `cap` times; so it fits
    whenever the quotas do.

    Args:
        quota: shards of each server, (servers,); each at most `partitions`.
        zone_of: index of each server's zone, (servers,).
        partitions: rows.
        width: slots of a row.
        cap: shards of a row in one zone, at most.

    Returns:
        Indices of servers, (partitions, width), −1 where vacant.
    """
    line = np.full(partitions * width, _VACANT, np.int64)
    by_zone = np.argsort(zone_of, kind="stable")
    line[: quota.sum()] = np.repeat(by_zone, quota[by_zone])
    slots = line.reshape(width, partitions).T
    order = np.argsort(mix(_COLUMN_SALT, np.arange(partitions)[:, None], np.arange(width)[None, :]), axis=1)
    slots = np.take_along_axis(slots, order, axis=1)
    for number in range(_STIR_ROUNDS):
        _stir(slots, zone_of, cap, number)
    return slots


def _stir(slots: NDArray[np.int64], zone_of: NDArray[np.int64], cap: int, number: int) -> None:
    """Pair up the rows at random and let each pair swap one shard where both rows stay valid.

    Without it neighbours in the line would share nearly all of their partitions, and the loss of one server would be
    healed by its neighbours alone.
    """
    partitions, width = slots.shape
    shuffled = np.argsort(mix(_PAIR_SALT, number, np.arange(partitions)))  # `mix` is one-to-one here: there are no ties
    half = partitions // 2
    left, right = shuffled[:half], shuffled[half : 2 * half]
    drawn = mix(_SWAP_SALT, number, left)
    left_column = (drawn % np.uint64(width)).astype(np.int64)
    right_column = ((drawn >> np.uint64(20)) % np.uint64(width)).astype(np.int64)
    from_left, from_right = slots[left, left_column], slots[right, right_column]
    zones = np.append(zone_of, -1)
    left_zone, right_zone = zones[from_left], zones[from_right]
    fits = (from_left != _VACANT) & (from_right != _VACANT)
    fits &= ~(slots[left] == from_right[:, None]).any(axis=1) & ~(slots[right] == from_left[:, None]).any(axis=1)
    has_room = (zones[slots[right]] == left_zone[:, None]).sum(axis=1) < cap
    has_room &= (zones[slots[left]] == right_zone[:, None]).sum(axis=1) < cap
    fits &= (left_zone == right_zone) | has_room
    slots[left[fits], left_column[fits]] = from_right[fits]
    slots[right[fits], right_column[fits]] = from_left[fits]
