"""The update of a table: the least change after which every server holds its quota again.

Steps, each of which keeps every rule: vacate what may not stay; move directly; re-route along zones; finish by
augmenting chains, after which every quota is exact; take back what need not have moved. A shard that stays keeps its
slot, since slot *j* keeps fragment *j*.
"""

from __future__ import annotations

import numpy as np

from reelstore.domain.errors import InvalidRing
from reelstore.placement.chain import augment
from reelstore.placement.direct import follow, move_directly
from reelstore.placement.draft import VACANT, Draft, Indices, rank_in_group
from reelstore.placement.reroute import reroute
from reelstore.placement.settle import settle

_SURPLUS_PARTS = 8


def repair(draft: Draft, *, on_the_way: Indices | None = None) -> None:
    """Edit the draft until every server holds exactly its quota.

    Args:
        draft: is edited.
        on_the_way: a table of the same shape and indices that is being moved to at present: among equally good moves
            those that it has made are preferred.

    Raises:
        InvalidRing: the quotas cannot be met, which would be a defect of `quota`; a retry does not help.
    """
    _vacate_crowded(draft)
    if on_the_way is not None:
        follow(draft, on_the_way)
    shortage_before = None
    while draft.shortage:
        move_directly(draft)
        shortage = draft.shortage
        if not shortage:
            break
        # Re-routing may turn in a circle: it is tried again only while the shortage falls. A chain always lowers it.
        if (shortage_before is None or shortage < shortage_before) and reroute(draft):
            shortage_before = shortage
            continue
        if not augment(draft):
            raise InvalidRing(f"{shortage} shards have no place although the quotas have room for them")
        shortage_before = shortage
    settle(draft)
    _restore_slots(draft.slots, draft.before)


def _vacate_crowded(draft: Draft) -> None:
    """Vacate slots past the zone cap, those of servers above their quota as far as possible.

    Each crowded row offers the slot of its server with the largest surplus. Each server gives up a part of its
    surplus at a time, so that the offers of the next round see what is left; when none has a surplus, all give.
    """
    while True:
        zones = draft.zones()
        in_zone = (zones[:, :, None] == zones[:, None, :]).sum(axis=2)
        crowded = (in_zone > draft.cap) & (draft.slots != VACANT)
        rows = np.flatnonzero(crowded.any(axis=1))
        if not rows.size:
            return
        lack = np.where(crowded[rows], np.append(draft.missing, 0)[draft.slots[rows]], np.iinfo(np.int64).max)
        columns = lack.argmin(axis=1)
        leaving = draft.slots[rows, columns]
        given = -(draft.missing[leaving] // _SURPLUS_PARTS)
        taken = rank_in_group(leaving) < given
        if not taken.any():
            taken[:] = True
        draft.slots[rows[taken], columns[taken]] = VACANT
        draft.recount()


def _restore_slots(slots: Indices, reference: Indices) -> None:
    """Put each server that the reference names in the same row back into the slot that it has there."""
    width = slots.shape[1]
    for home in range(width):
        for slot in range(width):
            if slot != home:
                strayed = np.flatnonzero((slots[:, slot] == reference[:, home]) & (reference[:, home] != VACANT))
                slots[strayed, slot] = slots[strayed, home]
                slots[strayed, home] = reference[strayed, home]
