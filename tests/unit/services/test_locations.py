"""Which server keeps what: computed for all partitions at once, the same as row by row."""

from __future__ import annotations

import pytest

from reelstore.services.locations import holds
from tests.cluster import CHUNK, POLICY, Cluster, content


async def test_a_server_holds_what_the_newest_or_the_synced_row_names(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reelstore.services.rebalancer.SLICE_PARTITIONS_MAX", 5)
    await cluster.store(content(30 * CHUNK))
    await cluster.settle()
    await cluster.add_server("disk4")
    await cluster.app.rebalancer.step()  # some are synced to the newest ring, and others are not yet
    topology = cluster.app.topology.present
    assert set(topology.synced[POLICY].tolist()) == {1, 2}
    for number in range(4):
        rows = [topology.ring(POLICY).row(index) + topology.synced_row(POLICY, index) for index in range(16)]
        assert holds(topology, POLICY, number).tolist() == [any(seat.server == number for seat in row) for row in rows]
