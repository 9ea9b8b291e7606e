"""The update of a table: the least change after which every server holds its quota again.

Four steps, each exact about the rules and only the last exact about the quotas: vacate what may not stay, move
directly, re-route along zones, finish by augmenting chains. A shard that stays keeps its slot, since slot *j* keeps
fragment *j*.
"""

from __future__ import annotations

import numpy as np

from reelstore.domain.errors import InvalidRing
from reelstore.placement.chain import augment
from reelstore.placement.direct import follow, move_directly
from reelstore.placement.draft import VACANT, Draft, Indices
from reelstore.placement.reroute import reroute


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
    if on_the_way is not None:
        _restore_slots(draft.slots, on_the_way)
    _restore_slots(draft.slots, draft.before)


def _vacate_crowded(draft: Draft) -> None:
    """Vacate slots past the zone cap, those of the servers with the largest surplus first."""
    zones, lack = draft.zones(), np.append(draft.missing, 0)[draft.slots]
    stays_before = np.zeros(draft.slots.shape, np.int64)
    width = draft.slots.shape[1]
    for slot in range(width):
        for other in range(width):
            if other != slot:
                ahead = (lack[:, other] > lack[:, slot]) | ((lack[:, other] == lack[:, slot]) & (other < slot))
                stays_before[:, slot] += (zones[:, other] == zones[:, slot]) & ahead
    draft.slots[(stays_before >= draft.cap) & (draft.slots != VACANT)] = VACANT
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
