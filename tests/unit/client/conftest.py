from __future__ import annotations

from collections.abc import Iterator

import pytest

from reelstore.client import Client, retrying
from tests.unit.client.gateway import Gateway, running


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with running() as gateway:
        yield gateway


@pytest.fixture
def client(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr(retrying, "FIRST_WAIT_SECONDS", 0.001)
    with Client(gateway.url) as client:
        yield client
