"""Augmenting chains: the exact finish. One chain fills one shard of a deficit, wherever the quotas can be met at all.

A chain starts at a vacant slot or at a server above its quota and ends at one below: server u hands one of its slots
to server v in some row, v one of its own to w in another, and so on. It is Ford and Fulkerson's augmenting path
("Maximal flow through a network", 1956) in the network partition → zone → server, found breadth first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reelstore.placement.draft import VACANT, Draft, Indices, Mask

_UNSEEN = -3
_SURPLUS = -2
_ROWS_AT_ONCE = 4096  # bounds the memory of a step: rows × servers


def augment(draft: Draft) -> bool:
    """Fill one missing shard by a chain of hand-overs; return whether there was one.

    A chain that disturbs only shards which move anyway is looked for first. It may cross one row twice in a way that
    does not fit; then a shortest chain is taken, for which that cannot be: a second hand-over in a row would have
    been reached from the first's start directly, unless it stays inside its own, full zone, and that always fits.
    """
    return _Search(draft, cheap=True).run() or _Search(draft, cheap=False).run()


class _Search:
    """Search breadth first for one chain.

    Args:
        draft: is edited when a chain is found.
        cheap: prefer hand-overs of shards that move anyway; otherwise the fewest hand-overs.
    """

    def __init__(self, draft: Draft, *, cheap: bool) -> None:
        self._draft = draft
        self._cheap = cheap
        self._moving = draft.moving()
        # Who handed a slot to each server, and in which row.
        self._giver: Indices = np.where(draft.missing < 0, _SURPLUS, _UNSEEN)
        self._row: Indices = np.full(len(draft.missing), -1)

    def run(self) -> bool:
        vacant = [VACANT] if (self._draft.slots == VACANT).any() else []
        level = vacant + np.flatnonzero(self._draft.missing < 0).tolist()
        while level:
            reached, following = list(level), list[int]()
            for with_kept in (False, True) if self._cheap else (True,):
                for server in reached:  # grows while hand-overs cost nothing
                    found = self._expand(server, with_kept=with_kept)
                    for taker in found:
                        if self._draft.missing[taker] > 0:
                            return self._hand_over(taker)
                    (following if with_kept else reached).extend(found)
            level = following
        return False

    def _expand(self, server: int, *, with_kept: bool) -> list[int]:
        """Reach the servers to which this one could hand a slot over; return those not reached before."""
        slots = self._draft.slots
        usable = slots == server
        if not (with_kept or server == VACANT or self._giver[server] == _SURPLUS):
            usable &= self._moving
        rows = np.flatnonzero(usable.any(axis=1))
        reached: list[int] = []
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            block = rows[start : start + _ROWS_AT_ONCE]
            admits = self._admits(block, server)
            new = np.flatnonzero(admits.any(axis=0) & (self._giver == _UNSEEN))
            self._giver[new], self._row[new] = server, block[admits[:, new].argmax(axis=0)]
            reached.extend(new.tolist())
        return reached

    def _admits(self, rows: Indices, leaving: int) -> Mask:
        """Return which servers could enter each row once `leaving` has left it, (rows, servers)."""
        draft = self._draft
        row = draft.slots[rows]
        in_zone = np.zeros((len(rows), draft.zone_count), np.int64)
        at, column = np.nonzero(row != VACANT)
        np.add.at(in_zone, (at, draft.zone_of[row[at, column]]), 1)
        if leaving != VACANT:
            in_zone[:, draft.zone_of[leaving]] -= 1
        admits: NDArray[np.bool_] = (in_zone < draft.cap)[:, draft.zone_of]
        admits[at, row[at, column]] = False
        return admits

    def _hand_over(self, last: int) -> bool:
        """Carry the chain out, from its end back to its start; undo it all if a row breaks a rule by it."""
        draft = self._draft
        done: list[tuple[int, int, int]] = []
        taker = last
        while taker != VACANT and self._giver[taker] != _SURPLUS:
            giver, row = int(self._giver[taker]), int(self._row[taker])
            column = int(np.flatnonzero(draft.slots[row] == giver)[0])
            done.append((row, column, giver))
            draft.slots[row, column] = taker
            taker = giver
        fits = all(self._fits(row) for row, _, _ in done)
        if not fits:
            for row, column, giver in reversed(done):
                draft.slots[row, column] = giver
        draft.recount()
        return fits

    def _fits(self, row: int) -> bool:
        held = self._draft.slots[row][self._draft.slots[row] != VACANT]
        in_zone = np.bincount(self._draft.zone_of[held])
        return len(np.unique(held)) == len(held) and int(in_zone.max(initial=0)) <= self._draft.cap
