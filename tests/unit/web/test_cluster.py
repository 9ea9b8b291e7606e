from __future__ import annotations

from typing import Any

import pytest

from tests.unit.web.answers import assert_problem
from tests.unit.web.conftest import Gateway

SERVERS = "/api/v1/servers"


async def test_the_first_servers_share_the_ring(gateway: Gateway) -> None:
    listing = (await gateway.http.get(SERVERS)).json()
    assert [server["name"] for server in listing["items"]] == ["disk1", "disk2", "disk3"]
    assert listing["next_cursor"] is None
    assert sum(server["share"] for server in listing["items"]) == pytest.approx(1)
    for server in listing["items"]:
        assert (await gateway.http.get(f"{SERVERS}/{server['name']}")).json() == server
        assert (server["state"], server["health"], server["health_reason"]) == ("active", "up", None)


async def test_an_added_server_joins_the_ring(gateway: Gateway) -> None:
    epoch = (await gateway.http.get("/api/v1/ring")).json()["epoch"]
    new = {"name": "disk4", "url": "memory:", "zone": "attic", "capacity_bytes": 2**32}
    answer = await gateway.http.post(SERVERS, json=new)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"{SERVERS}/disk4"
    assert answer.json() | new == answer.json()
    ring = (await gateway.http.get("/api/v1/ring")).json()
    assert ring["epoch"] == epoch + 1
    assert "disk4" in [server["name"] for server in ring["servers"]]
    assert_problem(await gateway.http.post(SERVERS, json=new), 409, "server-exists")


@pytest.mark.parametrize(
    ("new", "slug", "field"),
    [
        ({"name": "Disk", "url": "memory:"}, "invalid-input", "name"),
        ({"name": "../etc", "url": "memory:"}, "invalid-input", "name"),
        ({"name": "d", "url": "memory:", "zone": "a b"}, "invalid-input", "zone"),
        ({"name": "d", "url": "memory:", "capacity_bytes": 0}, "invalid-input", "capacity_bytes"),
        ({"name": "d", "url": "memory:", "capacity_bytes": 2**70}, "invalid-input", "capacity_bytes"),
        ({"name": "d", "url": "memory:", "capacity_bytes": "5"}, "invalid-input", "capacity_bytes"),
        ({"name": "d", "url": "memory:", "capacity_bytes": 1.5}, "invalid-input", "capacity_bytes"),
        ({"name": "d", "url": "memory:", "colour": "red"}, "invalid-input", "colour"),
        ({"name": "d"}, "invalid-input", "url"),
        ({"name": "d", "url": "ftp://x"}, "invalid-server-url", "url"),
        ({"name": "d", "url": "file://relative"}, "invalid-server-url", "url"),
        ({"name": "d", "url": "\x00"}, "invalid-server-url", "url"),
        ({"name": "d", "url": ""}, "invalid-server-url", "url"),
    ],
)
async def test_a_server_that_makes_no_sense_is_refused(
    gateway: Gateway, new: dict[str, Any], slug: str, field: str
) -> None:
    problem = assert_problem(await gateway.http.post(SERVERS, json=new), 400, slug)
    assert problem.get("field") in {field, None}
    assert len((await gateway.http.get(SERVERS)).json()["items"]) == 3


async def test_an_unknown_server_is_named(gateway: Gateway) -> None:
    for url in (f"{SERVERS}/disk9", f"{SERVERS}/disk9/videos"):
        assert_problem(await gateway.http.get(url), 404, "server-not-found", key="disk9")


async def test_the_ring_is_balanced_and_named_by_policy(gateway: Gateway) -> None:
    ring = (await gateway.http.get("/api/v1/ring")).json()
    assert ring == (await gateway.http.get("/api/v1/ring", params={"policy": "default"})).json()
    assert (ring["policy"], ring["kind"], ring["width"], ring["partition_bits"]) == ("default", "replicated(2)", 2, 4)
    assert sum(server["slots"] for server in ring["servers"]) == 2 * 2**4
    assert_problem(await gateway.http.get("/api/v1/ring", params={"policy": "x"}), 404, "policy-not-found", key="x")


async def test_health_counts_what_there_is(gateway: Gateway) -> None:
    await gateway.store(b"x" * 5000)
    health = (await gateway.http.get("/api/v1/health")).json()
    assert (health["health"], health["reasons"], health["servers_up"], health["servers_total"]) == ("ok", [], 3, 3)
    assert (health["totals"]["videos"], health["totals"]["video_bytes"]) == (1, 5000)
    assert health["redundancy"] == {
        "partitions_total": 16, "partitions_short": 0, "partitions_without_spare": 0, "partitions_unreadable": 0,
    }  # fmt: skip
