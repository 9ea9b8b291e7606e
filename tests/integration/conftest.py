"""What tests with nodes on real sockets share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from reelstore.storage.node import NodeServer
from tests.contract.storage_suite import MARKER
from tests.live_node import LiveNode, LiveNodes


@pytest.fixture
def nodes() -> Iterator[LiveNodes]:
    started = LiveNodes()
    yield started
    started.close()


@pytest.fixture
def node(nodes: LiveNodes, tmp_path: Path) -> LiveNode:
    return nodes.start(tmp_path / "place")


@pytest.fixture
async def driver(node: LiveNode) -> AsyncIterator[NodeServer]:
    opened = node.driver()
    await opened.attach(MARKER, claim=True)
    yield opened
    await opened.close()
