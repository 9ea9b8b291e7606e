"""What tests with nodes and buckets on real sockets share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from reelstore.storage.bucket import BucketServer
from reelstore.storage.bucket.url import BucketAddress
from reelstore.storage.node import NodeServer
from tests.contract.storage_suite import MARKER
from tests.live_bucket import LiveBuckets
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


@pytest.fixture(scope="session")
def _store() -> Iterator[LiveBuckets]:
    store = LiveBuckets()
    yield store
    store.close()


@pytest.fixture
def buckets(_store: LiveBuckets) -> Iterator[LiveBuckets]:
    yield _store
    _store.fault = None


@pytest.fixture
def address(buckets: LiveBuckets) -> BucketAddress:
    return buckets.address()


@pytest.fixture
async def bucket(buckets: LiveBuckets, address: BucketAddress) -> AsyncIterator[BucketServer]:
    opened = buckets.driver(address)
    await opened.attach(MARKER, claim=True)
    yield opened
    buckets.fault = None
    await opened.close()
