"""Direct moves: slots that are vacant or held by a server above its quota go to servers below theirs, in bulk."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reelstore.placement.draft import VACANT, Draft, Indices, Mask, first_of_each, rank_in_group
from reelstore.placement.mixing import mix

_PROPOSAL_SALT = 5
_IDLE_ROUNDS_MAX = 2


def follow(draft: Draft, wanted: Indices) -> None:
    """Make the moves that another table has made already, as far as they still serve the quotas.

    While a change is being carried out, shards are on their way to the servers of the newest table: what goes there
    again need not be copied twice.

    Args:
        draft: is edited.
        wanted: the other table, in the draft's indices.
    """
    for _ in range(draft.slots.shape[1]):  # each pass takes at most one slot of a row
        rows, columns = np.nonzero(draft.giving() & (wanted != VACANT) & (wanted != draft.slots))
        if not _accept(draft, rows, columns, wanted[rows, columns], rows.astype(np.uint64)).size:
            return


def move_directly(draft: Draft) -> None:
    """Let free slots propose to servers that lack shards, until nothing more is accepted.

    First at most one slot of each partition: a chunk whose shards move one at a time keeps the rest of its
    redundancy in place.

    Args:
        draft: is edited.
    """
    touched: Mask = np.asarray(draft.moving().any(axis=1))
    for fresh_only in (True, False):
        idle = 0
        while idle < _IDLE_ROUNDS_MAX and draft.shortage:
            draft.rounds += 1
            rows, columns = np.nonzero(draft.giving())
            if fresh_only:
                fresh = ~touched[rows]
                rows, columns = rows[fresh], columns[fresh]
            lacking = np.flatnonzero(draft.missing > 0)
            upto = np.cumsum(draft.missing[lacking])
            drawn = mix(draft.salt, _PROPOSAL_SALT, draft.rounds, rows, columns)
            # A server is proposed to in proportion to what it lacks.
            ticket = (drawn % np.uint64(upto[-1])).astype(np.int64)
            servers = lacking[np.searchsorted(upto, ticket, side="right")]
            changed = _accept(draft, rows, columns, servers, drawn)
            touched[changed] = True
            idle = 0 if changed.size else idle + 1


def _accept(draft: Draft, rows: Indices, columns: Indices, servers: Indices, order: NDArray[np.uint64]) -> Indices:
    """Carry out those proposals (put this server into this slot) that fit together; return the changed rows.

    Args:
        draft: is edited.
        rows: row of each proposal.
        columns: slot of each.
        servers: server of each.
        order: who comes first where not all can; vacant slots come before all others.
    """
    leaving, row = draft.slots[rows, columns], draft.slots[rows]
    zone = draft.zone_or_none[servers]
    in_zone = (draft.zone_or_none[row] == zone[:, None]).sum(axis=1) - (draft.zone_or_none[leaving] == zone)
    taken = np.flatnonzero(~(row == servers[:, None]).any(axis=1) & (in_zone < draft.cap))
    taken = taken[np.lexsort((order[taken], leaving[taken] != VACANT))]
    taken = taken[first_of_each(rows[taken])]
    surplus = np.append(-draft.missing, draft.slots.size)
    taken = taken[rank_in_group(leaving[taken]) < surplus[leaving[taken]]]
    taken = taken[rank_in_group(servers[taken]) < draft.missing[servers[taken]]]
    draft.place(rows[taken], columns[taken], servers[taken])
    return rows[taken]
