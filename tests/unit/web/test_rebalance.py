"""How far moving and mending are, over HTTP; pausing and limiting them, and whatever else may be sent for that."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.web.answers import assert_problem
from tests.unit.web.conftest import Gateway

REBALANCE = "/api/v1/rebalance"
MEMBERS = {
    "state", "reasons", "epoch", "partitions_total", "partitions_done", "bytes_total", "bytes_moved",
    "rate_bytes_per_second", "eta_seconds", "garbage_bytes", "paused", "bytes_per_second", "concurrency", "workers",
}  # fmt: skip


async def described(gateway: Gateway) -> dict[str, Any]:
    answer = await gateway.http.get(REBALANCE)
    assert answer.status_code == 200
    document: dict[str, Any] = answer.json()
    assert set(document) == MEMBERS
    return document


async def changed(gateway: Gateway, **given: Any) -> dict[str, Any]:
    answer = await gateway.http.patch(REBALANCE, json=given)
    assert answer.status_code == 200, answer.text
    assert answer.json() == await described(gateway)
    document: dict[str, Any] = answer.json()
    return document


async def test_a_cluster_without_a_video_is_idle_at_once(gateway: Gateway) -> None:
    status = await described(gateway)
    assert (status["state"], status["reasons"]) == ("idle", [])
    assert (status["partitions_total"], status["partitions_done"]) == (2**4, 2**4)


async def test_with_videos_idle_is_said_only_after_everything_was_listed(gateway: Gateway) -> None:
    await gateway.store()
    status = await described(gateway)
    assert (status["state"], status["partitions_done"]) == ("running", 2**4)
    assert status["reasons"] == ["everything is listed once, to know whether a chunk is lost"]
    while await gateway.application.rebalancer.step():
        pass
    status = await described(gateway)
    assert (status["state"], status["reasons"]) == ("idle", [])


async def test_a_pause_is_told_with_its_time_and_ends_when_it_is_taken_back(gateway: Gateway) -> None:
    status = await changed(gateway, paused=True)
    assert (status["state"], status["paused"], status["eta_seconds"]) == ("paused", True, None)
    assert status["reasons"][0].startswith("paused since 20")
    assert await changed(gateway, paused=True) == status  # and said again it is no other pause
    status = await changed(gateway, paused=False)
    assert (status["state"], status["paused"], status["reasons"]) == ("idle", False, [])


async def test_limits_stay_until_they_are_taken_away_and_what_is_not_given_stays(gateway: Gateway) -> None:
    status = await changed(gateway, bytes_per_second=64 * 1024, concurrency=64)
    assert (status["bytes_per_second"], status["concurrency"], status["state"]) == (64 * 1024, 64, "idle")
    status = await changed(gateway, concurrency=1)
    assert (status["bytes_per_second"], status["concurrency"]) == (64 * 1024, 1)
    status = await changed(gateway, bytes_per_second=None)
    assert (status["bytes_per_second"], status["concurrency"]) == (None, 1)
    assert await changed(gateway) == status


@pytest.mark.parametrize(
    "given",
    [
        {"concurrency": 0},
        {"concurrency": 65},
        {"concurrency": "4"},
        {"concurrency": True},
        {"bytes_per_second": 64 * 1024 - 1},
        {"bytes_per_second": 2**40 + 1},
        {"bytes_per_second": 1e6},
        {"paused": None},
        {"paused": "yes"},
        {"state": "paused"},
        [],
        None,
    ],
)
async def test_what_is_no_change_is_refused_and_changes_nothing(gateway: Gateway, given: Any) -> None:
    before = await described(gateway)
    assert_problem(await gateway.http.patch(REBALANCE, json=given), 400, "invalid-input")
    assert await described(gateway) == before


async def test_nothing_of_a_change_holds_when_a_part_of_it_is_wrong(gateway: Gateway) -> None:
    answer = await gateway.http.patch(REBALANCE, json={"paused": True, "bytes_per_second": 10**6, "concurrency": 0})
    assert_problem(answer, 400, "invalid-input")
    status = await described(gateway)
    assert (status["paused"], status["bytes_per_second"]) == (False, None)


async def test_a_body_that_is_no_json_is_refused(gateway: Gateway) -> None:
    headers = {"content-type": "application/json"}
    assert_problem(await gateway.http.patch(REBALANCE, content=b"{", headers=headers), 400, "invalid-input")
    assert_problem(
        await gateway.http.patch(REBALANCE, content=b"paused=true", headers={"content-type": "text/plain"}),
        415,
        "unsupported-media-type",
    )
