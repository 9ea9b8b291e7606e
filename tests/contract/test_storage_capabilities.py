"""The contract of the optional capabilities: hashing, setting aside, adopting, giving up the place."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from blake3 import blake3

from reelstore.domain.chunk import ShardName
from reelstore.domain.errors import InvalidInput, ServerRefused, ServerUnavailable, ShardMissing
from reelstore.storage.interface import Adopting, Quarantining, Releasing, StorageServer, Verifying
from tests.contract.storage_suite import MARKER, Build, digest_at, listed_names, shard

MIB = 1024**2
LATER = datetime(9000, 1, 1, tzinfo=UTC)


class TestVerifying:
    async def test_the_digest_is_that_of_the_stored_bytes(self, storage_server: StorageServer) -> None:
        if not isinstance(storage_server, Verifying):
            pytest.skip("this server cannot hash")
        for size_bytes in (0, 1, 3 * MIB + 1):
            data = os.urandom(size_bytes)
            await storage_server.put(shard(), data)
            assert await storage_server.digest(shard()) == blake3(data).digest()
        await storage_server.delete(shard())
        with pytest.raises(ShardMissing):
            await storage_server.digest(shard())


class TestQuarantining:
    @pytest.fixture
    def quarantining(self, storage_server: StorageServer) -> Quarantining:
        if not isinstance(storage_server, Quarantining):
            pytest.skip("this server has no quarantine")
        return storage_server

    async def test_setting_aside_leaves_the_shard_and_takes_what_is_missing(
        self, storage_server: StorageServer, quarantining: Quarantining
    ) -> None:
        await storage_server.put(shard(), b"suspect")
        await quarantining.set_aside(shard())
        assert await storage_server.get(shard()) == b"suspect"
        await quarantining.set_aside(shard(tenure=2))
        assert await listed_names(storage_server) == {shard()}
        assert (await storage_server.usage()).used_bytes == 7
        assert [copy.name for copy in await quarantining.quarantined(9)] == [shard()]

    async def test_nothing_is_in_quarantine_at_first(self, quarantining: Quarantining) -> None:
        assert list(await quarantining.quarantined(9)) == []
        assert list(await quarantining.drop_quarantined(LATER)) == []

    async def test_a_copy_tells_its_shard_its_size_and_when_and_outlives_the_shard(
        self, storage_server: StorageServer, quarantining: Quarantining
    ) -> None:
        await storage_server.put(shard(), b"suspect")
        began = datetime.now(UTC) - timedelta(milliseconds=1)
        await quarantining.set_aside(shard())
        await storage_server.put(shard(), b"good")
        await storage_server.delete(shard())
        await storage_server.close()
        await storage_server.attach(MARKER, claim=False)
        (copy,) = await quarantining.quarantined(9)
        assert (copy.name, copy.size_bytes) == (shard(), 7)
        assert began <= copy.set_aside_at <= datetime.now(UTC)

    async def test_the_same_bytes_again_are_kept_once_and_others_of_the_name_too(
        self, storage_server: StorageServer, quarantining: Quarantining
    ) -> None:
        await storage_server.put(shard(), b"suspect")
        for _ in range(3):
            await quarantining.set_aside(shard())
        assert len(await quarantining.quarantined(9)) == 1
        await storage_server.put(shard(), b"suspect of another kind")
        await asyncio.sleep(0.001)
        await quarantining.set_aside(shard())
        assert [copy.size_bytes for copy in await quarantining.quarantined(9)] == [23, 7]

    async def test_the_newest_come_first_and_the_limit_holds(
        self, storage_server: StorageServer, quarantining: Quarantining
    ) -> None:
        names = [shard(tenure=number + 1) for number in range(5)]
        for name in names:
            await storage_server.put(name, b"suspect")
            await quarantining.set_aside(name)
            await asyncio.sleep(0.001)
        assert [copy.name for copy in await quarantining.quarantined(3)] == names[:1:-1]
        assert len({copy.id for copy in await quarantining.quarantined(9)}) == 5

    async def test_what_is_older_is_dropped_and_told_and_no_shard_goes_with_it(
        self, storage_server: StorageServer, quarantining: Quarantining
    ) -> None:
        for name in (shard(tenure=1), shard(tenure=2)):
            await storage_server.put(name, b"suspect")
            await quarantining.set_aside(name)
            await asyncio.sleep(0.001)  # so that their times differ
        newer, older = await quarantining.quarantined(9)
        assert list(await quarantining.drop_quarantined(older.set_aside_at)) == []
        assert list(await quarantining.drop_quarantined(newer.set_aside_at)) == [older]
        assert list(await quarantining.quarantined(9)) == [newer]
        assert list(await quarantining.drop_quarantined(LATER)) == [newer]
        assert list(await quarantining.quarantined(9)) == []
        assert await listed_names(storage_server) == {shard(tenure=1), shard(tenure=2)}


class TestAdopting:
    @pytest.fixture
    def adopting(self, storage_server: StorageServer) -> Adopting:
        if not isinstance(storage_server, Adopting):
            pytest.skip("this server cannot adopt")
        return storage_server

    @pytest.mark.parametrize("size_bytes", [0, 1, 3 * MIB + 1])
    async def test_the_bytes_are_under_both_names_and_the_new_one_outlives_the_old(
        self, storage_server: StorageServer, adopting: Adopting, size_bytes: int
    ) -> None:
        data = os.urandom(size_bytes)
        old, new = shard(data), shard(data, tenure=2, slot=1)
        await storage_server.put(old, data)
        assert await adopting.adopt(old, new) is True
        assert await storage_server.get(old) == await storage_server.get(new) == data
        assert await listed_names(storage_server) == {old, new}
        assert await storage_server.delete(old) is True
        await storage_server.close()
        await storage_server.attach(MARKER, claim=False)
        assert await storage_server.get(new) == data
        assert await listed_names(storage_server) == {new}
        assert (await storage_server.usage()).used_bytes == size_bytes

    async def test_both_names_count_until_one_is_deleted(
        self, storage_server: StorageServer, adopting: Adopting
    ) -> None:
        await storage_server.put(shard(), b"12345")
        await adopting.adopt(shard(), shard(tenure=2))
        assert (await storage_server.usage()).used_bytes == 10
        await storage_server.close()
        await storage_server.attach(MARKER, claim=False)
        assert (await storage_server.usage()).used_bytes == 10
        await storage_server.delete(shard(tenure=2))
        assert (await storage_server.usage()).used_bytes == 5

    async def test_what_is_missing_is_not_adopted_and_nothing_comes_of_it(
        self, storage_server: StorageServer, adopting: Adopting
    ) -> None:
        await storage_server.put(shard(tenure=2), b"12345")
        assert await adopting.adopt(shard(), shard(tenure=2)) is False
        assert await storage_server.get(shard(tenure=2)) == b"12345"
        assert await adopting.adopt(shard(), shard(tenure=3)) is False
        assert await listed_names(storage_server) == {shard(tenure=2)}

    async def test_it_takes_the_place_of_what_is_there_and_may_be_repeated(
        self, storage_server: StorageServer, adopting: Adopting
    ) -> None:
        await storage_server.put(shard(), b"good")
        await storage_server.put(shard(tenure=2), b"torn")
        for _ in range(3):
            assert await adopting.adopt(shard(), shard(tenure=2)) is True
        assert await adopting.adopt(shard(), shard()) is True
        assert await storage_server.get(shard(tenure=2)) == b"good"
        assert (await storage_server.usage()).used_bytes == 8

    async def test_a_name_is_put_anew_without_changing_the_other(
        self, storage_server: StorageServer, adopting: Adopting
    ) -> None:
        await storage_server.put(shard(), b"one")
        await adopting.adopt(shard(), shard(tenure=2))
        await storage_server.put(shard(tenure=2), b"another")
        assert await storage_server.get(shard()) == b"one"
        await storage_server.put(shard(), b"a third")
        assert await storage_server.get(shard(tenure=2)) == b"another"

    @pytest.mark.parametrize("change", [{"digest": digest_at("f")}, {"policy": "other"}, {"chunk": "../" + "0" * 29}])
    async def test_bytes_never_come_under_the_name_of_others(
        self, storage_server: StorageServer, adopting: Adopting, change: dict[str, str]
    ) -> None:
        await storage_server.put(shard(), b"x")
        other: ShardName = replace(shard(), **change)  # type: ignore[arg-type]  # each is of its field's type
        with pytest.raises(InvalidInput):
            await adopting.adopt(shard(), other)
        assert await listed_names(storage_server) == {shard()}

    async def test_a_full_server_adopts_and_takes_puts_again_once_the_old_name_is_gone(
        self, storage_build: Build, tmp_path: Path
    ) -> None:
        server = storage_build(tmp_path, 1000)
        if not isinstance(server, Adopting):
            pytest.skip("this server cannot adopt")
        await server.attach(MARKER, claim=True)
        await server.put(shard(), bytes(900))
        assert await server.adopt(shard(), shard(tenure=2)) is True
        assert (await server.usage()).free_bytes == 0
        await server.put(shard(), bytes([1]) * 900)
        await server.delete(shard())
        assert (await server.usage()).free_bytes == 100
        await server.close()

    async def test_a_cancelled_adoption_leaves_nothing_or_all(
        self, storage_server: StorageServer, adopting: Adopting
    ) -> None:
        await storage_server.put(shard(), b"12345")
        for turns in range(6):
            adoption = asyncio.ensure_future(adopting.adopt(shard(), shard(tenure=turns + 2)))
            for _ in range(turns):
                await asyncio.sleep(0)
            adoption.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await adoption
            await storage_server.close()  # waits for what is still at work
            await storage_server.attach(MARKER, claim=False)
            entry = await storage_server.stat(shard(tenure=turns + 2))
            assert entry is None or await storage_server.get(entry.name) == b"12345"


class TestReleasing:
    @pytest.fixture
    def releasing(self, storage_server: StorageServer) -> Releasing:
        if not isinstance(storage_server, Releasing):
            pytest.skip("this server cannot give up its place")
        return storage_server

    async def test_an_empty_place_can_be_claimed_by_another_server_afterwards(
        self, storage_server: StorageServer, releasing: Releasing
    ) -> None:
        await storage_server.put(shard(), b"x")
        if isinstance(storage_server, Quarantining):
            await storage_server.set_aside(shard())
        await storage_server.delete(shard())
        assert await releasing.release() is True
        with pytest.raises(ServerUnavailable):
            await storage_server.put(shard(), b"x")
        await storage_server.close()
        with pytest.raises(ServerRefused):
            await storage_server.attach(MARKER, claim=False)
        marker = replace(MARKER, cluster="another", generation="g9")
        assert await storage_server.attach(marker, claim=True) == marker
        assert await listed_names(storage_server) == set()

    async def test_a_place_with_a_shard_is_not_given_up(
        self, storage_server: StorageServer, releasing: Releasing
    ) -> None:
        await storage_server.put(shard(policy="other"), b"x")
        assert await releasing.release() is False
        assert await storage_server.check() == MARKER
        assert await storage_server.get(shard(policy="other")) == b"x"
        await storage_server.put(shard(), b"y")
        assert await storage_server.get(shard()) == b"y"

    async def test_a_put_at_the_same_time_is_kept_or_refused(
        self, storage_server: StorageServer, releasing: Releasing
    ) -> None:
        stored, released = await asyncio.gather(
            storage_server.put(shard(), b"x"), releasing.release(), return_exceptions=True
        )
        if released is True:
            assert isinstance(stored, ServerUnavailable)
        else:
            assert await storage_server.check() == MARKER
            await storage_server.put(shard(), b"x")


class TestClosed:
    @pytest.mark.parametrize("closed", [True, False], ids=["closed", "never-attached"])
    async def test_every_call_is_unavailable(self, storage_build: Build, tmp_path: Path, closed: bool) -> None:
        server = storage_build(tmp_path, None)
        if closed:
            await server.attach(MARKER, claim=True)
            await server.close()
        calls: list[Awaitable[object]] = []
        if isinstance(server, Verifying):
            calls.append(server.digest(shard()))
        if isinstance(server, Quarantining):
            calls += [server.set_aside(shard()), server.quarantined(1), server.drop_quarantined(LATER)]
        if isinstance(server, Adopting):
            calls.append(server.adopt(shard(), shard(tenure=2)))
        if isinstance(server, Releasing):
            calls.append(server.release())
        for call in calls:
            with pytest.raises(ServerUnavailable):
                await call
