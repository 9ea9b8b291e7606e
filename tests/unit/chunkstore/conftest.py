"""A fresh cluster in memory for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.cluster import Cluster, memory_cluster


@pytest_asyncio.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with memory_cluster() as made:
        yield made
