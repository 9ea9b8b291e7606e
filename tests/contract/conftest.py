"""The implementations of the metadata, one after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reelstore.repositories.interface import Metadata
from reelstore.repositories.memory import InMemoryMetadata
from reelstore.repositories.sql import SqlMetadata


@pytest.fixture(params=["memory", "sqlite"])
async def metadata(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Metadata]:
    opened: Metadata
    if request.param == "memory":
        opened = InMemoryMetadata()
    else:
        opened = await SqlMetadata.open(f"sqlite:///{tmp_path}/metadata.sqlite")
    yield opened
    await opened.close()
