"""What the contract suites are run on: the implementations of each port, one after the other."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from reelstore.repositories.interface import Metadata
from reelstore.repositories.memory import InMemoryMetadata
from reelstore.repositories.sql import SqlMetadata
from reelstore.repositories.sql.upgrade import upgrade_sqlite
from reelstore.storage.interface import StorageServer
from tests.contract.storage_suite import BUCKETS, KINDS, MARKER, NODES, Build


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a database once, to be copied: that is faster than making its tables for each test."""
    path = tmp_path_factory.mktemp("database") / "metadata.sqlite"
    upgrade_sqlite(path)
    return path


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def metadata(request: pytest.FixtureRequest, tmp_path: Path, empty_database: Path) -> AsyncIterator[Metadata]:
    opened: Metadata
    if request.param == "memory":
        opened = InMemoryMetadata()
    elif request.param == "postgresql":
        opened = await SqlMetadata.open(request.getfixturevalue("postgres_url"))
    else:
        shutil.copy(empty_database, tmp_path / "metadata.sqlite")
        opened = await SqlMetadata.open(f"sqlite:///{tmp_path}/metadata.sqlite", reserve_bytes=0)
    yield opened
    await opened.close()


@pytest.fixture(scope="session", autouse=True)
def _places_end() -> Iterator[None]:
    yield
    NODES.close()
    BUCKETS.close()


@pytest.fixture(params=KINDS)
def storage_build(request: pytest.FixtureRequest) -> Iterator[Build]:
    """Build a storage server that is not attached, of each kind."""
    yield KINDS[request.param]
    NODES.stop()


@pytest.fixture
async def storage_server(storage_build: Build, tmp_path: Path) -> AsyncIterator[StorageServer]:
    """Attach a storage server of each kind."""
    server = storage_build(tmp_path, None)
    await server.attach(MARKER, claim=True)
    yield server
    await server.close()
