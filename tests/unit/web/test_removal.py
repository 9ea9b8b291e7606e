"""Taking servers away over HTTP: drained, checked, forced out, refused."""

from __future__ import annotations

from typing import Any

import pytest

from reelstore.domain.errors import ServerUnavailable
from tests.unit.web.answers import assert_problem
from tests.unit.web.conftest import Gateway, gateway_in_memory

SERVERS = "/api/v1/servers"


async def settle(gateway: Gateway) -> None:
    await gateway.application.monitor.probe_all()
    while await gateway.application.rebalancer.step():
        pass


def kill(gateway: Gateway, name: str) -> None:
    """Have a server answer nothing from now on."""
    (member,) = [member for member in gateway.application.fleet if member.server.name == name]

    async def silent(*_: object) -> Any:
        raise ServerUnavailable("pulled out", server=name)

    for operation in ("check", "get", "put", "find", "stat", "usage"):
        setattr(member.driver, operation, silent)
    member.failed(ServerUnavailable("pulled out", server=name))


async def test_a_removed_server_drains_and_goes_when_it_is_empty(gateway: Gateway) -> None:
    await gateway.store(b"x" * 100_000)
    answer = await gateway.http.delete(f"{SERVERS}/disk3")
    assert answer.status_code == 202, answer.text
    server = answer.json()
    assert (server["name"], server["state"], server["remove_when_empty"]) == ("disk3", "draining", True)
    assert (server["epoch"], server["empty"]) == (2, False)
    check = (await gateway.http.get(f"{SERVERS}/disk3/removal-check")).json()
    assert check["safe"] is False
    assert check["reasons"]
    assert_problem(await gateway.http.delete(f"{SERVERS}/disk3"), 409, "conflict")
    await gateway.application.removals.step()
    assert (await gateway.http.get(f"{SERVERS}/disk3")).json()["waiting_for"]
    await settle(gateway)
    check = (await gateway.http.get(f"{SERVERS}/disk3/removal-check")).json()
    assert (check["safe"], check["reasons"]) == (True, [])
    assert check["evidence"]["listed_at"] is not None
    assert {name: value for name, value in check["evidence"].items() if name != "listed_at"} == {
        "epoch": 2,
        "in_ring": False,
        "partitions_total": 16,
        "partitions_unsettled": 0,
        "shards_listed": 0,
        "bytes_listed": 0,
        "other_servers_silent": [],
        "chunks_at_risk": 0,
        "bytes_at_risk": 0,
        "videos_at_risk": [],
    }
    await gateway.application.removals.step()
    assert_problem(await gateway.http.get(f"{SERVERS}/disk3"), 404, "server-not-found")
    assert_problem(await gateway.http.delete(f"{SERVERS}/disk3"), 404, "server-not-found")
    assert [each["name"] for each in (await gateway.http.get(SERVERS)).json()["items"]] == ["disk1", "disk2"]


async def test_a_plain_drain_ends_in_a_server_that_is_called_empty(gateway: Gateway) -> None:
    await gateway.store(b"x" * 100_000)
    await gateway.http.patch(f"{SERVERS}/disk3", json={"state": "draining"})
    await settle(gateway)
    await gateway.application.removals.step()
    server = (await gateway.http.get(f"{SERVERS}/disk3")).json()
    assert (server["state"], server["empty"], server["waiting_for"]) == ("draining", True, [])
    (note,) = (await gateway.http.get("/api/v1/health")).json()["notes"]
    assert note == "server disk3 is being drained; nothing that it has is needed any more"


async def test_a_removal_can_be_planned_first(gateway: Gateway) -> None:
    answer = await gateway.http.delete(f"{SERVERS}/disk3", params={"stage": "true"})
    assert answer.status_code == 201, answer.text
    plan = answer.json()
    assert [(change["action"], change["name"]) for change in plan["changes"]] == [("remove", "disk3")]
    assert answer.headers["location"] == f"/api/v1/ring/plans/{plan['id']}"
    assert (await gateway.http.get(f"{SERVERS}/disk3")).json()["state"] == "active"


async def test_a_ring_that_would_be_too_small_must_be_accepted() -> None:
    async with gateway_in_memory(first_servers=2) as gateway:
        refused = assert_problem(await gateway.http.delete(f"{SERVERS}/disk2"), 409, "warnings-not-accepted")
        assert refused["warnings"]
        accepted = await gateway.http.delete(f"{SERVERS}/disk2", params={"accept_warnings": "true"})
        assert accepted.status_code == 202


async def test_a_server_that_answers_is_not_forced_out(gateway: Gateway) -> None:
    answer = await gateway.http.delete(f"{SERVERS}/disk3", params={"force": "true"})
    assert "answers" in assert_problem(answer, 409, "conflict")["detail"]


async def test_a_dead_server_goes_at_once_when_nothing_is_lost_by_that(gateway: Gateway) -> None:
    video = await gateway.store(b"x" * 100_000)
    await settle(gateway)
    kill(gateway, "disk3")
    check = (await gateway.http.get(f"{SERVERS}/disk3/removal-check")).json()
    assert (check["safe"], check["evidence"]["shards_listed"], check["evidence"]["chunks_at_risk"]) == (False, None, 0)
    answer = await gateway.http.delete(f"{SERVERS}/disk3", params={"force": "true"})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "name": "disk3", "state": "removed", "chunks_at_risk": 0, "bytes_at_risk": 0, "videos_at_risk": [],
    }  # fmt: skip
    await settle(gateway)
    assert (await gateway.content(video)).content == b"x" * 100_000
    assert (await gateway.http.get("/api/v1/health")).json()["health"] == "ok"


async def test_a_dead_server_with_a_last_copy_is_refused_with_the_videos_and_accepted_by_name() -> None:
    async with gateway_in_memory(copies=1) as gateway:
        video = await gateway.store(b"x" * 200_000, name="only.mp4")
        await settle(gateway)
        placed = await gateway.pages(f"/api/v1/videos/{video['id']}/placement")
        holder = placed[0]["servers"][0]
        kill(gateway, holder)
        refused = assert_problem(
            await gateway.http.delete(f"{SERVERS}/{holder}", params={"force": "true"}), 409, "removal-unsafe"
        )
        assert refused["videos"] == [{"id": video["id"], "name": "only.mp4"}]
        assert refused["reasons"]
        wrong = await gateway.http.delete(f"{SERVERS}/{holder}", params={"force": "true", "accept_loss": "another"})
        assert_problem(wrong, 400, "invalid-input", field="accept_loss")
        accepted = await gateway.http.delete(f"{SERVERS}/{holder}", params={"force": "true", "accept_loss": holder})
        assert accepted.status_code == 200, accepted.text
        assert accepted.json()["videos_at_risk"] == [{"id": video["id"], "name": "only.mp4"}]


@pytest.mark.parametrize(
    ("params", "field"), [({"accept_loss": "disk3"}, "accept_loss"), ({"force": "true", "stage": "true"}, "stage")]
)
async def test_what_makes_no_sense_together_is_refused(gateway: Gateway, params: dict[str, str], field: str) -> None:
    answer = await gateway.http.delete(f"{SERVERS}/disk3", params=params)
    assert_problem(answer, 400, "invalid-input", field=field)


@pytest.mark.parametrize("name", ["nobody", "..", "%00", "x" * 500])
async def test_there_is_nothing_to_remove_where_there_is_no_server(gateway: Gateway, name: str) -> None:
    for method, path in (("DELETE", ""), ("DELETE", "?force=true"), ("GET", "/removal-check")):
        answer = await gateway.http.request(method, f"{SERVERS}/{name}{path}")
        assert answer.status_code in {400, 404, 405}, answer.text


async def test_the_history_of_a_server_is_kept_when_it_is_gone(gateway: Gateway) -> None:
    path = f"{SERVERS}/disk3/history"
    assert (await gateway.http.get(path)).json() == {"items": [], "next_cursor": None}
    kill(gateway, "disk3")
    for _ in range(3):
        await gateway.application.monitor.probe_all()
    await gateway.http.delete(f"{SERVERS}/disk3", params={"force": "true"})
    events = await gateway.pages(path, limit=1)
    assert [event["kind"] for event in events] == ["server.removed", "server.draining", "server.unreachable"]
    assert {event["subject"] for event in events} == {"disk3"}
    assert_problem(await gateway.http.get(f"{SERVERS}/nobody/history"), 404, "server-not-found")
    assert_problem(await gateway.http.get(path, params={"cursor": "x"}), 400, "invalid-cursor")
