"""The topology that a process holds is the newest that it has seen."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

from tests.cluster import Cluster


async def test_a_slow_refresh_does_not_bring_back_the_ring_before(cluster: Cluster) -> None:
    topology = cluster.app.topology
    async with cluster.metadata.snapshot() as begun_before:
        await cluster.add_server("disk4")
        newest = topology.present
        assert newest.epoch == 2
        topology._metadata = cast("Any", SimpleNamespace(snapshot=lambda: nullcontext(begun_before)))
        assert await topology.refresh() is newest
        assert topology.present is newest
