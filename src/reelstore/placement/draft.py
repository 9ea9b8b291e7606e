"""A table while it is being changed: what the steps of an update share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

VACANT = -1
Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Draft:
    """Hold a table under change, by indices of live servers, and keep count of what each server lacks.

    Index −1 stands for a vacant slot; arrays that are looked up by it carry one cell more for it at the end.

    Args:
        slots: indices of live servers, (partitions, width), −1 where vacant or where the server is gone; edited in
            place.
        quota: shards that each server must hold, (servers,).
        zone_of: index of each server's zone, (servers,).
        cap: shards of a row in one zone, at most.
        salt: makes the arbitrary choices of this update differ from those of the one before.

    Attributes:
        before: the table as it was handed in.
        missing: quota less shards held, (servers,); negative for a surplus.
        rounds: rounds of proposals so far, so that each draws differently.
    """

    def __init__(self, slots: Indices, quota: Indices, zone_of: Indices, *, cap: int, salt: int) -> None:
        self.slots = slots
        self.before = slots.copy()
        self.quota = quota
        self.zone_of = zone_of
        self.zone_or_none = np.append(zone_of, -1)
        self.zone_count = int(zone_of.max(initial=-1)) + 1
        self.cap = cap
        self.salt = salt
        self.rounds = 0
        self.missing = quota.copy()
        self.recount()

    def recount(self) -> None:
        """Bring `missing` up to date after the slots were edited directly."""
        self.missing[:] = self.quota - np.bincount(self.slots[self.slots >= 0], minlength=len(self.quota))

    @property
    def shortage(self) -> int:
        """Return the number of shards that servers still lack; 0 when the table is done."""
        return int(np.maximum(self.missing, 0).sum())

    def zones(self) -> Indices:
        """Return the zone of each slot, (partitions, width), −1 where vacant."""
        return self.zone_or_none[self.slots]

    def giving(self) -> Mask:
        """Return which slots may be filled anew: vacant ones, and those of servers above their quota."""
        gives: Mask = np.append(self.missing < 0, True)[self.slots]
        return gives

    def moving(self) -> Mask:
        """Return which slots hold a shard that has to be copied there already: taking it elsewhere costs nothing."""
        kept = (self.slots[:, :, None] == self.before[:, None, :]).any(axis=2)
        moves: Mask = ~kept & (self.slots != VACANT)
        return moves

    def place(self, rows: Indices, columns: Indices, servers: Indices) -> None:
        """Put servers into slots, at most one in each row, and count."""
        leaving = self.slots[rows, columns]
        self.slots[rows, columns] = servers
        np.subtract.at(self.missing, servers, 1)
        np.add.at(self.missing, leaving[leaving != VACANT], 1)


def first_of_each(keys: Indices) -> Indices:
    """Return the positions at which each distinct value first occurs, in order."""
    return np.sort(np.unique(keys, return_index=True)[1])


def rank_in_group(groups: Indices) -> Indices:
    """Return for each position how many positions before it have the same value."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    lengths = np.diff(np.r_[starts, len(groups)])
    ranks = np.empty(len(groups), np.int64)
    ranks[order] = np.arange(len(groups)) - np.repeat(starts, lengths)
    return ranks
