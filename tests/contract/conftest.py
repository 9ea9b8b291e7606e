"""What the contract suites are run on: the implementations of each port, one after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reelstore.repositories.interface import Metadata
from reelstore.repositories.memory import InMemoryMetadata
from reelstore.repositories.sql import SqlMetadata
from reelstore.storage.interface import StorageServer
from tests.contract.storage_suite import KINDS, MARKER, Build


@pytest.fixture(params=["memory", "sqlite"])
async def metadata(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Metadata]:
    opened: Metadata
    if request.param == "memory":
        opened = InMemoryMetadata()
    else:
        opened = await SqlMetadata.open(f"sqlite:///{tmp_path}/metadata.sqlite")
    yield opened
    await opened.close()


@pytest.fixture(params=KINDS)
def storage_build(request: pytest.FixtureRequest) -> Build:
    """Build a storage server that is not attached, of each kind."""
    return KINDS[request.param]


@pytest.fixture
async def storage_server(storage_build: Build, tmp_path: Path) -> AsyncIterator[StorageServer]:
    """Attach a storage server of each kind."""
    server = storage_build(tmp_path, None)
    await server.attach(MARKER, claim=True)
    yield server
    await server.close()
