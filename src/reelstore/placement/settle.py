"""Take back moves that turned out to be needless: the steps before this one never look back.

Server v entered a row that u had to leave, and u entered other rows later on. If u can leave one of those to v, alone
or by way of others that are moving too, u may stay where it was: one move less, and every load the same. It is
Klein's cancelling of negative cycles ("A primal method for minimal cost flows", 1967), restricted to cycles in
which no step costs a move.
"""

from __future__ import annotations

import numpy as np

from reelstore.placement.draft import VACANT, Draft, Indices, Mask
from reelstore.placement.handover import HandOver, admitted, hand_over, held_before

_ROUNDS_MAX = 16
_CELLS_MAX = 1 << 22  # moved shards × servers; beyond it the search takes longer than what it saves is worth
_UNSEEN = -1


def settle(draft: Draft) -> None:
    """Undo needless moves, as long as there are any that are cheap to find.

    Args:
        draft: a table in which every server holds its quota; is edited, and still is one afterwards.
    """
    held = np.bincount(draft.before[draft.before != VACANT], minlength=len(draft.quota))
    needed = int(np.maximum(draft.quota - held, 0).sum())
    for _ in range(_ROUNDS_MAX):
        moved = int(np.count_nonzero(draft.moving()))
        if moved <= needed or moved * len(draft.quota) > _CELLS_MAX or not _cancel_cycles(draft):
            return


def _cancel_cycles(draft: Draft) -> bool:
    """Look for a cycle through each pair of servers where a move could be taken back; return whether any was found."""
    could_hand, could_restore = _arcs(draft)
    found = False
    for giver, taker in np.argwhere(could_restore).tolist():
        path = _shortest_path(could_hand, taker, giver)
        if path:
            # The arcs are those of the start of the round; `hand_over` checks each row as it is now.
            found |= hand_over(draft, [HandOver(giver, taker, restoring=True), *path], len(draft.slots)) > 0
    return found


def _arcs(draft: Draft) -> tuple[Mask, Mask]:
    """Return which server could leave a slot to which at no cost, and where that would take a move back.

    Returns:
        Two masks, (servers, servers), giver first.
    """
    changed = (draft.slots != draft.before).any(axis=1)
    rows, columns = np.nonzero((draft.slots != VACANT) & changed[:, None])
    givers = draft.slots[rows, columns]
    admits, returns = admitted(draft, rows, givers), held_before(draft, rows)
    moves_anyway = draft.moving()[rows, columns][:, None]
    could_hand, could_restore = np.zeros((2, len(draft.quota), len(draft.quota)), np.bool_)
    np.logical_or.at(could_hand, givers, admits & (moves_anyway | returns))
    np.logical_or.at(could_restore, givers, admits & moves_anyway & returns)
    return could_hand, could_restore


def _shortest_path(arcs: Mask, start: int, end: int) -> list[HandOver]:
    """Return hand-overs that lead from one server to another; none when there is no way."""
    reached_by: Indices = np.full(len(arcs), _UNSEEN)
    reached_by[start] = start
    level = [start]
    while level and reached_by[end] == _UNSEEN:
        following: list[int] = []
        for server in level:
            new = np.flatnonzero(arcs[server] & (reached_by == _UNSEEN))
            reached_by[new] = server
            following.extend(new.tolist())
        level = following
    path: list[HandOver] = []
    while reached_by[end] != _UNSEEN and end != start:
        path.append(HandOver(int(reached_by[end]), end))
        end = int(reached_by[end])
    return path
