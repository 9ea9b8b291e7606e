"""Buckets of a real store: whose a prefix is, which stores are refused, and how full one is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from reelstore.domain.errors import InvalidInput, ServerRefused, ServerUnauthorized, ServerUnavailable, ShardCorrupt
from reelstore.storage.bucket import BucketServer
from reelstore.storage.bucket.layout import MARKER as MARKER_KEY
from reelstore.storage.bucket.layout import shard_key
from reelstore.storage.bucket.url import BucketAddress
from tests.contract.storage_suite import MARKER, digest_at, listed_names, shard
from tests.live_bucket import Application, LiveBuckets, refusing, saying

MIB = 1024**2


def keys(buckets: LiveBuckets, address: BucketAddress) -> set[str]:
    """Return what is below a prefix, past the driver."""
    found = buckets.backend.buckets[address.bucket].keys
    return {key.removeprefix(f"{address.prefix}/") for key in found if key.startswith(f"{address.prefix}/")}


def store_past_the_driver(buckets: LiveBuckets, address: BucketAddress, key: str, data: bytes = b"x") -> None:
    buckets.backend.put_object(address.bucket, f"{address.prefix}/{key}", data)


class TestClaim:
    async def test_of_many_that_claim_at_once_one_gets_the_place(
        self, buckets: LiveBuckets, address: BucketAddress
    ) -> None:
        drivers = [buckets.driver(address) for _ in range(6)]
        markers = [replace(MARKER, cluster=f"cluster{number}") for number in range(6)]
        results = await asyncio.gather(
            *(driver.attach(marker, claim=True) for driver, marker in zip(drivers, markers, strict=True)),
            return_exceptions=True,
        )
        (winner,) = (result for result in results if not isinstance(result, BaseException))
        refusals = [result for result in results if isinstance(result, BaseException)]
        assert all(isinstance(refusal, ServerRefused) for refusal in refusals)
        assert winner in markers
        assert keys(buckets, address) == {MARKER_KEY}
        for driver in drivers:
            await driver.close()

    @pytest.mark.parametrize("header", ["HTTP_IF_NONE_MATCH", "HTTP_IF_MATCH"])
    async def test_a_store_that_ignores_conditions_is_refused_and_nothing_stays_there(
        self, buckets: LiveBuckets, address: BucketAddress, header: str
    ) -> None:
        def ignoring(store: Application, environment: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            environment.pop(header, None)
            return store(environment, start_response)

        buckets.fault = ignoring
        with pytest.raises(ServerRefused, match="conditions"):
            await buckets.driver(address).attach(MARKER, claim=True)
        assert keys(buckets, address) == set()

    async def test_a_prefix_that_holds_something_else_is_refused(
        self, buckets: LiveBuckets, address: BucketAddress
    ) -> None:
        store_past_the_driver(buckets, address, "holiday.mp4")
        with pytest.raises(ServerRefused, match=r"holiday\.mp4.*give a prefix"):
            await buckets.driver(address).attach(MARKER, claim=True)
        assert keys(buckets, address) == {"holiday.mp4"}

    async def test_what_a_claim_that_crashed_left_is_no_obstacle(
        self, buckets: LiveBuckets, address: BucketAddress
    ) -> None:
        store_past_the_driver(buckets, address, "trial/0123")
        driver = buckets.driver(address)
        assert await driver.attach(MARKER, claim=True) == MARKER
        await driver.close()

    async def test_a_whole_bucket_can_be_a_place_and_prefixes_are_apart(
        self, buckets: LiveBuckets, address: BucketAddress
    ) -> None:
        places = [replace(address, prefix=prefix) for prefix in ("a", "ab", "a/b")]
        drivers = [buckets.driver(place) for place in places]
        for number, driver in enumerate(drivers):
            await driver.attach(replace(MARKER, server="a", cluster=f"c{number}"), claim=True)
        await drivers[0].put(shard(b"x"), b"x")
        assert [len(await listed_names(driver)) for driver in drivers] == [1, 0, 0]
        whole = buckets.driver(replace(address, bucket=buckets.make(), prefix=""))
        assert await whole.attach(MARKER, claim=True) == MARKER
        await whole.put(shard(b"x"), b"x")
        assert await listed_names(whole) == {shard(b"x")}
        for driver in (*drivers, whole):
            await driver.close()

    @pytest.mark.parametrize("status", ["Enabled", "locked"])
    async def test_a_bucket_that_keeps_versions_is_refused(self, buckets: LiveBuckets, status: str) -> None:
        address = buckets.address()
        buckets.backend.put_bucket_versioning(address.bucket, "Enabled")
        buckets.backend.buckets[address.bucket].object_lock_enabled = status == "locked"
        with pytest.raises(ServerRefused, match="keeps versions"):
            await buckets.driver(address).attach(MARKER, claim=True)

    async def test_versioning_that_is_switched_on_later_stops_puts_and_off_again_lets_them_go_on(
        self, buckets: LiveBuckets, address: BucketAddress, bucket: BucketServer
    ) -> None:
        await bucket.put(shard(b"x"), b"x")
        buckets.backend.put_bucket_versioning(address.bucket, "Enabled")
        with pytest.raises(ServerRefused, match="keeps versions"):
            await bucket.put(shard(b"y"), b"y")
        assert await bucket.get(shard(b"x")) == b"x"
        buckets.backend.put_bucket_versioning(address.bucket, "Suspended")
        await bucket.put(shard(b"z"), b"z")


class TestMarker:
    async def test_of_gateways_that_raise_the_rounds_at_once_none_is_forgotten(
        self, buckets: LiveBuckets, address: BucketAddress, bucket: BucketServer
    ) -> None:
        others = [buckets.driver(address) for _ in range(3)]
        for other in others:
            await other.attach(MARKER, claim=False)
        await asyncio.gather(
            *(other.record_delete_rounds(rounds) for other, rounds in zip(others, (3, 9, 5), strict=True))
        )
        assert (await bucket.check()).delete_rounds == 9
        for other in others:
            await other.close()

    @pytest.mark.parametrize("text", [b"", b"{}", b"\xff", b"x" * 70_000])
    async def test_a_marker_that_cannot_be_read_is_refused(
        self, buckets: LiveBuckets, address: BucketAddress, bucket: BucketServer, text: bytes
    ) -> None:
        store_past_the_driver(buckets, address, MARKER_KEY, text)
        with pytest.raises(ServerRefused):
            await bucket.check()
        with pytest.raises(ServerRefused):
            await buckets.driver(address).attach(MARKER, claim=True)

    async def test_a_bucket_that_was_emptied_or_is_gone_is_never_taken_for_one_without_shards(
        self, buckets: LiveBuckets, address: BucketAddress, bucket: BucketServer
    ) -> None:
        await bucket.put(shard(b"x"), b"x")
        buckets.backend.buckets[address.bucket].keys.clear()
        buckets.backend.delete_bucket(address.bucket)
        for words in ("there is no such bucket", "has no marker"):
            for call in (
                lambda: bucket.get(shard(b"x")),
                lambda: bucket.get(shard(b"x"), 3, 3),
                lambda: bucket.stat(shard(b"x")),
                lambda: bucket.delete(shard(b"x")),
                lambda: bucket.find("default", shard(b"x").digest),
                lambda: bucket.adopt(shard(b"x"), shard(b"x", tenure=2)),
                bucket.check,
            ):
                with pytest.raises(ServerRefused, match=words):
                    await call()
            buckets.make(address.bucket)  # the same name, and nothing in it


class TestShards:
    async def test_what_lies_among_the_shards_and_is_none_is_passed_over(
        self, buckets: LiveBuckets, address: BucketAddress, bucket: BucketServer
    ) -> None:
        good = shard(digest=digest_at("123"))
        await bucket.put(good, b"x")
        key = shard_key(good)
        for stray in (
            "shards/default/stray",
            "shards/default/123/stray",
            "shards/default/123/deeper/" + good.leaf,
            "shards/default/124/" + good.leaf,
            "shards/DEFAULT/123/" + good.leaf,
            key + ".bak",
            "shards/" + good.leaf,
        ):
            store_past_the_driver(buckets, address, stray)
        assert await listed_names(bucket) == {good}
        assert (await bucket.usage()).used_bytes == 1

    async def test_a_key_that_is_larger_than_a_shard_is_corrupt_and_not_fetched(
        self, buckets: LiveBuckets, address: BucketAddress, bucket: BucketServer
    ) -> None:
        store_past_the_driver(buckets, address, shard_key(shard()), bytes(64 * MIB + 1))
        with pytest.raises(ShardCorrupt):
            await bucket.get(shard())
        assert await bucket.get(shard(), 0, 3) == bytes(3)

    async def test_a_signed_url_gives_the_bytes_to_whoever_has_it(self, bucket: BucketServer) -> None:
        await bucket.put(shard(b"abc"), b"abc")
        url = await bucket.presign(shard(b"abc"), 60)
        assert "a secret of the tests" not in url
        async with httpx.AsyncClient() as client:
            assert (await client.get(url)).content == b"abc"
        for seconds in (0, 7 * 86_400 + 1):
            with pytest.raises(InvalidInput):
                await bucket.presign(shard(b"abc"), seconds)


class TestUsedBytes:
    async def test_what_another_gateway_did_is_counted_by_the_next_listing(
        self, buckets: LiveBuckets, address: BucketAddress, bucket: BucketServer
    ) -> None:
        other = buckets.driver(address)
        await other.attach(MARKER, claim=False)
        await bucket.put(shard(b"x"), bytes(10))
        await bucket.put(shard(b"y"), bytes(5))
        await listed_names(other)
        assert (await other.usage()).used_bytes == 15
        await bucket.delete(shard(b"x"))
        await listed_names(other)
        assert (await other.usage()).used_bytes == 5
        await other.close()

    async def test_a_part_of_a_folder_is_no_count_of_it(self, bucket: BucketServer) -> None:
        names = [shard(digest=digest_at(prefix)) for prefix in ("1230", "1238", "124", "130")]
        for name in names:
            await bucket.put(name, bytes(10))
        for start, stop in (("1238", None), ("1230", "1238"), ("124", "1240000001")):
            bounds = bytes.fromhex(start.ljust(4, "0")), None if stop is None else bytes.fromhex(stop)
            async for _ in bucket.list("default", *bounds):
                pass
            assert (await bucket.usage()).used_bytes == 40


class TestCredentials:
    async def test_without_credentials_the_variables_to_set_are_named(
        self, buckets: LiveBuckets, address: BucketAddress
    ) -> None:
        for variables, words in (
            ({}, "REELSTORE_SERVER_A_ACCESS_KEY_ID.*AWS_ACCESS_KEY_ID"),
            ({"REELSTORE_SERVER_A_ACCESS_KEY_ID": "test"}, "only one of"),
        ):
            with pytest.raises(ServerUnauthorized, match=words):
                await buckets.driver(address, variables=variables).attach(MARKER, claim=True)

    async def test_no_secret_is_logged_or_told(
        self, buckets: LiveBuckets, address: BucketAddress, caplog: pytest.LogCaptureFixture
    ) -> None:
        secret = "wJalrXUtnFEMI"
        variables = {"REELSTORE_SERVER_A_ACCESS_KEY_ID": "test", "REELSTORE_SERVER_A_SECRET_ACCESS_KEY": secret}
        driver = buckets.driver(address, variables=variables)
        with caplog.at_level(logging.DEBUG):
            await driver.attach(MARKER, claim=True)
            await driver.put(shard(b"x"), b"x")
            buckets.fault = refusing("403 Forbidden", saying("SignatureDoesNotMatch"))
            with pytest.raises(ServerUnavailable) as error:
                await driver.put(shard(b"y"), b"y")
            await driver.close()
        shown = f"{error.value!r} {driver!r} {vars(driver)} {vars(driver._connection)} {caplog.text}"
        assert secret not in shown
