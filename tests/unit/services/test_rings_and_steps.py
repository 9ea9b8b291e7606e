"""What a step of the rebalancer does when another ring begins under its hands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from reelstore.services.survey import Slice
from tests.cluster import CHUNK, content, memory_cluster


async def test_a_ring_that_begins_while_a_step_takes_its_lease_leaves_that_step_nothing_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with memory_cluster(partition_bits=2) as cluster:
        await cluster.store(content(CHUNK * 8))
        await cluster.settle()
        await cluster.add_server("first")
        leases = cluster.app.rebalancer.leases
        holding, begun = leases.holding, list[Slice]()

        @asynccontextmanager
        async def holding_late(where: Slice) -> AsyncIterator[bool]:
            begun.append(where)
            if len(begun) == 1:
                await cluster.add_server("second")
                await cluster.app.rebalancer.step()
            async with holding(where) as held:
                yield held

        monkeypatch.setattr(leases, "holding", holding_late)
        await cluster.app.rebalancer.step()
        await cluster.settle()
        assert len(begun) > 1
        await cluster.assert_whole()
