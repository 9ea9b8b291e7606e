"""Plans over HTTP: made, listed, applied, reverted, refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.web.answers import assert_problem
from tests.unit.web.conftest import Gateway, gateway_in_memory

PLANS = "/api/v1/ring/plans"
REVERT = "/api/v1/ring/revert"
SERVERS = "/api/v1/servers"
ADD = {"action": "add", "name": "disk4", "url": "memory:", "zone": "attic"}


async def planned(gateway: Gateway, *changes: dict[str, Any]) -> dict[str, Any]:
    answer = await gateway.http.post(PLANS, json={"changes": changes})
    assert answer.status_code == 201, answer.text
    plan: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"{PLANS}/{plan['id']}"
    return plan


async def test_a_plan_has_the_promised_shape_and_is_found_again(gateway: Gateway) -> None:
    await gateway.store(b"x" * 100_000)
    plan = await planned(gateway, ADD, {"action": "drain", "name": "disk1"})
    assert (plan["base_epoch"], plan["applied_epoch"], plan["reason"]) == (
        1, None, "add server disk4, drain server disk1",
    )  # fmt: skip
    assert plan["bytes_total"] == sum(move["bytes"] for move in plan["moves"]) > 0
    assert all(set(move) == {"from", "to", "bytes"} for move in plan["moves"])
    new = next(server for server in plan["servers"] if server["name"] == "disk4")
    assert (new["used_bytes_before"], new["state_after"], new["zone"]) == (0, "active", "attic")
    assert new["used_bytes_peak"] == new["used_bytes_after"] > 0
    assert {zone["name"] for zone in plan["zones"]} == {"attic", "memory"}
    assert plan["changes"][0] == ADD | {"capacity_bytes": 4 * 2**30}
    assert plan["duration_basis"] == "assumed"
    assert {"kind", "message", "servers", "needs_acceptance"} == set(plan["warnings"][0])
    assert (await gateway.http.get(f"{PLANS}/{plan['id']}")).json() == plan
    listing = (await gateway.http.get(PLANS, params={"limit": 1})).json()
    assert listing == {"items": [plan], "next_cursor": None}


@pytest.mark.parametrize("body", [None, {}, {"accept_warnings": False}])
async def test_a_plan_is_applied_once(gateway: Gateway, body: dict[str, Any] | None) -> None:
    plan = await planned(gateway, ADD)
    path = f"{PLANS}/{plan['id']}/apply"
    more: dict[str, Any] = {} if body is None else {"json": body}
    applied = await gateway.http.post(path, **more)
    assert applied.status_code == 200, applied.text
    assert applied.json() == plan | {"applied_epoch": 2}
    assert (await gateway.http.get("/api/v1/ring")).json()["epoch"] == 2
    assert_problem(await gateway.http.post(path, **more), 409, "stale-plan")


async def test_a_plan_for_another_epoch_is_stale(gateway: Gateway) -> None:
    plan = await planned(gateway, ADD)
    await gateway.http.patch(f"{SERVERS}/disk1", json={"capacity_bytes": 2**33})
    problem = assert_problem(await gateway.http.post(f"{PLANS}/{plan['id']}/apply"), 409, "stale-plan")
    assert "plan again" in problem["detail"]
    assert len((await gateway.http.get(SERVERS)).json()["items"]) == 3


async def test_warnings_that_must_be_accepted_are_refused_with_the_plan_to_accept() -> None:
    async with gateway_in_memory(first_servers=2) as gateway:
        refused = assert_problem(
            await gateway.http.patch(f"{SERVERS}/disk1", json={"state": "draining"}), 409, "warnings-not-accepted"
        )
        assert len(refused["warnings"]) == 1
        path = f"{PLANS}/{refused['plan_id']}"
        assert (await gateway.http.get(path)).json()["applied_epoch"] is None
        assert_problem(await gateway.http.post(f"{path}/apply"), 409, "warnings-not-accepted")
        accepted = await gateway.http.post(f"{path}/apply", json={"accept_warnings": True})
        assert accepted.json()["applied_epoch"] == 2
        back = await gateway.http.patch(f"{SERVERS}/disk1", json={"state": "active"})
        assert back.json()["state"] == "active"
        again = await gateway.http.patch(
            f"{SERVERS}/disk1", json={"state": "draining"}, params={"accept_warnings": "true"}
        )
        assert (again.status_code, again.json()["state"]) == (200, "draining")
        assert again.json()["warnings"][0]["needs_acceptance"]


async def test_revert_goes_back_at_once_or_only_plans_it(gateway: Gateway) -> None:
    await gateway.http.post(SERVERS, json={"name": "disk4", "url": "memory:"})
    staged = await gateway.http.post(REVERT, json={"stage": True})
    assert (staged.status_code, staged.json()["applied_epoch"]) == (201, None)
    assert staged.headers["location"] == f"{PLANS}/{staged.json()['id']}"
    assert (await gateway.http.get(f"{SERVERS}/disk4")).json()["state"] == "active"
    reverted = await gateway.http.post(REVERT)
    assert (reverted.status_code, reverted.json()["applied_epoch"], reverted.json()["bytes_total"]) == (200, 3, 0)
    assert "location" not in reverted.headers
    assert (await gateway.http.get(f"{SERVERS}/disk4")).json()["state"] == "draining"
    assert_problem(await gateway.http.post(REVERT, json={"epoch": 1}), 409, "conflict")
    assert_problem(await gateway.http.post(REVERT, json={"epoch": 9}), 400, "invalid-input", field="epoch")


async def test_a_server_is_changed_and_answers_as_it_is_now(gateway: Gateway) -> None:
    answer = await gateway.http.patch(
        f"{SERVERS}/disk1", json={"capacity_bytes": 2**33, "zone": "attic", "state": "active"}
    )
    server = answer.json()
    assert (answer.status_code, server["epoch"]) == (200, 2)
    assert (server["capacity_bytes"], server["zone"], server["state"]) == (2**33, "attic", "active")
    assert (await gateway.http.get(f"{PLANS}/{server['plan_id']}")).json()["reason"] == "change server disk1"
    both = await gateway.http.patch(f"{SERVERS}/disk2", json={"capacity_bytes": 2**33, "state": "draining"})
    assert (both.json()["capacity_bytes"], both.json()["state"], both.json()["share"]) == (2**33, "draining", 0)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", SERVERS, {"name": "disk4", "url": "memory:"}),
        ("PATCH", f"{SERVERS}/disk1", {"state": "draining"}),
    ],
)
async def test_a_staged_change_is_only_planned(gateway: Gateway, method: str, path: str, body: dict[str, Any]) -> None:
    answer = await gateway.http.request(method, path, json=body, params={"stage": "true"})
    assert (answer.status_code, answer.json()["applied_epoch"]) == (201, None)
    assert answer.headers["location"] == f"{PLANS}/{answer.json()['id']}"
    assert (await gateway.http.get("/api/v1/ring")).json()["epoch"] == 1
    assert [server["state"] for server in (await gateway.http.get(SERVERS)).json()["items"]] == ["active"] * 3
    assert (await gateway.http.post(f"{answer.headers['location']}/apply")).json()["applied_epoch"] == 2


@pytest.mark.parametrize(
    ("body", "slug", "status"),
    [
        ({"changes": []}, "invalid-input", 400),
        ({}, "invalid-input", 400),
        ({"changes": [{"action": "explode", "name": "disk1"}]}, "invalid-input", 400),
        ({"changes": [{"action": "drain"}]}, "invalid-input", 400),
        ({"changes": [{"action": "drain", "name": "disk1", "colour": "red"}]}, "invalid-input", 400),
        ({"changes": [{"action": "update", "name": "disk1", "capacity_bytes": 1.5}]}, "invalid-input", 400),
        ({"changes": [{"action": "update", "name": "disk1", "capacity_bytes": "5"}]}, "invalid-input", 400),
        ({"changes": [{"action": "update", "name": "disk1", "capacity_bytes": 10**40}]}, "invalid-input", 400),
        ({"changes": [{"action": "add", "name": "disk4", "url": "ftp://x"}]}, "invalid-server-url", 400),
        ({"changes": [{"action": "drain", "name": "🎬"}]}, "server-not-found", 404),
        ({"changes": [{"action": "drain", "name": "x" * 10_000}]}, "server-not-found", 404),
        ({"changes": [{"action": "activate", "name": "disk1"}]}, "conflict", 409),
        ({"changes": [{"action": "add", "name": "disk1", "url": "memory:"}]}, "server-exists", 409),
    ],
)
async def test_a_plan_that_makes_no_sense_is_refused(
    gateway: Gateway, body: dict[str, Any], slug: str, status: int
) -> None:
    assert_problem(await gateway.http.post(PLANS, json=body), status, slug)
    assert (await gateway.http.get(PLANS)).json()["items"] == []


@pytest.mark.parametrize(
    ("body", "slug", "status"),
    [
        ({}, "invalid-input", 400),
        ({"name": "disk9"}, "invalid-input", 400),
        ({"state": "removed"}, "invalid-input", 400),
        ({"state": "active"}, "conflict", 409),
        ({"zone": "memory"}, "conflict", 409),
        ({"zone": ""}, "invalid-input", 400),
        ({"capacity_bytes": -1}, "invalid-input", 400),
    ],
)
async def test_a_change_of_a_server_that_makes_no_sense_is_refused(
    gateway: Gateway, body: dict[str, Any], slug: str, status: int
) -> None:
    assert_problem(await gateway.http.patch(f"{SERVERS}/disk1", json=body), status, slug)


async def test_what_is_not_there_is_named(gateway: Gateway) -> None:
    for answer in (
        await gateway.http.get(f"{PLANS}/nonsense"),
        await gateway.http.post(f"{PLANS}/nonsense/apply"),
        await gateway.http.get(f"{PLANS}/%00"),
    ):
        assert_problem(answer, 404, "plan-not-found")
    assert_problem(await gateway.http.patch(f"{SERVERS}/disk9", json={"state": "active"}), 404, "server-not-found")
