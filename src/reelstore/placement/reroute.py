"""Re-routing: deficits that no direct move can fill are pulled, in bulk, along a path of zones towards the supply.

When the rows that have slots to give are full in the zones that lack shards, a shard of a third zone is handed over
to the zone that lacks, and its own zone is filled from the supply. Zones are few, so this finds at once for hundreds
of shards what `chain` would find one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelstore.placement.draft import Draft, Indices, Mask, first_of_each
from reelstore.placement.mixing import mix

_PULL_SALT = 6
_UNREACHED = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class _Hop:
    """Hand shards in zone `giver` over to zone `taker`; `cost` is 0 for shards that move anyway, 1 for kept ones."""

    giver: int
    taker: int
    cost: int


def reroute(draft: Draft) -> bool:
    """Pull as much as fits along the cheapest path of zones; return whether anything moved.

    Servers on the way are left below their quota by what they handed over: direct moves fill them afterwards.
    """
    giving, moving = draft.giving(), draft.moving()
    full = _full_zones(draft)
    flows = [_flow(draft, selected, full) for selected in (moving & ~giving, ~moving & ~giving)]
    supply = _supply(draft, giving, full)
    lacking = np.zeros(draft.zone_count, np.int64)
    np.add.at(lacking, draft.zone_of, np.maximum(draft.missing, 0))
    path = _cheapest_path(flows, supply, lacking)
    if not path:
        return False
    capacity = [int(flows[hop.cost][hop.giver, hop.taker]) for hop in path]
    amount = min(int(lacking[path[0].taker]), int(supply[path[-1].giver]), *capacity)
    moved = 0
    for step, hop in enumerate(path):
        amount = _pull(draft, moving, hop, amount, step)
        moved += amount
        if not amount:
            break
    return moved > 0


def _full_zones(draft: Draft) -> Indices:
    """Return the zones that have `cap` shards in each row already, (partitions, some), padded with −1."""
    ordered = np.sort(draft.zones(), axis=1)
    reach = draft.cap - 1
    return np.where(ordered[:, reach:] == ordered[:, : ordered.shape[1] - reach], ordered[:, reach:], -1)


def _flow(draft: Draft, selected: Mask, full: Indices) -> Indices:
    """Count, for zones a and b, the rows that have a selected shard in a, and room in b, (zones, zones)."""
    zones = draft.zone_count
    present = np.sort(np.where(selected, draft.zones(), -1), axis=1)
    present[:, 1:][present[:, 1:] == present[:, :-1]] = -1
    blocked = np.zeros(zones * zones, np.int64)
    for here in present.T:
        for there in full.T:
            both = (here >= 0) & (there >= 0)
            blocked += np.bincount(here[both] * zones + there[both], minlength=zones * zones)
    rows = np.bincount(present[present >= 0], minlength=zones)
    return rows[:, None] - blocked.reshape(zones, zones)


def _supply(draft: Draft, giving: Mask, full: Indices) -> Indices:
    """Count what each zone can be filled with: rows with a slot to give and room in it, and its own surplus."""
    gives = giving.any(axis=1)
    blocked = full[gives]
    supply = np.count_nonzero(gives) - np.bincount(blocked[blocked >= 0], minlength=draft.zone_count)
    np.add.at(supply, draft.zone_of, np.maximum(-draft.missing, 0))
    return supply


def _cheapest_path(flows: list[Indices], supply: Indices, lacking: Indices) -> list[_Hop]:
    """Return the hops from the lacking zone that is cheapest to reach, back to a zone with supply; or none."""
    distance = np.where(supply > 0, 0, _UNREACHED)
    reached_by: dict[int, _Hop] = {}
    queue = np.flatnonzero(supply > 0).tolist()
    while queue:
        giver = min(queue, key=lambda zone: int(distance[zone]))
        queue.remove(giver)
        for cost in (0, 1):
            closer = (flows[cost][giver] > 0) & (distance > distance[giver] + cost)
            for taker in np.flatnonzero(closer).tolist():
                distance[taker] = distance[giver] + cost
                reached_by[taker] = _Hop(giver, taker, cost)
                if taker not in queue:
                    queue.append(taker)
    ends = [zone for zone in np.flatnonzero(lacking > 0).tolist() if zone in reached_by]
    path: list[_Hop] = []
    if ends:
        zone = min(ends, key=lambda end: int(distance[end]))
        while zone in reached_by:
            path.append(reached_by[zone])
            zone = reached_by[zone].giver
    return path


def _pull(draft: Draft, moving: Mask, hop: _Hop, amount: int, step: int) -> int:
    """Hand up to `amount` shards along one hop to servers that lack some; return how many it were."""
    zones = draft.zones()
    has_room = (zones == hop.taker).sum(axis=1) < draft.cap
    candidates = (zones == hop.giver) & (moving == (hop.cost == 0)) & ~draft.giving() & has_room[:, None]
    rows, columns = np.nonzero(candidates)
    order = np.argsort(mix(draft.salt, _PULL_SALT, step, rows, columns), kind="stable")
    order = order[first_of_each(rows[order])[:amount]]
    lacking = np.flatnonzero((draft.missing > 0) & (draft.zone_of == hop.taker))
    servers: NDArray[np.int64] = np.repeat(lacking, draft.missing[lacking])[: len(order)]
    rows, columns = rows[order][: len(servers)], columns[order][: len(servers)]
    new = ~(draft.slots[rows] == servers[:, None]).any(axis=1)
    draft.place(rows[new], columns[new], servers[new])
    moving[rows[new], columns[new]] = True
    return int(np.count_nonzero(new))
