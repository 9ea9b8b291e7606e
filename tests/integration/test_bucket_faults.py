"""Stores that fail: what is said, what is kept, and that nothing has to be started again afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from reelstore.domain.errors import (
    ServerFull,
    ServerRefused,
    ServerUnauthorized,
    ServerUnavailable,
    ShardMissing,
    StorageError,
)
from reelstore.storage.breaker import REST_SECONDS_MIN
from reelstore.storage.bucket import BucketServer
from reelstore.storage.bucket.url import BucketAddress
from tests.contract.storage_suite import MARKER, digest_at, listed_names, shard
from tests.live_bucket import EVERY, Application, LiveBuckets, dying, lagging, refusing, saying

WRITES = frozenset({"PUT", "POST", "DELETE"})


@pytest.mark.parametrize(
    ("status", "code", "kind", "words"),
    [
        ("403 Forbidden", "InvalidAccessKeyId", ServerUnauthorized, "does not know the access key"),
        ("403 Forbidden", "SignatureDoesNotMatch", ServerUnauthorized, "secret does not belong"),
        ("403 Forbidden", "RequestTimeTooSkewed", ServerUnauthorized, "clock"),
        ("400 Bad Request", "ExpiredToken", ServerUnauthorized, "session token has expired"),
        ("403 Forbidden", "AccessDenied", ServerUnauthorized, "does not let us read the marker"),
        ("401 Unauthorized", "", ServerUnauthorized, "does not let us read the marker"),
        ("404 Not Found", "NoSuchBucket", ServerRefused, "no such bucket"),
        ("404 Not Found", "SomethingElse", ServerUnavailable, "cannot read the marker"),
        ("404 Not Found", "", ServerRefused, "no marker"),
        ("301 Moved Permanently", "PermanentRedirect", ServerRefused, "another region"),
        ("503 Slow Down", "SlowDown", ServerUnavailable, "slow down"),
        ("500 Internal Server Error", "InternalError", ServerUnavailable, "InternalError"),
        ("502 Bad Gateway", "", ServerUnavailable, "502 Bad Gateway"),
        ("418 I'm a teapot", "", ServerUnavailable, "418"),
        ("200 OK", "", ServerUnavailable, "does not answer as a store"),
    ],
)
async def test_what_a_store_says_becomes_words_and_when_it_ends_the_server_is_there_again(
    buckets: LiveBuckets, bucket: BucketServer, status: str, code: str, kind: type[StorageError], words: str
) -> None:
    buckets.fault = refusing(status, saying(code) if code else b"<html>a page of a proxy</html>")
    with pytest.raises(kind, match=words) as error:
        await bucket.check()
    assert type(error.value) is kind
    assert error.value.server == "a"
    buckets.fault = None
    assert await bucket.check() == MARKER


@pytest.mark.parametrize("status", ["403 Forbidden", "500 Internal Server Error", "404 Not Found", "200 OK"])
async def test_whatever_answers_in_the_stores_place_nothing_is_missing_and_nothing_is_acknowledged(
    buckets: LiveBuckets, address: BucketAddress, bucket: BucketServer, status: str
) -> None:
    await bucket.put(shard(b"x"), b"x")
    drivers = [buckets.driver(address) for _ in range(7)]  # each is left alone after five failures
    for driver in drivers:
        await driver.attach(MARKER, claim=False)
    buckets.fault = refusing(status, b"<html>a captive portal</html>")
    calls = (
        drivers[0].stat(shard(b"y")),
        drivers[1].find("default", shard(b"x").digest),
        drivers[2].delete(shard(b"y")),
        drivers[3].adopt(shard(b"x"), shard(b"x", tenure=2)),
        drivers[4].get(shard(b"x")),
        drivers[5].put(shard(b"z"), b"z"),
        drivers[6].record_delete_rounds(1),
    )
    for call in calls:
        with pytest.raises(ServerUnavailable):
            await call
    buckets.fault = None
    for driver in drivers:
        assert await listed_names(driver) == {shard(b"x")}
        await driver.close()


async def test_a_bucket_that_turns_read_only_is_read_and_takes_puts_again_when_it_no_longer_is(
    buckets: LiveBuckets, bucket: BucketServer
) -> None:
    await bucket.put(shard(b"x"), b"x")
    buckets.fault = refusing("403 Forbidden", saying("AccessDenied"), methods=WRITES)
    for call in (
        bucket.put(shard(b"y"), b"y"),
        bucket.delete(shard(b"x")),
        bucket.record_delete_rounds(3),
        bucket.set_aside(shard(b"x")),
        bucket.adopt(shard(b"x"), shard(b"x", tenure=2)),
    ):
        with pytest.raises(ServerUnauthorized, match="read-only"):
            await call
    assert await bucket.get(shard(b"x")) == b"x"
    assert (await bucket.check()).delete_rounds == 0
    buckets.fault = None
    await bucket.put(shard(b"y"), b"y")
    assert (await bucket.usage()).used_bytes == 2


async def test_a_store_that_asks_to_slow_down_is_asked_again_after_a_while(
    buckets: LiveBuckets, address: BucketAddress
) -> None:
    patient = buckets.driver(address, retries=2)
    await patient.attach(MARKER, claim=True)
    buckets.fault = refusing("503 Slow Down", saying("SlowDown"), times=2)
    await patient.put(shard(b"x"), b"x")
    assert await patient.get(shard(b"x")) == b"x"
    await patient.close()


async def test_a_full_store_is_a_full_server(buckets: LiveBuckets, bucket: BucketServer) -> None:
    buckets.fault = refusing("403 Forbidden", saying("QuotaExceeded"), methods=WRITES)
    with pytest.raises(ServerFull):
        await bucket.put(shard(b"x"), b"x")


async def test_an_endpoint_that_dies_in_the_middle_of_a_put_has_stored_nothing(
    buckets: LiveBuckets, bucket: BucketServer
) -> None:
    buckets.fault = dying(methods=WRITES)
    with pytest.raises(ServerUnavailable):
        await bucket.put(shard(b"x"), bytes(1_000_000))
    buckets.fault = None
    assert await bucket.stat(shard(b"x")) is None
    assert (await bucket.usage()).used_bytes == 0
    await bucket.put(shard(b"x"), b"x")


async def test_a_put_whose_answer_is_lost_can_be_repeated_and_counts_once(
    buckets: LiveBuckets, bucket: BucketServer
) -> None:
    buckets.fault = dying(methods=WRITES, carried_out=True)
    with pytest.raises(ServerUnavailable):
        await bucket.put(shard(b"x"), bytes(10))
    buckets.fault = None
    await listed_names(bucket)  # counts what nobody has acknowledged
    assert (await bucket.usage()).used_bytes == 10
    await bucket.put(shard(b"x"), bytes(10))
    assert (await bucket.usage()).used_bytes == 10


async def test_a_claim_whose_answer_is_lost_can_be_repeated(buckets: LiveBuckets, address: BucketAddress) -> None:
    driver = buckets.driver(address)
    steps = 0
    while True:
        buckets.fault = dying(carried_out=True, after=steps)
        try:
            await driver.attach(MARKER, claim=True)
            break
        except ServerUnavailable:
            steps += 1
            await driver.close()
            driver = buckets.driver(address)
    buckets.fault = None
    assert steps > 5, "it was cut off at every step"
    await driver.close()
    assert await driver.attach(MARKER, claim=False) == MARKER
    await driver.close()


async def test_a_listing_that_breaks_off_is_an_error_and_never_a_short_one(
    buckets: LiveBuckets, bucket: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
    names = {shard(digest=digest_at(f"{number:x}")) for number in range(10)}
    for name in names:
        await bucket.put(name, b"12")
    for after in range(5):  # four pages and the marker
        buckets.fault = dying(methods={"GET"}, after=after)
        seen = set()
        with pytest.raises(ServerUnavailable):  # noqa: PT012 - what comes before it breaks off counts too
            async for entry in bucket.list("default", b"", None):
                seen.add(entry.name)
        assert seen <= names
        assert (await bucket.usage()).used_bytes == 20
    buckets.fault = None
    assert await listed_names(bucket) == names


async def test_a_listing_that_lags_hides_a_shard_from_listings_alone(
    buckets: LiveBuckets, bucket: BucketServer
) -> None:
    old, new = shard(digest=digest_at("1")), shard(digest=digest_at("2"))
    await bucket.put(old, b"x")
    await bucket.put(new, b"y")

    buckets.fault = lagging(new.leaf)
    assert await listed_names(bucket) == {old}
    assert await bucket.get(new) == b"y"
    assert await bucket.stat(new) is not None
    await bucket.put(new, b"y")
    buckets.fault = None
    assert await listed_names(bucket) == {old, new}
    assert (await bucket.usage()).used_bytes == 2


async def test_a_store_that_hangs_is_given_up_and_then_left_alone_for_a_while(
    buckets: LiveBuckets, address: BucketAddress
) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hanging(store: Application, environment: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        asyncio.run_coroutine_threadsafe(ended.wait(), loop).result(timeout=30)
        return store(environment, start_response)

    driver = buckets.driver(address)
    await driver.attach(MARKER, claim=True)
    buckets.fault = hanging
    driver._connection._idle_seconds = 0.05
    for _ in range(5):
        with pytest.raises(ServerUnavailable, match="no answer in time"):
            await driver.check()
    with pytest.raises(ServerUnavailable, match="not asked for another"):
        await driver.check()
    ended.set()
    buckets.fault = None
    driver._connection._idle_seconds = 30
    await asyncio.sleep(REST_SECONDS_MIN)
    assert await driver.check() == MARKER
    await driver.close()


async def test_a_server_that_begins_while_the_store_is_away_is_there_when_it_is(
    buckets: LiveBuckets, address: BucketAddress, bucket: BucketServer
) -> None:
    await bucket.put(shard(b"x"), b"xyz")
    buckets.fault = dying(methods=EVERY)
    driver = buckets.driver(address)
    with pytest.raises(ServerUnavailable):
        await driver.attach(MARKER, claim=False)
    buckets.fault = None
    await driver.attach(MARKER, claim=False)
    assert (await driver.usage()).used_bytes == 3
    with pytest.raises(ShardMissing):
        await driver.get(shard(b"y"))
    await driver.close()
