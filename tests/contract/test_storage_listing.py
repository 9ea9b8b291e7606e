"""The contract of a storage server: listings, names, usage and the optional capabilities."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from reelstore.domain.chunk import ShardName
from reelstore.domain.errors import InvalidInput, ServerFull
from reelstore.storage.interface import StorageServer
from tests.contract.storage_suite import MARKER, Build, digest_at, listed, listed_names, shard

MIB = 1024**2


class TestListAndFind:
    async def test_a_policy_that_was_never_used_lists_nothing(self, storage_server: StorageServer) -> None:
        assert await listed_names(storage_server, "nobody") == set()
        assert list(await storage_server.find("nobody", digest_at("0"))) == []

    async def test_policies_are_apart(self, storage_server: StorageServer) -> None:
        one, other = shard(b"x"), shard(b"x", policy="other")
        await storage_server.put(one, b"x")
        await storage_server.put(other, b"x")
        assert await listed_names(storage_server) == {one}
        assert await listed_names(storage_server, "other") == {other}

    @pytest.mark.parametrize(
        ("start", "stop"),
        [
            ("", None),
            ("000", "001"),
            ("0000", "0010"),
            ("0008", "0009"),
            ("00", "10"),
            ("0010", "8000"),
            ("8000", "8000"),
            ("8001", "8000"),
            ("fff0", None),
            ("fff8", None),
            ("", ""),
            ("7fffff", "80000001"),
            ("00" * 32, "ff" * 32),
            ("ff" * 32, None),
        ],
    )
    async def test_a_listing_is_the_digests_in_the_range(
        self, storage_server: StorageServer, start: str, stop: str | None
    ) -> None:
        prefixes = (
            "0",
            "0000",
            "0007ff",
            "0008",
            "0009",
            "000f",
            "0010",
            "001",
            "7fff",
            "8",
            "80000001",
            "fff",
            "fff8",
        )
        digests = {digest_at(prefix) for prefix in prefixes} | {
            bytes.fromhex("ff" * 32),
            bytes.fromhex("80" + "ff" * 31),
        }
        names = {shard(digest=digest) for digest in digests}
        for name in names:
            await storage_server.put(name, b"x")
        first = bytes.fromhex(start if len(start) % 2 == 0 else start + "0")
        last = None if stop is None else bytes.fromhex(stop if len(stop) % 2 == 0 else stop + "0")
        expected = {name for name in names if first <= name.digest and (last is None or name.digest < last)}
        assert await listed_names(storage_server, "default", first, last) == expected

    async def test_a_listing_tells_sizes(self, storage_server: StorageServer) -> None:
        names = [shard(digest=digest_at(f"{number:03x}")) for number in range(0, 4096, 64)]
        for size, name in enumerate(names):
            await storage_server.put(name, bytes(size))
        assert {entry.name: entry.size_bytes for entry in await listed(storage_server)} == {
            name: size for size, name in enumerate(names)
        }

    async def test_a_listing_goes_on_while_shards_come_and_go(self, storage_server: StorageServer) -> None:
        staying = {shard(digest=digest_at(f"{number:04x}"), slot=1) for number in range(0, 0x10000, 0x200)}
        going = [shard(digest=digest_at(f"{number:04x}"), slot=2) for number in range(0, 0x10000, 0x800)]
        for name in (*staying, *going):
            await storage_server.put(name, b"x")
        seen = []
        async for entry in storage_server.list("default", b"", None):
            seen.append(entry.name)
            if going:
                await storage_server.delete(going.pop())
        assert staying <= set(seen)
        assert len(seen) == len(set(seen))

    async def test_a_listing_may_be_left_half_way(self, storage_server: StorageServer) -> None:
        for number in range(8):
            await storage_server.put(shard(digest=digest_at("123"), slot=number), b"x")
        listing = storage_server.list("default", b"", None)
        assert (await anext(listing)).name.slot < 8
        await listing.aclose()  # type: ignore[attr-defined]  # every driver writes it as a generator

    async def test_find_returns_all_shards_of_a_digest_and_no_other(self, storage_server: StorageServer) -> None:
        base = shard(b"x")
        wanted = {base, replace(base, slot=2), replace(base, tenure=9), replace(base, chunk="f" * 32)}
        near = {
            replace(base, digest=base.digest[:-1] + bytes([base.digest[-1] ^ 1])),
            replace(base, policy="other"),
        }
        for name in wanted | near:
            await storage_server.put(name, b"x")
        assert {entry.name for entry in await storage_server.find("default", base.digest)} == wanted


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            ShardName("../../etc", bytes(32), "0" * 32, 0, 1),
            ShardName("default", b"", "0" * 32, 0, 1),
            ShardName("default", bytes(32), "../" + "0" * 29, 0, 1),
            ShardName("default", bytes(32), "0" * 32, -1, 1),
        ],
    )
    async def test_what_is_no_shards_name_is_never_stored(self, storage_server: StorageServer, name: ShardName) -> None:
        with pytest.raises(InvalidInput):
            await storage_server.put(name, b"x")
        with pytest.raises(InvalidInput):
            await storage_server.get(name)

    @pytest.mark.parametrize("policy", ["..", "", "a/b", ".", "A", "a\0", "x" * 64])
    async def test_what_is_no_policys_name_is_never_listed(self, storage_server: StorageServer, policy: str) -> None:
        with pytest.raises(InvalidInput):
            await listed(storage_server, policy)
        with pytest.raises(InvalidInput):
            await storage_server.find(policy, bytes(32))


class TestUsage:
    async def test_used_bytes_follow_puts_overwrites_and_deletes(self, storage_server: StorageServer) -> None:
        names = [shard(tenure=number + 1) for number in range(3)]
        for name in names:
            await storage_server.put(name, bytes(1000))
        assert (await storage_server.usage()).used_bytes == 3000
        await storage_server.put(names[0], bytes(10))
        assert (await storage_server.usage()).used_bytes == 2010
        await storage_server.put(names[1], bytes(5000))
        assert (await storage_server.usage()).used_bytes == 6010
        await storage_server.delete(names[1])
        await storage_server.delete(names[1])
        assert (await storage_server.usage()).used_bytes == 1010

    async def test_a_put_past_the_capacity_is_refused_and_changes_nothing(
        self, storage_build: Build, tmp_path: Path
    ) -> None:
        server = storage_build(tmp_path, 1000)
        await server.attach(MARKER, claim=True)
        first, second = shard(tenure=1), shard(tenure=2)
        await server.put(first, bytes(600))
        with pytest.raises(ServerFull) as error:
            await server.put(second, bytes(401))
        assert not error.value.retryable
        with pytest.raises(ServerFull):
            await server.put(first, bytes(1001))
        assert await server.get(first) == bytes(600)
        assert await listed_names(server) == {first}
        await server.put(second, bytes(400))
        usage = await server.usage()
        assert (usage.capacity_bytes, usage.used_bytes, usage.free_bytes) == (1000, 1000, 0)
        await server.put(first, b"y" * 600)
        await server.delete(second)
        assert (await server.usage()).free_bytes == 400
        await server.close()

    async def test_puts_at_once_do_not_overshoot_together_and_use_what_there_is(
        self, storage_build: Build, tmp_path: Path
    ) -> None:
        server = storage_build(tmp_path, 10_000)
        await server.attach(MARKER, claim=True)
        results = await asyncio.gather(
            *(server.put(shard(tenure=number + 1), bytes(1000)) for number in range(30)), return_exceptions=True
        )
        assert sum(result is None for result in results) == 10
        assert all(result is None or isinstance(result, ServerFull) for result in results)
        assert (await server.usage()).used_bytes == 10_000
        await server.close()
