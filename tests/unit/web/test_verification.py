"""Verifying the cluster and looking into its quarantine over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from reelstore.chunkstore.topology import shard_name
from reelstore.domain.errors import IncompleteBody
from reelstore.services import verification
from reelstore.storage.memory import MemoryServer
from reelstore.web.leaving import while_client_stays
from tests.unit.web.answers import assert_problem
from tests.unit.web.conftest import CHUNK, Gateway

VERIFY = "/api/v1/verify"
QUARANTINE = "/api/v1/quarantine"


def place(gateway: Gateway, number: int) -> MemoryServer:
    driver = gateway.application.fleet[number].driver
    assert isinstance(driver, MemoryServer)
    return driver


async def spoil(gateway: Gateway) -> tuple[str, str]:
    """Make the first shard of a chunk bad; return the server and the chunk's digest."""
    async with gateway.application.metadata.snapshot() as view:
        chunk = (await view.chunks.in_range("default", bytes(32), None))[0]
    ring = gateway.application.topology.present.ring("default")
    seat = ring.row(ring.partition_of(chunk.digest))[0]
    server = place(gateway, seat.server)
    await server.put(shard_name(chunk, seat), b"bad")
    return server.name, chunk.digest.hex()


async def test_the_whole_cluster_in_one_slice(gateway: Gateway) -> None:
    await gateway.store(bytes(range(256)) * (CHUNK // 128))
    answer = await gateway.http.post(VERIFY)
    assert answer.status_code == 200
    assert answer.json() == {
        "shards_total": 2,
        "shards_ok": 2,
        "shards_moving": 0,
        "shards_bytes": 2 * CHUNK,
        "problems": [],
        "problems_truncated": False,
        "progress": 1.0,
        "next_cursor": None,
    }


async def test_slices_go_on_from_their_cursor(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "CHUNKS_AT_ONCE", 1)
    monkeypatch.setattr(verification, "READ_CHUNKS", 4)
    for number in range(12):
        await gateway.store(bytes([number]) * CHUNK, name=f"{number}.mp4")
    asked: dict[str, Any] = {"seconds": 1e-9}
    seen, progress = 0, [0.0]
    for _ in range(100):
        found = (await gateway.http.post(VERIFY, json=asked)).json()
        seen += found["shards_ok"]
        progress.append(found["progress"])
        if found["next_cursor"] is None:
            break
        asked["cursor"] = found["next_cursor"]
    assert seen == 24
    assert progress == sorted(progress)
    assert len(progress) > 4
    assert progress[-1] == 1


async def test_a_problem_names_its_server_and_its_videos(gateway: Gateway) -> None:
    video = await gateway.store(b"content", name="a.mp4")
    server, chunk = await spoil(gateway)
    found = (await gateway.http.post(VERIFY, json={})).json()
    assert (found["shards_total"], found["shards_ok"]) == (2, 1)
    assert found["problems"] == [
        {
            "chunk": chunk,
            "server": server,
            "problem": "corrupt",
            "videos": [{"id": video["id"], "name": "a.mp4"}],
        }
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"seconds": 0}, "seconds"),
        ({"seconds": -1}, "seconds"),
        ({"seconds": 31}, "seconds"),
        ({"seconds": "5"}, "seconds"),
        ({"seconds": None}, "seconds"),
        ({"cursor": 7}, "cursor"),
        ({"cursor": "x" * 9000}, "cursor"),
        ({"pace": 1}, "pace"),
        ([], "body"),
    ],
)
async def test_what_is_asked_wrongly_is_refused(gateway: Gateway, body: object, field: str) -> None:
    problem = assert_problem(await gateway.http.post(VERIFY, json=body), 400, "invalid-input")
    assert field in problem["detail"]


async def test_a_cursor_of_something_else_is_refused(gateway: Gateway) -> None:
    assert_problem(await gateway.http.post(VERIFY, json={"cursor": "x"}), 400, "invalid-cursor")
    assert_problem(
        await gateway.http.post(VERIFY, content=b"{}", headers={"content-type": "text/plain"}),
        415,
        "unsupported-media-type",
    )


async def test_quarantine_is_listed_and_emptied(gateway: Gateway) -> None:
    video = await gateway.store(b"content", name="a.mp4")
    server, chunk = await spoil(gateway)
    assert (await gateway.http.get(QUARANTINE)).json() == {"items": [], "next_cursor": None, "unreachable": []}
    await gateway.http.post(VERIFY)
    while await gateway.application.rebalancer.step():
        pass
    (copy,) = await gateway.pages(QUARANTINE)
    assert {key: copy[key] for key in ("server", "chunk", "size_bytes", "videos")} == {
        "server": server,
        "chunk": chunk,
        "size_bytes": 3,
        "videos": [{"id": video["id"], "name": "a.mp4"}],
    }
    before = {"before": copy["set_aside_at"]}
    nothing = await gateway.http.delete(QUARANTINE, params=before)
    assert nothing.json() == {"copies": 0, "size_bytes": 0, "unreachable": []}
    assert (await gateway.http.delete(QUARANTINE)).json() == {"copies": 1, "size_bytes": 3, "unreachable": []}
    assert (await gateway.http.get(QUARANTINE)).json()["items"] == []
    assert (await gateway.http.post(VERIFY)).json()["shards_ok"] == 2


@pytest.mark.parametrize("before", ["yesterday", "2026-03-01T12:00:00", "", "inf", "2026-02-30T00:00:00Z"])
async def test_a_time_that_is_none_drops_nothing(gateway: Gateway, before: str) -> None:
    assert_problem(await gateway.http.delete(QUARANTINE, params={"before": before}), 400, "invalid-input")


class Caller:
    """A request whose client leaves when it is told to."""

    def __init__(self) -> None:
        self.leaves = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.leaves.wait()
        return {"type": "http.disconnect"}


async def test_work_ends_when_its_client_leaves() -> None:
    caller, begun, ended = Caller(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    answer = asyncio.create_task(while_client_stays(caller, work()))  # type: ignore[arg-type]  # all that is used of it
    await begun.wait()
    caller.leaves.set()
    with pytest.raises(IncompleteBody):
        await answer
    assert ended.is_set()


async def test_work_that_ends_is_answered_and_its_error_raised() -> None:
    async def seven() -> int:
        return 7

    async def fail() -> int:
        raise KeyError("x")

    assert await while_client_stays(Caller(), seven()) == 7  # type: ignore[arg-type]  # all that is used of it
    with pytest.raises(KeyError):
        await while_client_stays(Caller(), fail())  # type: ignore[arg-type]  # the same
