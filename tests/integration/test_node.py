"""Nodes on real sockets: who may come in, what is never stored, and what a gateway never believes."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reelstore.domain.chunk import ShardName
from reelstore.domain.errors import (
    ServerRefused,
    ServerUnauthorized,
    ServerUnavailable,
)
from reelstore.storage.directory import DirectoryServer
from reelstore.storage.node import NodeServer
from reelstore.storage.node.access import node_access
from reelstore.storage.node.secret import ClusterSecret
from reelstore.storage.node.signing import Signed, digest_of
from tests.contract.storage_suite import MARKER, digest_at, listed_names, shard
from tests.live_node import SECRET, LiveNode, LiveNodes

MIB = 1024**2


def request(method: str, target: str, body: bytes, **changes: str) -> bytes:
    """Write a signed request, some of whose parts are changed before it is signed."""
    signed = Signed(method, target, "c0ffee", "a", "", str(time.time_ns() // 10**6), os.urandom(16).hex(),
                    str(len(body)), digest_of(body))  # fmt: skip
    return raw(replace(signed, **changes), body)


def raw(signed: Signed, body: bytes, **altered: str) -> bytes:
    headers = (
        signed.headers(SECRET) | {"host": "node", "content-length": signed.length, "connection": "close"} | altered
    )
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{signed.method} {signed.target} HTTP/1.1\r\n{head}\r\n".encode() + body


def answer_to(node: LiveNode, sent: bytes, *, leave: bool = False) -> tuple[int, dict[str, Any]]:
    """Send bytes, and return status and document of the answer; or leave, and return nothing."""
    port = int(node.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(sent)
        if leave:
            return 0, {}
        received = b""
        while piece := connection.recv(65536):
            received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


async def told(node: LiveNode, sent: bytes) -> tuple[int, dict[str, Any]]:
    return await asyncio.to_thread(answer_to, node, sent)


def put_target(name: ShardName) -> str:
    return f"/v1/shards/{name}"


class TestWhoMayComeIn:
    async def test_another_secret_is_unauthorized_and_says_so(self, node: LiveNode) -> None:
        stranger = node.driver(access=node_access(ClusterSecret(b"the secret of another cluster")))
        with pytest.raises(ServerUnauthorized, match="another secret"):
            await stranger.attach(MARKER, claim=True)
        await stranger.close()
        assert node.folder.owner is None

    @pytest.mark.parametrize("seconds", [-400, 400])
    async def test_a_wrong_clock_is_told_with_both_times(self, node: LiveNode, seconds: float) -> None:
        late = node.driver(clock=lambda: time.time() + seconds)
        with pytest.raises(ServerUnauthorized, match=r"differ by (399|40[01]) s: .*signed at 20.*Z, .* has 20.*Z"):
            await late.attach(MARKER, claim=True)
        await late.close()

    @pytest.mark.parametrize("seconds", [-290, 290])
    async def test_a_clock_that_is_a_little_wrong_is_fine(self, node: LiveNode, seconds: float) -> None:
        late = node.driver(clock=lambda: time.time() + seconds)
        assert await late.attach(MARKER, claim=True) == MARKER
        await late.close()

    async def test_what_is_not_signed_learns_nothing(self, node: LiveNode, driver: NodeServer) -> None:
        await driver.put(shard(b"x"), b"x")
        for method in ("GET", "PUT", "POST", "DELETE"):
            for path in (put_target(shard(b"x")), "/v1/shards/default", "/v1/calls/usage", "/v1/calls/nothing"):
                sent = (
                    f"{method} {path} HTTP/1.1\r\nhost: node\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()
                )
                status, document = await told(node, sent)
                assert (status, document["error"]) == (401, "ServerUnauthorized")

    async def test_health_needs_no_secret_and_tells_nothing(self, node: LiveNode) -> None:
        assert await told(node, b"GET /healthz HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n") == (
            200,
            {"status": "ok"},
        )

    async def test_a_request_is_let_in_once(self, node: LiveNode, driver: NodeServer) -> None:
        sent = request("POST", "/v1/calls/usage", b"{}")
        assert (await told(node, sent))[0] == 200
        status, document = await told(node, sent)
        assert (status, document["message"]) == (401, "the request was seen before")

    @pytest.mark.parametrize("part", ["cluster", "server", "capacity", "time", "nonce", "content", "method", "target"])
    async def test_no_part_of_a_request_can_be_altered(self, node: LiveNode, driver: NodeServer, part: str) -> None:
        body, now = b"x", time.time_ns() // 10**6
        other = {
            "cluster": "c0ffef", "server": "b", "capacity": "1", "time": str(now + 1),
            "nonce": "0" * 32, "content": digest_of(b"y"), "method": "GET", "target": put_target(shard(tenure=9)),
        }  # fmt: skip
        signed = Signed("PUT", put_target(shard(body)), "c0ffee", "a", "", str(now), "1" * 32, "1",
                        digest_of(body))  # fmt: skip
        altered = replace(signed, **{part: other[part]})
        seal = signed.headers(SECRET)["reelstore-signature"]
        status, document = await told(node, raw(altered, body, **{"reelstore-signature": seal}))
        assert status == 401
        assert "another secret" in document["message"]
        assert await listed_names(driver) == set()

    @pytest.mark.parametrize("change", [{"cluster": "other"}, {"server": "b"}])
    async def test_a_request_for_another_server_is_refused(
        self, node: LiveNode, driver: NodeServer, change: dict[str, str]
    ) -> None:
        status, document = await told(node, request("PUT", put_target(shard(b"x")), b"x", **change))
        assert (status, document["error"]) == (409, "ServerRefused")
        assert "belongs to server 'a' of cluster 'c0ffee'" in document["message"]
        assert await listed_names(driver) == set()

    async def test_a_second_node_on_the_folder_is_refused_claimed_or_not(
        self, nodes: LiveNodes, node: LiveNode, tmp_path: Path
    ) -> None:
        with pytest.raises(ServerUnavailable, match="in use by another process"):
            nodes.start(tmp_path / "place")
        opened = node.driver()
        await opened.attach(MARKER, claim=True)
        with pytest.raises(ServerUnavailable, match="in use by another process"):
            nodes.start(tmp_path / "place")
        await opened.close()


class TestWhatIsNeverStored:
    async def test_a_body_that_was_altered(self, node: LiveNode, driver: NodeServer, tmp_path: Path) -> None:
        sent = request("PUT", put_target(shard(b"good")), b"good")
        status, document = await told(node, sent[:-1] + b"!")
        assert (status, document["error"]) == (503, "ServerUnavailable")
        assert "altered" in document["message"]
        assert await listed_names(driver) == set()
        assert files(tmp_path) == []

    @pytest.mark.parametrize("left_bytes", [1, 2 * MIB])
    async def test_a_body_that_broke_off(
        self, node: LiveNode, driver: NodeServer, tmp_path: Path, left_bytes: int
    ) -> None:
        sent = request("PUT", put_target(shard(b"long")), os.urandom(3 * MIB))
        await asyncio.to_thread(answer_to, node, sent[:-left_bytes], leave=True)
        assert await listed_names(driver) == set()
        await until(lambda: files(tmp_path) == [])
        assert (await driver.usage()).used_bytes == 0

    async def test_more_than_a_shard_may_have(self, node: LiveNode, driver: NodeServer) -> None:
        signed = Signed("PUT", put_target(shard()), "c0ffee", "a", "", str(time.time_ns() // 10**6), "2" * 32,
                        str(64 * MIB + 1), digest_of(b""))  # fmt: skip
        status, document = await told(node, raw(signed, b""))
        assert (status, document["error"]) == (400, "InvalidInput")

    @pytest.mark.parametrize("name", ["default/../../x", "default/x", "..%2f..%2fx/y", "default"])
    async def test_what_is_no_shards_name(self, node: LiveNode, driver: NodeServer, name: str) -> None:
        status, document = await told(node, request("PUT", f"/v1/shards/{name}", b"x"))
        assert (status, document["error"]) == (400, "InvalidInput")

    @pytest.mark.parametrize(
        "body", [b"", b"[]", b"{", b"{}", b'{"shard": 7}', b'{"shard": null}', b"\xff", b"[" * 60000]
    )
    async def test_a_call_that_makes_no_sense_is_invalid_and_nothing_breaks(
        self, node: LiveNode, driver: NodeServer, body: bytes
    ) -> None:
        for operation in ("delete", "adopt", "find", "quarantined", "drop_quarantined", "record_delete_rounds", "no"):
            status, document = await told(node, request("POST", f"/v1/calls/{operation}", body))
            assert (status, document["error"]) == (400, "InvalidInput")


class TestWhatAGatewayNeverBelieves:
    async def test_an_answer_that_is_not_signed(self, nodes: LiveNodes, tmp_path: Path) -> None:
        def anything(_: ASGIApp) -> ASGIApp:
            async def app(scope: Scope, receive: Receive, send: Send) -> None:
                await send(
                    {"type": "http.response.start", "status": 404 if scope["method"] == "GET" else 200, "headers": []}
                )
                await send({"type": "http.response.body", "body": b"{}"})

            return app

        false = nodes.start(tmp_path / "false", wrap=anything).driver()
        false._cluster = "c0ffee"
        for call in (
            false.attach(MARKER, claim=True), false.put(shard(), b"x"), false.get(shard()), false.stat(shard()),
            false.delete(shard()), listed_names(false),
        ):  # fmt: skip
            with pytest.raises(ServerUnavailable, match=r"not signed|not answer as a node") as error:
                await call
            assert not isinstance(error.value, ServerRefused)
        await false.close()

    @pytest.mark.parametrize("how", ["cut", "end dropped", "bit flipped", "frame dropped"])
    async def test_a_listing_that_is_not_whole_is_an_error(self, nodes: LiveNodes, tmp_path: Path, how: str) -> None:
        node = nodes.start(tmp_path / "place", wrap=lambda app: Spoiling(app, how))
        server = node.driver()
        await server.attach(MARKER, claim=True)
        names = {shard(digest=digest_at(f"{number:03x}"), slot=slot) for number in range(40) for slot in range(20)}
        await asyncio.to_thread(write_shards, tmp_path / "place", names)
        with pytest.raises(ServerUnavailable):
            await listed_names(server)
        await server.close()

    async def test_a_listing_that_breaks_off_at_the_far_end_is_an_error(
        self, node: LiveNode, driver: NodeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = {shard(digest=digest_at(f"{number:03x}"), slot=slot) for number in range(40) for slot in range(20)}
        await asyncio.to_thread(write_shards, tmp_path / "place", names)
        whole = DirectoryServer.list

        async def breaking(*arguments: Any) -> AsyncIterator[Any]:
            number = 0
            async for entry in whole(*arguments):
                number += 1
                if number == 600:
                    raise ServerRefused("the marker is gone", server="a")
                yield entry

        monkeypatch.setattr(DirectoryServer, "list", breaking)
        with pytest.raises(ServerRefused, match="the marker is gone"):
            await listed_names(driver)

    async def test_bytes_that_were_cut_are_an_error(self, nodes: LiveNodes, tmp_path: Path) -> None:
        spoiled = nodes.start(tmp_path / "place", wrap=lambda app: Spoiling(app, "cut")).driver()
        await spoiled.attach(MARKER, claim=True)
        await spoiled.put(shard(), os.urandom(2 * MIB))
        with pytest.raises(ServerUnavailable, match="broke off"):
            await spoiled.get(shard())
        await spoiled.close()


class Spoiling:
    """Spoil the body of each answer to a GET."""

    def __init__(self, app: ASGIApp, how: str) -> None:
        self.app = app
        self.how = how

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        parts = 0

        async def spoiling(message: Message) -> None:
            nonlocal parts
            if message["type"] == "http.response.body":
                parts += 1
                more = message.get("more_body", False)
                if self.how == "cut" and parts == 2:
                    scope["extensions"]["reelstore.cut"](at_once=True)
                    return
                if self.how == "end dropped" and not more:
                    message = {**message, "body": b""}
                elif self.how == "frame dropped" and parts == 1:
                    return
                elif self.how == "bit flipped" and parts == 2:
                    body = bytearray(message["body"])
                    body[100] ^= 1
                    message = {**message, "body": bytes(body)}
            await send(message)

        await self.app(scope, receive, spoiling if scope["method"] == "GET" else send)


def files(path: Path) -> list[Path]:
    return [found for found in (path / "place" / "shards").rglob("*") if found.is_file()]


def write_shards(place: Path, names: set[ShardName]) -> None:
    """Write empty shards where the directory driver keeps them; much faster than to put them."""
    for name in names:
        folder = place / "shards" / name.policy / name.digest.hex()[:3]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name.leaf).touch()


async def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
