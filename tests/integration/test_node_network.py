"""Nodes that are away, silent, started again, replaced, full, or encrypted."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from reelstore.domain.errors import (
    InvalidInput,
    ServerFull,
    ServerRefused,
    ServerUnavailable,
    ShardMissing,
)
from reelstore.storage.node import NodeServer
from reelstore.storage.node.access import node_access
from reelstore.storage.node.connection import NodeConnection
from reelstore.storage.registry import Access, connect, default_capacity
from tests.contract.storage_suite import MARKER, listed_names, shard
from tests.live_node import ACCESS, SECRET, LiveNode, LiveNodes

MIB = 1024**2


class TestTheNetwork:
    async def test_a_node_that_is_not_there_is_unavailable_and_soon_left_alone(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
        absent = NodeServer("a", NodeConnection("a", f"http://127.0.0.1:{port}", ACCESS))
        absent._cluster = MARKER.cluster
        said = []
        for _ in range(4):
            with pytest.raises(ServerUnavailable) as error:
                await absent.get(shard())
            said.append(str(error.value))
        assert "Connection refused; is the node running" in said[0]
        assert "not asked for another" in said[-1]
        await absent.close()

    async def test_a_node_that_says_nothing_is_unavailable_in_time(self) -> None:
        with silent_server() as port:
            mute = NodeServer("a", NodeConnection("a", f"http://127.0.0.1:{port}", ACCESS, idle_seconds=0.3))
            with pytest.raises(ServerUnavailable, match="no answer in time"):
                await mute.attach(MARKER, claim=True)
            mute._cluster = "c0ffee"
            with pytest.raises(ServerUnavailable, match="no answer in time"):
                await listed_names(mute)
            await mute.close()

    async def test_what_is_no_http_is_unavailable(self) -> None:
        with silent_server(b"SSH-2.0-OpenSSH_9.6\r\n") as port:
            strange = NodeServer("a", NodeConnection("a", f"http://127.0.0.1:{port}", ACCESS, idle_seconds=5))
            with pytest.raises(ServerUnavailable, match="does not speak HTTP"):
                await strange.attach(MARKER, claim=True)
            await strange.close()

    async def test_a_node_that_was_started_again_is_used_again_without_an_attach(
        self, nodes: LiveNodes, tmp_path: Path
    ) -> None:
        node = nodes.start(tmp_path / "place")
        connection = NodeConnection("a", node.url, ACCESS)
        server = NodeServer("a", connection)
        await server.attach(MARKER, claim=True)
        await server.put(shard(b"x"), b"x")
        await asyncio.to_thread(node.stop)
        with pytest.raises(ServerUnavailable):
            await server.get(shard(b"x"))
        connection._base = nodes.start(tmp_path / "place").url
        assert await server.get(shard(b"x")) == b"x"
        assert await server.check() == MARKER
        await server.close()

    async def test_a_node_that_is_back_is_asked_again_from_the_next_probe_on(
        self, node: LiveNode, nodes: LiveNodes, tmp_path: Path
    ) -> None:
        connection = NodeConnection("a", node.url, ACCESS)
        server = NodeServer("a", connection)
        await server.attach(MARKER, claim=True)
        node.stop()
        for _ in range(12):
            with pytest.raises(ServerUnavailable):
                await server.put(shard(), b"x")
        connection._base = nodes.start(tmp_path / "place").url
        with pytest.raises(ServerUnavailable, match="not asked for another"):
            await server.put(shard(), b"x")
        assert await server.check() == MARKER
        await server.put(shard(), b"x")
        await server.close()

    async def test_a_folder_that_is_replaced_is_refused_and_a_new_disk_can_be_claimed_for_another_server(
        self, node: LiveNode, driver: NodeServer, tmp_path: Path
    ) -> None:
        await driver.put(shard(b"x"), b"x")
        (tmp_path / "place").rename(tmp_path / "away")
        (tmp_path / "place").mkdir()
        with pytest.raises(ServerRefused, match="no marker"):
            await driver.check()
        with pytest.raises(ServerUnavailable):
            await driver.get(shard(b"x"))
        other = node.driver("b")
        assert (await other.attach(replace(MARKER, server="b"), claim=True)).server == "b"
        with pytest.raises(ServerRefused, match="belongs to server 'b'"):
            await driver.check()
        await other.close()

    async def test_a_capacity_that_changes_holds_from_the_next_request(self, driver: NodeServer) -> None:
        driver.resize(1000)
        with pytest.raises(ServerFull):
            await driver.put(shard(), bytes(1001))
        driver.resize(2000)
        await driver.put(shard(), bytes(1001))
        assert (await driver.usage()).free_bytes == 999

    async def test_a_disk_that_fails_is_told_as_it_is(
        self, driver: NodeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(os, "fdatasync", fail)
        with pytest.raises(ServerUnavailable, match="the medium fails"):
            await driver.put(shard(), b"x")
        monkeypatch.undo()
        await driver.put(shard(), b"x")

    async def test_errors_name_the_server_as_the_cluster_does(self, driver: NodeServer) -> None:
        with pytest.raises(ShardMissing) as error:
            await driver.get(shard())
        assert error.value.server == "a"
        with pytest.raises(InvalidInput):
            await driver.find("default", bytes(33))


class TestTls:
    @pytest.fixture
    def authority(self) -> trustme.CA:
        return trustme.CA()

    def serve(self, nodes: LiveNodes, authority: trustme.CA, path: Path, host: str = "127.0.0.1") -> LiveNode:
        issued = authority.issue_cert(host)
        issued.cert_chain_pems[0].write_to_path(path / "cert.pem")
        issued.private_key_pem.write_to_path(path / "key.pem")
        authority.cert_pem.write_to_path(path / "ca.pem")
        return nodes.start(path / "place", certificate=path / "cert.pem", key=path / "key.pem")

    async def test_a_node_of_our_own_authority_is_used(
        self, nodes: LiveNodes, authority: trustme.CA, tmp_path: Path
    ) -> None:
        node = self.serve(nodes, authority, tmp_path)
        server = node.driver(access=node_access(SECRET, tmp_path / "ca.pem"))
        await server.attach(MARKER, claim=True)
        data = os.urandom(5 * MIB)
        await server.put(shard(data), data)
        assert await server.get(shard(data)) == data
        assert await listed_names(server) == {shard(data)}
        await server.close()

    @pytest.mark.parametrize("what", ["another authority", "another host"])
    async def test_a_certificate_that_is_not_trusted_is_refused(
        self, nodes: LiveNodes, authority: trustme.CA, tmp_path: Path, what: str
    ) -> None:
        node = self.serve(nodes, authority, tmp_path, "127.0.0.2" if what == "another host" else "127.0.0.1")
        ca_file = tmp_path / "ca.pem"
        if what == "another authority":
            trustme.CA().cert_pem.write_to_path(ca_file)
        server = node.driver(access=node_access(SECRET, ca_file))
        with pytest.raises(ServerRefused, match=r"certificate of .* is not trusted.*node_ca_file"):
            await server.attach(MARKER, claim=True)
        await server.close()

    async def test_http_to_an_https_node_is_unavailable(
        self, nodes: LiveNodes, authority: trustme.CA, tmp_path: Path
    ) -> None:
        node = self.serve(nodes, authority, tmp_path)
        server = NodeServer("a", NodeConnection("a", node.url.replace("https", "http"), ACCESS))
        with pytest.raises(ServerUnavailable):
            await server.attach(MARKER, claim=True)
        await server.close()


async def test_the_registry_reaches_a_node_and_asks_it_how_large_it_is(node: LiveNode, tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)
    size_bytes = await asyncio.to_thread(default_capacity, node.url, access=Access(nodes=ACCESS))
    assert size_bytes == found.f_blocks * found.f_frsize
    server = connect(node.url, name="a", access=Access(nodes=ACCESS))
    assert await server.attach(MARKER, claim=True) == MARKER
    await server.close()


@contextmanager
def silent_server(greeting: bytes = b"") -> Iterator[int]:
    """Accept connections, and say nothing but a greeting."""
    accepted = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                accepted.append(connection)
                connection.sendall(greeting)

        thread = threading.Thread(target=accept)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(30)
    for connection in accepted:
        connection.close()
