"""Metrics are right, and all of them are documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from reelstore.domain.counter import Counter
from reelstore.domain.errors import MetadataUnavailable
from tests.unit.web.conftest import Gateway

PAGE = Path(__file__).parents[3] / "docs/metrics.md"
# Told only where there is something to tell.
SOMETIMES = {"reelstore_trend_bytes_per_day", "reelstore_days_to_full"}

Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def scraped(gateway: Gateway) -> str:
    answer = await gateway.http.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return answer.text


async def values(gateway: Gateway) -> Values:
    families = text_string_to_metric_families(await scraped(gateway))
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def value(found: Values, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


async def test_every_metric_is_documented_and_none_that_is_not_there(gateway: Gateway) -> None:
    told = set(re.findall(r"^# HELP (\S+)", await scraped(gateway), re.MULTILINE))
    documented = set(re.findall(r"`((?:reelstore|process)_[a-z_]+)`", PAGE.read_text(encoding="utf-8")))
    assert told | SOMETIMES == documented
    assert {f"reelstore_{counter}_total" for counter in Counter} <= told


async def test_the_figures_are_those_of_the_cluster(gateway: Gateway) -> None:
    await gateway.store(b"x" * 5000)
    await gateway.application.monitor.probe_all()
    found = await values(gateway)
    capacity = (await gateway.http.get("/api/v1/capacity")).json()
    assert value(found, "reelstore_health", health="ok") == 1
    assert value(found, "reelstore_health", health="critical") == 0
    assert value(found, "reelstore_video_bytes") == 5000
    assert value(found, "reelstore_usable_bytes") == capacity["usable_bytes"]
    for server in capacity["servers"]:
        labels = {"server": server["name"], "zone": server["zone"], "state": "active"}
        assert value(found, "reelstore_server_up", **labels) == 1
        assert value(found, "reelstore_server_used_bytes", **labels) == server["used_bytes"]
    states = [
        value(found, "reelstore_rebalance_state", state=state) for state in ("idle", "running", "paused", "blocked")
    ]
    assert sorted(states) == [0, 0, 0, 1]


async def test_counts_grow(gateway: Gateway) -> None:
    video = await gateway.store(b"x" * 5000)
    await gateway.http.delete(f"/api/v1/videos/{video['id']}", params={"purge": "true"})
    found = await values(gateway)
    assert value(found, "reelstore_videos_purged_total") == 1
    assert value(found, "reelstore_videos_purged_bytes_total") == 5000


async def test_requests_are_counted_by_route_and_never_by_what_was_sent(gateway: Gateway) -> None:
    for index in range(3):
        await gateway.http.get(f"/api/v1/videos/{index}")
    await gateway.http.head("/healthz")
    await gateway.http.get("/nowhere/at/all")
    await gateway.http.get("/api/v1/videos?a=%FF")
    await gateway.http.request("BREW", "/api/v1/videos")
    found = await values(gateway)
    route = "/api/v1/videos/{video_id}"
    assert value(found, "reelstore_http_requests_total", method="GET", route=route, status="404") == 3
    assert value(found, "reelstore_http_request_seconds_count", method="GET", route=route) == 3
    assert value(found, "reelstore_http_requests_total", method="HEAD", route="/healthz", status="200") == 1
    assert value(found, "reelstore_http_requests_total", method="GET", route="none", status="404") == 1
    assert value(found, "reelstore_http_requests_total", method="GET", route="none", status="400") == 1
    assert value(found, "reelstore_http_requests_total", method="other", route="/api/v1/videos", status="405") == 1


async def test_without_metadata_the_process_and_its_requests_are_told_all_the_same(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable() -> None:
        raise MetadataUnavailable("locked, says the test")

    monkeypatch.setattr(gateway.application.servers, "list", unavailable)
    found = await values(gateway)
    assert value(found, "reelstore_metadata_up") == 0
    assert value(found, "process_open_fds") > 0
    assert not [name for name, _ in found if name.startswith("reelstore_server")]
