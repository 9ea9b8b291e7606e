"""Nodes in processes of their own, as users start them: added by command, killed, and healed."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.probe.gateway import CHUNK, REELSTORE, WAIT_SECONDS, Gateway, a_gateway, film

pytestmark = pytest.mark.probe


@dataclass
class NodeProcess:
    """A node that runs, or did; it keeps its port over a restart."""

    path: Path
    secret: Path
    port: int = 0
    url: str = ""
    process: subprocess.Popen[str] = field(init=False)

    def start(self) -> None:
        self.process = subprocess.Popen(
            [*REELSTORE, "node", "--data", str(self.path), "--listen", f"127.0.0.1:{self.port}", "--secret-file",
             str(self.secret)],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        assert "listens on http://" in line, line + self.process.stderr.read()
        self.url = line.split("listens on ")[1].strip()
        self.port = int(self.url.rpartition(":")[2])

    def end(self, number: int = signal.SIGKILL) -> int:
        self.process.send_signal(number)
        status = self.process.wait(WAIT_SECONDS)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return status

    def files(self, pattern: str) -> list[Path]:
        return list((self.path / "shards").glob(pattern))


def reelstore(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*REELSTORE, *words], env=os.environ | environment, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """Serve with one folder, which shares its zone with nobody."""
    with a_gateway(tmp_path, REELSTORE_FIRST_SERVERS="1") as started:
        yield started


@pytest.fixture
def nodes(gateway: Gateway, tmp_path: Path) -> Iterator[list[NodeProcess]]:
    """Start three nodes and add them, each in a zone of its own."""
    started = []
    try:
        for number in (1, 2, 3):
            node = NodeProcess(tmp_path / f"n{number}", gateway.data / "node.secret")
            node.start()
            started.append(node)
            added = reelstore(
                "server", "add", f"n{number}", node.url, "--zone", f"rack{number}", "--yes", "--accept-warnings",
                REELSTORE_URL=gateway.url,
            )  # fmt: skip
            assert added.returncode == 0, added.stderr
        yield started
    finally:
        for node in started:
            if node.process.poll() is None:
                node.end()


def test_a_gateway_with_three_nodes_stores_reads_survives_a_killed_one_and_heals(
    gateway: Gateway, nodes: list[NodeProcess]
) -> None:
    for seed in range(4):
        gateway.store(film(seed))
    assert all(node.files("*/*/*") for node in nodes)
    gateway.assert_all_identical()
    secret = nodes[0].secret.read_text().strip()
    assert nodes[0].secret.stat().st_mode & 0o077 == 0
    for process in (gateway.process, *(node.process for node in nodes)):
        assert secret not in Path(f"/proc/{process.pid}/cmdline").read_text()
    assert secret not in gateway.http.get("/api/v1/servers").text
    nodes[0].end()
    gateway.assert_all_identical()
    for seed in range(4, 8):
        gateway.store(film(seed))
    gateway.assert_all_identical()
    nodes[0].start()
    gateway.assert_all_whole()
    gateway.assert_all_identical()


def test_a_node_that_is_killed_while_it_takes_shards_keeps_no_torn_one(
    gateway: Gateway, nodes: list[NodeProcess]
) -> None:
    for turn in range(4):
        for seed in range(3):
            gateway.store(film(100 + 10 * turn + seed, 40 * CHUNK))
            if seed == 1:
                nodes[turn % 3].end()
        nodes[turn % 3].start()
    for node in nodes:
        for shard in node.files("*/*/[0-9a-f]*"):
            with suppress(FileNotFoundError):  # one that a stand-in kept, and that was freed since
                assert shard.stat().st_size == CHUNK
    gateway.assert_all_whole()
    gateway.assert_all_identical()


def test_what_keeps_a_node_from_starting_is_one_line(tmp_path: Path) -> None:
    secret_file, short = tmp_path / "secret", tmp_path / "short"
    secret_file.write_text("a secret of this test alone")
    secret_file.chmod(0o600)
    short.write_text("short")
    running = NodeProcess(tmp_path / "n1", secret_file)
    running.start()
    taken = f"127.0.0.1:{running.port}"
    data, secret = ("--data", str(tmp_path / "new")), ("--secret-file", str(secret_file))
    free = ("--listen", "127.0.0.1:0")
    try:
        for words, said in (
            (("--data", str(running.path), *secret, *free), "is in use by another process"),
            ((*data, *free), "no secret; --secret-file"),
            ((*data, "--secret-file", str(short), *free), "16 to 1024 bytes"),
            (("--data", str(short), *secret, *free), "is not a folder"),
            ((*data, *secret, "--listen", "nowhere"), "HOST:PORT"),
            ((*data, *secret, "--listen", taken), "--listen takes another"),
            ((*data, *secret, *free, "--tls-cert", str(short)), "belong together"),
            ((*data, *secret, *free, "--tls-cert", str(short), "--tls-key", str(short)), "cannot be used"),
        ):
            ended = reelstore("node", *words)
            assert ended.returncode == 1, ended
            assert said in ended.stderr
            assert ended.stderr.splitlines()[-1].startswith("reelstore: ")
            assert "Traceback" not in ended.stderr
            assert "a secret of" not in ended.stderr
    finally:
        assert running.end(signal.SIGTERM) == 0
