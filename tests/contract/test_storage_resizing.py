"""What a storage server that can be resized promises."""

from __future__ import annotations

import pytest

from reelstore.domain.errors import InvalidInput, ServerFull
from reelstore.storage.interface import Resizable, StorageServer
from tests.contract.storage_suite import MARKER, digest_at, shard

FIRST, SECOND = shard(digest=digest_at("a")), shard(digest=digest_at("b"))


@pytest.fixture
def resizable(storage_server: StorageServer) -> Resizable:
    if not isinstance(storage_server, Resizable):
        pytest.skip("it cannot be resized")
    return storage_server


async def test_it_takes_no_more_than_its_new_capacity_and_keeps_what_is_there(
    storage_server: StorageServer, resizable: Resizable
) -> None:
    await storage_server.put(FIRST, bytes(1000))
    resizable.resize(500)
    usage = await storage_server.usage()
    assert (usage.capacity_bytes, usage.used_bytes, usage.free_bytes) == (500, 1000, 0)
    with pytest.raises(ServerFull):
        await storage_server.put(SECOND, b"x")
    assert await storage_server.get(FIRST) == bytes(1000)
    resizable.resize(2000)
    assert (await storage_server.usage()).free_bytes == 1000
    await storage_server.put(SECOND, bytes(1000))


async def test_a_new_capacity_outlives_a_close(storage_server: StorageServer, resizable: Resizable) -> None:
    resizable.resize(700)
    await storage_server.close()
    resizable.resize(800)
    await storage_server.attach(MARKER, claim=False)
    assert (await storage_server.usage()).capacity_bytes == 800


async def test_a_capacity_below_one_is_refused(storage_server: StorageServer, resizable: Resizable) -> None:
    for capacity_bytes in (0, -1):
        with pytest.raises(InvalidInput):
            resizable.resize(capacity_bytes)
    assert (await storage_server.usage()).capacity_bytes > 1
