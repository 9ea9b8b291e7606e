"""Take back moves that turned out to be needless: the steps before this one never look back.

Server v entered a row that u had to leave, and u entered other rows later on. If u can leave one of those to v, alone
or by way of others and at no cost, u may stay where it was: one move less, and every load the same. It is Klein's
cancelling of negative cycles ("A primal method for minimal cost flows", 1967), restricted to cycles in which no step
costs a move.
"""

from __future__ import annotations

import itertools

import numpy as np

from reelstore.placement.draft import VACANT, Draft, Indices, Mask
from reelstore.placement.handover import HandOver, admitted, hand_over, held_before

_TRIES_MAX = 4096
_CELLS_MAX = 1 << 22  # shards × servers looked at together: bounds memory; of a larger update only a part is settled
_UNSEEN = -1


def settle(draft: Draft) -> None:
    """Undo needless moves, as long as there are any that are found within a bounded number of tries.

    Args:
        draft: a table in which every server holds its quota; is edited, and still is one afterwards.
    """
    held = np.bincount(draft.before[draft.before != VACANT], minlength=len(draft.quota))
    needed = int(np.maximum(draft.quota - held, 0).sum())
    tries_left = _TRIES_MAX
    while tries_left > 0 and int(np.count_nonzero(draft.moving())) > needed:
        arcs = _Arcs(draft)
        undone = False
        for giver, taker in arcs.restoring()[:tries_left]:
            undone |= arcs.cancel_cycle(giver, taker)
            tries_left -= 1
        if not undone:
            return


class _Arcs:
    """Know which server could leave a slot to which at no cost, and in which rows.

    It describes the draft as it was at first; what is done by it checks each row as it is.
    """

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._servers = len(draft.quota)
        changed = np.flatnonzero((draft.slots != draft.before).any(axis=1))
        changed = changed[: max(1, _CELLS_MAX // (draft.slots.shape[1] * self._servers))]
        at, columns = np.nonzero(draft.slots[changed] != VACANT)
        rows = changed[at]
        givers = draft.slots[rows, columns]
        moves_anyway, returns = draft.moving()[rows, columns][:, None], held_before(draft, rows)
        admits = admitted(draft, rows, givers)
        at, takers = np.nonzero(admits & (moves_anyway | returns))
        pairs = givers[at] * self._servers + takers
        order = np.argsort(pairs, kind="stable")
        self._pairs, self._rows = pairs[order], rows[at[order]]
        self._could: Mask = np.zeros((self._servers, self._servers), np.bool_)
        self._could.ravel()[self._pairs] = True
        at, takers = np.nonzero(admits & moves_anyway & returns)
        self._restoring: Indices = np.unique(givers[at] * self._servers + takers)

    def restoring(self) -> list[tuple[int, int]]:
        """Return the pairs (giver, taker) of which a hand-over would take a move back."""
        givers, takers = np.divmod(self._restoring, self._servers)
        return list(zip(givers.tolist(), takers.tolist(), strict=True))

    def cancel_cycle(self, giver: int, taker: int) -> bool:
        """Let the giver leave slots to the taker, and be given as many by way of others; return whether it could."""
        path = self._path(taker, giver)
        if len(path) < 2:
            return False
        steps = [HandOver(giver, taker, restoring=True)]
        steps += [HandOver(here, there) for here, there in itertools.pairwise(path)]
        within = [self._rows_of(step) for step in steps]
        return hand_over(self._draft, steps, most=len(self._draft.slots), within=within) > 0

    def _rows_of(self, step: HandOver) -> Indices:
        pair = step.giver * self._servers + step.taker
        start, stop = np.searchsorted(self._pairs, [pair, pair + 1])
        return self._rows[start:stop]

    def _path(self, start: int, end: int) -> list[int]:
        """Return the servers on a shortest way from one to another, both included; nothing when there is none."""
        reached_by: Indices = np.full(self._servers, _UNSEEN)
        reached_by[start] = start
        level = np.array([start])
        while level.size and reached_by[end] == _UNSEEN:
            could = self._could[level]
            new = np.flatnonzero(could.any(axis=0) & (reached_by == _UNSEEN))
            reached_by[new] = level[could[:, new].argmax(axis=0)]
            level = new
        if reached_by[end] == _UNSEEN:
            return []
        path = [end]
        while path[-1] != start:
            path.append(int(reached_by[path[-1]]))
        return path[::-1]
