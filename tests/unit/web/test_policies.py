"""Policies over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.web.answers import assert_problem
from tests.unit.web.conftest import Gateway

POLICIES = "/api/v1/policies"
ARCHIVE = {"name": "archive", "kind": "erasure", "k": 2, "m": 1}


async def test_the_first_policy_is_described_and_the_default(gateway: Gateway) -> None:
    listing = (await gateway.http.get(POLICIES)).json()
    assert listing == {
        "items": [
            {
                "name": "default",
                "kind": "replicated",
                "description": "replicated(2)",
                "copies": 2,
                "k": None,
                "m": None,
                "copies_min": 2,
                "chunk_size_bytes": 4096,
                "width": 2,
                "losses_tolerated": 1,
                "bytes_per_byte": 2.0,
                "default": True,
            }
        ],
        "next_cursor": None,
    }
    assert (await gateway.http.get(f"{POLICIES}/default")).json() == listing["items"][0]


async def test_a_policy_is_created_named_by_an_upload_and_made_the_default(gateway: Gateway) -> None:
    answer = await gateway.http.post(POLICIES, json=ARCHIVE)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"{POLICIES}/archive"
    made = answer.json()
    assert made | {**ARCHIVE, "description": "erasure(2, 1)", "copies": None, "copies_min": 3} == made
    assert (made["chunk_size_bytes"], made["bytes_per_byte"], made["default"]) == (4 * 2**20, 1.5, False)
    assert (await gateway.http.get(answer.headers["location"])).json() == made
    assert (await gateway.store(b"a", policy="archive"))["policy"] == "archive"
    assert (await gateway.store(b"b"))["policy"] == "default"
    changed = await gateway.http.patch(f"{POLICIES}/archive", json={"default": True})
    assert changed.json() == made | {"default": True}
    video = await gateway.store(b"c")
    assert video["policy"] == "archive"
    assert (await gateway.content(video)).content == b"c"
    ring = (await gateway.http.get("/api/v1/ring")).json()
    assert (ring["policy"], ring["kind"], ring["width"]) == ("archive", "erasure(2, 1)", 3)
    assert (await gateway.http.get("/api/v1/ring", params={"policy": "default"})).json()["policy"] == "default"
    assert_problem(await gateway.http.post(POLICIES, json=ARCHIVE), 409, "policy-exists")


@pytest.mark.parametrize(
    ("new", "field"),
    [
        ({}, "name"),
        ({"name": "p"}, "kind"),
        ({"name": "p", "kind": "raid5"}, "kind"),
        ({"name": "p", "kind": "erasure"}, "k"),
        ({"name": "p", "kind": "erasure", "k": 2}, "m"),
        ({"name": "p", "kind": "erasure", "k": 2, "m": 1, "copies": 2}, "copies"),
        ({"name": "p", "kind": "erasure", "k": 1, "m": 1}, "k"),
        ({"name": "p", "kind": "erasure", "k": 2, "m": 0}, "m"),
        ({"name": "p", "kind": "erasure", "k": 30, "m": 3}, "m"),
        ({"name": "p", "kind": "erasure", "k": 10**30, "m": 3}, "k"),
        ({"name": "p", "kind": "erasure", "k": "2", "m": 1}, "k"),
        ({"name": "p", "kind": "erasure", "k": 2, "m": 1, "copies_min": 1}, "copies_min"),
        ({"name": "p", "kind": "replicated"}, "copies"),
        ({"name": "p", "kind": "replicated", "copies": 0}, "copies"),
        ({"name": "p", "kind": "replicated", "copies": 10}, "copies"),
        ({"name": "p", "kind": "replicated", "copies": 2, "k": 2}, "k"),
        ({"name": "p", "kind": "replicated", "copies": 2, "copies_min": 3}, "copies_min"),
        ({"name": "p", "kind": "replicated", "copies": 2, "chunk_size_bytes": 1}, "chunk_size_bytes"),
        ({"name": "p", "kind": "replicated", "copies": 2, "colour": "red"}, "colour"),
        ({"name": "P", "kind": "replicated", "copies": 2}, "name"),
        ({"name": "../p", "kind": "replicated", "copies": 2}, "name"),
        ({"name": "", "kind": "replicated", "copies": 2}, "name"),
        ({"name": "p" * 64, "kind": "replicated", "copies": 2}, "name"),
        ({"name": "p\n", "kind": "replicated", "copies": 2}, "name"),
    ],
)
async def test_a_policy_that_makes_no_sense_is_refused(gateway: Gateway, new: dict[str, Any], field: str) -> None:
    problem = assert_problem(await gateway.http.post(POLICIES, json=new), 400, "invalid-input")
    assert problem["field"] == field
    assert len((await gateway.http.get(POLICIES)).json()["items"]) == 1


async def test_a_policy_for_more_servers_than_there_are_is_a_conflict(gateway: Gateway) -> None:
    new = {"name": "wide", "kind": "erasure", "k": 4, "m": 2}
    problem = assert_problem(await gateway.http.post(POLICIES, json=new), 409, "conflict")
    assert "add servers first" in problem["detail"]


@pytest.mark.parametrize("patch", [{}, {"default": False}, {"default": None}, {"k": 3}, {"default": True, "k": 3}])
async def test_nothing_else_of_a_policy_can_be_changed(gateway: Gateway, patch: dict[str, Any]) -> None:
    assert_problem(await gateway.http.patch(f"{POLICIES}/default", json=patch), 400, "invalid-input")


async def test_a_policy_that_is_not_there_is_not_found(gateway: Gateway) -> None:
    assert_problem(await gateway.http.get(f"{POLICIES}/never"), 404, "policy-not-found")
    assert_problem(await gateway.http.patch(f"{POLICIES}/never", json={"default": True}), 404, "policy-not-found")
    assert_problem(await gateway.http.get("/api/v1/ring", params={"policy": "never"}), 404, "policy-not-found")


async def test_a_video_is_transferred_and_the_content_keeps_its_tag(gateway: Gateway) -> None:
    await gateway.http.post(POLICIES, json=ARCHIVE)
    video = await gateway.store(b"content" * 1000)
    path = f"/api/v1/videos/{video['id']}"
    assert (await gateway.http.get("/api/v1/transfers")).json() == {"items": [], "next_cursor": None}
    asked = await gateway.http.patch(path, json={"policy": "archive"}, headers={"If-Match": video["etag"]})
    assert asked.json() == video
    (transfer,) = (await gateway.http.get("/api/v1/transfers")).json()["items"]
    assert transfer.pop("requested_at")
    assert transfer == {
        "video_id": video["id"],
        "name": "a.mp4",
        "size_bytes": 7000,
        "policy": "archive",
        "policy_before": "default",
        "bytes_copied": 0,
        "problem": None,
    }
    tag = (await gateway.content(video)).headers["etag"]
    assert await gateway.application.transferring.step() == 1
    after = (await gateway.http.get(path)).json()
    assert (after["policy"], after["content_etag"]) == ("archive", video["content_etag"])
    assert after["etag"] != video["etag"]
    content = await gateway.content(video)
    assert (content.content, content.headers["etag"]) == (b"content" * 1000, tag)


@pytest.mark.parametrize(
    ("patch", "status", "slug"),
    [
        ({"policy": "never"}, 404, "policy-not-found"),
        ({"policy": ""}, 404, "policy-not-found"),
        ({"policy": None}, 400, "invalid-input"),
        ({"policy": 3}, 400, "invalid-input"),
        ({"policy": "default", "title": "b"}, 400, "invalid-input"),
    ],
)
async def test_a_transfer_that_makes_no_sense_is_refused(
    gateway: Gateway, patch: dict[str, Any], status: int, slug: str
) -> None:
    video = await gateway.store(b"a")
    path = f"/api/v1/videos/{video['id']}"
    assert_problem(await gateway.http.patch(path, json=patch), status, slug)
    assert (await gateway.http.get(path)).json() == video
    old = {"If-Match": '"v9"'}
    assert_problem(await gateway.http.patch(path, json={"policy": "default"}, headers=old), 412, "precondition-failed")
    assert_problem(await gateway.http.patch("/api/v1/videos/x", json={"policy": "default"}), 404, "video-not-found")
