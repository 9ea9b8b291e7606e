"""Augmenting chains: the exact finish, which fills deficits wherever the quotas can be met at all.

A chain starts at a vacant slot or at a server above its quota and ends at one below: server u hands one of its slots
to server v in some row, v one of its own to w in another, and so on. It is Ford and Fulkerson's augmenting path
("Maximal flow through a network", 1956) in the network partition → zone → server, found breadth first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reelstore.placement.draft import VACANT, Draft, Mask
from reelstore.placement.handover import HandOver, admitted, hand_over, held_before

_ROWS_AT_ONCE = 4096  # bounds the memory of a step: rows × servers


@dataclass(frozen=True, slots=True)
class _Link:
    """Say that `giver` can hand a slot of `row` to `taker`; see `HandOver` for `with_kept`."""

    giver: int
    taker: int
    row: int
    with_kept: bool


def augment(draft: Draft) -> bool:
    """Fill at least one missing shard by a chain of hand-overs; return whether there was one.

    A chain without a hand-over that costs a move is looked for first. It may cross one row twice in a way that
    does not fit; then a shortest chain is taken, for which that cannot be: a second hand-over in a row would have
    been reached from the first's start directly, unless it stays inside its own, full zone, and that always fits.
    """
    for cheap in (True, False):
        chain = _Search(draft, cheap=cheap).run()
        if chain and (_carry_out_in_bulk(draft, chain) or _carry_out_once(draft, chain)):
            return True
    return False


class _Search:
    """Search breadth first for one chain.

    Args:
        draft: is only read.
        cheap: prefer hand-overs that cost no move; otherwise the fewest hand-overs.
    """

    def __init__(self, draft: Draft, *, cheap: bool) -> None:
        self._draft = draft
        self._cheap = cheap
        self._moving = draft.moving()
        self._changed: Mask = np.asarray((draft.slots != draft.before).any(axis=1))
        self._reached_by: dict[int, _Link] = {}
        self._unseen: Mask = draft.missing >= 0

    def run(self) -> list[_Link]:
        """Return the chain from its end back to its start; nothing when there is none."""
        vacant = [VACANT] if (self._draft.slots == VACANT).any() else []
        level = vacant + np.flatnonzero(~self._unseen).tolist()
        while level:
            reached, following = list(level), list[int]()
            for with_kept in (False, True) if self._cheap else (True,):
                for giver in reached:  # grows while hand-overs cost nothing
                    takers = self._expand(giver, with_kept=with_kept)
                    for taker in takers:
                        if self._draft.missing[taker] > 0:
                            return self._trace(taker)
                    (following if with_kept else reached).extend(takers)
            level = following
        return []

    def _expand(self, giver: int, *, with_kept: bool) -> list[int]:
        """Reach the servers to which this one could hand a slot over; return those not reached before."""
        gives = self._draft.slots == giver
        # What a server has in surplus must leave it anyway, and so costs nothing.
        with_kept = with_kept or giver == VACANT or giver not in self._reached_by
        if not with_kept:
            gives &= self._changed[:, None]
        rows = np.flatnonzero(gives.any(axis=1))
        reached: list[int] = []
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            block = rows[start : start + _ROWS_AT_ONCE]
            admits = admitted(self._draft, block, giver)
            if not with_kept:
                moves_anyway = (gives & self._moving)[block].any(axis=1)
                admits &= moves_anyway[:, None] | held_before(self._draft, block)
            takers = np.flatnonzero(admits.any(axis=0) & self._unseen)
            self._unseen[takers] = False
            for taker, row in zip(takers.tolist(), block[admits[:, takers].argmax(axis=0)].tolist(), strict=True):
                self._reached_by[taker] = _Link(giver, taker, row, with_kept)
                reached.append(taker)
        return reached

    def _trace(self, end: int) -> list[_Link]:
        chain: list[_Link] = []
        while end in self._reached_by:
            chain.append(self._reached_by[end])
            end = chain[-1].giver
        return chain


def _carry_out_in_bulk(draft: Draft, chain: list[_Link]) -> bool:
    """Carry a chain out as often as there is need and rows for it; return whether it was at all.

    Chains along one path of servers cost the same, so it would be found again; this saves the search.
    """
    start, end = chain[-1].giver, chain[0].taker
    most = int(draft.missing[end])
    if start != VACANT:
        most = min(most, -int(draft.missing[start]))
    steps = [HandOver(link.giver, link.taker, with_kept=link.with_kept) for link in chain]
    return hand_over(draft, steps, most=most) > 0


def _carry_out_once(draft: Draft, chain: list[_Link]) -> bool:
    """Carry a chain out in the rows where it was found; undo it all if a row breaks a rule by it."""
    undo: list[tuple[int, int, int]] = []
    for link in chain:
        column = int(np.flatnonzero(draft.slots[link.row] == link.giver)[0])
        undo.append((link.row, column, link.giver))
        draft.slots[link.row, column] = link.taker
    fits = all(_fits(draft, link.row) for link in chain)
    if not fits:
        for row, column, giver in reversed(undo):
            draft.slots[row, column] = giver
    draft.recount()
    return fits


def _fits(draft: Draft, row: int) -> bool:
    held = draft.slots[row][draft.slots[row] != VACANT]
    in_zone = np.bincount(draft.zone_of[held])
    return len(np.unique(held)) == len(held) and int(in_zone.max(initial=0)) <= draft.cap
