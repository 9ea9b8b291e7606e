"""A lost server is healed by nearly all the others, not by a few neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from reelstore.placement.builder import next_ring
from reelstore.placement.ring import Member, Ring
from tests.unit.placement.clusters import Tenures, cluster, ring_of


def partners(ring: Ring, number: int) -> dict[int, int]:
    """Count the partitions that each other server outside its zone shares with a server."""
    rows = ring.slots[(ring.slots == number).any(axis=1)]
    zone_of = {member.number: member.zone for member in ring.members}
    return {
        other: int(np.count_nonzero(rows == other))
        for other in zone_of
        if other != number and zone_of[other] != zone_of[number]
    }


@pytest.mark.parametrize(("servers", "zones", "bits"), [(20, 20, 12), (24, 4, 12), (60, 5, 12), (100, 100, 14)])
def test_a_lost_server_is_recovered_from_nearly_all_others(servers: int, zones: int, bits: int) -> None:
    members = cluster(servers, zones)
    first = ring_of(members, bits=bits, width=3)
    grown = next_ring(first, None, [*members, Member(900, "zone-0", 10), Member(901, "zone-1", 10)], draw=Tenures())
    for ring, number in ((first, 0), (first, servers - 1), (grown, 1), (grown, 900)):
        shared = partners(ring, number)
        assert sum(count > 0 for count in shared.values()) >= 0.9 * len(shared)
        assert max(shared.values()) <= 3 * sum(shared.values()) / len(shared)
