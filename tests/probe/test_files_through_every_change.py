"""Real files stay identical at every moment while servers come, drain, go and die, and while the gateway is killed.

    PROBE_FILES=200 pytest tests/probe/test_files_through_every_change.py -s

runs it at full size, 200 files of several thousand chunks, and prints what was measured.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import SystemRandom
from typing import Any

import pytest

from tests.probe.disks import Disks
from tests.probe.gateway import CHUNK, REELSTORE, Gateway, a_gateway, wait_for
from tests.probe.library import Library, Readers, make_files

pytestmark = pytest.mark.probe

FILES = int(os.environ.get("PROBE_FILES", "40"))
MEAN_BYTES = 2_000_000 if FILES >= 200 else 300_000
MOVING_SECONDS_MAX = 600.0 if FILES >= 200 else 60.0
PARTITION_BITS = 6
MOVED_MAX = 1.02
"""Times what must move at the least; one chunk of each partition comes on top."""
COPIES = 2
KILLS = 2
SERVERS_MAX = 8


class Scene:
    """A gateway with four servers, full of files, and what an operator does with it."""

    def __init__(self, gateway: Gateway, library: Library, readers: Readers) -> None:
        self.gateway = gateway
        self.library = library
        self.readers = readers
        self.chunks = len({digest for shards in self.disks().shards.values() for digest in shards})

    # ------------------------------------------------------------------ what an operator does

    def run(self, *arguments: str) -> str:
        """Run a command as an operator types it, and return what it printed."""
        command = [*REELSTORE, *arguments, "--url", self.gateway.url]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, (arguments, ran.stdout, ran.stderr)
        return ran.stdout

    def get(self, path: str) -> Any:
        answer = self.gateway.http.get(f"/api/v1/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def plan(self, action: str, number: int, **more: object) -> dict[str, Any]:
        change = {"action": action, "name": f"disk{number}", **more}
        answer = self.gateway.http.post("/api/v1/ring/plans", json={"changes": [change]})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def new(self, number: int) -> dict[str, Any]:
        """Return where a new server is, as large as the first."""
        size_bytes = self.get("servers/disk1")["capacity_bytes"]
        return {"url": f"file://{self.gateway.folder(number)}", "capacity_bytes": size_bytes}

    def add(self, number: int) -> None:
        new = self.new(number)
        capacity = ("--capacity", str(new["capacity_bytes"]))
        self.run("server", "add", f"disk{number}", new["url"], *capacity, "--yes")

    def kill(self) -> None:
        with self.readers.while_it_is_down():
            self.gateway.kill()
            self.gateway.start()

    # ------------------------------------------------------------------ what is true then

    def disks(self) -> Disks:
        return Disks.of(self.gateway, range(1, SERVERS_MAX))

    def is_idle(self) -> bool:
        return bool(self.get("rebalance")["state"] == "idle")

    def wait_until_something_moves(self, *, to: int) -> None:
        before = self.disks().size_bytes(to)
        wait_for(lambda: self.disks().size_bytes(to) > before or self.is_idle(), "nothing moves")

    def wait_until_settled(self) -> Disks:
        """Wait until it says that it is idle; prove it by the disks and by every reader; return what lies where."""
        wait_for(self.is_idle, "it is not idle", seconds=MOVING_SECONDS_MAX)
        copies = self.disks().copies()
        assert min(copies) >= COPIES, f"it says that it is idle, with these chunks of so many copies: {copies}"
        wait_for(lambda: self.disks().copies() == {COPIES: self.chunks}, "there are copies too many or too few")
        self.readers.assert_all_was_identical()
        return self.disks()

    def states(self) -> dict[str, str]:
        return {server["name"]: server["state"] for server in self.get("servers")["items"]}

    def is_gone(self, number: int) -> bool:
        return self.states().get(f"disk{number}", "removed") == "removed"

    def assert_fair(self, servers: int) -> None:
        """The slots of the ring are shared to one partition."""
        active = [server for server in self.get("servers")["items"] if server["state"] == "active"]
        assert len(active) == servers
        for server in active:
            assert abs(server["share"] - 1 / servers) <= 1 / (COPIES * 2**PARTITION_BITS), server


@pytest.fixture(scope="module")
def seed() -> int:
    return SystemRandom().randrange(2**32)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, seed: int) -> list[Path]:
    return make_files(tmp_path_factory.mktemp("library") / "files", FILES, mean_bytes=MEAN_BYTES, seed=seed)


@pytest.fixture
def it(tmp_path: Path, files: list[Path], seed: int) -> Iterator[Scene]:
    tell(f"seed {seed}")
    environment = {
        "REELSTORE_FIRST_SERVERS": "4",
        "REELSTORE_CACHE_BYTES": "0",
        "REELSTORE_PARTITION_BITS": str(PARTITION_BITS),
    }
    with a_gateway(tmp_path, **environment) as gateway:
        library = Library(gateway)
        library.store_all(files)
        with Readers(library, seed=seed).running() as readers:
            it = Scene(gateway, library, readers)
            it.wait_until_settled()
            tell(f"{len(files)} files of {library.size_bytes():,} bytes in {it.chunks:,} chunks")
            yield it
            readers.assert_all_was_identical()
        library.assert_identical()
        tell(f"{readers.reads:,} reads, none wrong")


def tell(what: str) -> None:
    print(what)  # noqa: T201 - pytest shows it when the test fails, or always with -s


def assert_little_moved(what: str, before: Disks, after: Disks, *, promised: int | None = None) -> None:
    moved, minimum = after.bytes_new_since(before), after.bytes_minimum_since(before)
    tell(f"{what}: {moved:,} bytes moved, {minimum:,} at the least ({moved / max(1, minimum):.4f})")
    assert moved <= MOVED_MAX * minimum + CHUNK * 2**PARTITION_BITS
    if promised is not None:
        assert moved == promised


def test_little_moves_and_all_is_identical_while_servers_are_added_drained_put_back_and_removed(it: Scene) -> None:
    four = it.disks()
    price = it.plan("add", 5, **it.new(5))
    it.add(5)
    five = it.wait_until_settled()
    assert_little_moved("add a fifth", four, five, promised=price["bytes_total"])
    it.assert_fair(5)

    price = it.plan("drain", 2)
    it.run("server", "drain", "disk2", "--yes")
    drained = it.wait_until_settled()
    assert_little_moved("drain one", five, drained, promised=price["bytes_total"])
    assert drained.size_bytes(2) == 0
    assert it.states()["disk2"] == "draining"

    it.run("ring", "revert", "--yes")
    reverted = it.wait_until_settled()
    assert_little_moved("revert", drained, reverted)
    assert it.states()["disk2"] == "active"
    it.assert_fair(5)

    it.run("server", "remove", "disk2", "--yes")
    removed = it.wait_until_settled()
    wait_for(lambda: it.is_gone(2), "the empty server is not removed")
    assert_little_moved("drain and remove one", reverted, removed)
    assert removed.size_bytes(2) == 0
    it.assert_fair(4)


def test_all_is_identical_when_it_is_killed_while_it_moves_and_when_a_servers_folder_is_deleted(it: Scene) -> None:
    four = it.disks()
    it.add(5)
    for _ in range(KILLS):
        it.wait_until_something_moves(to=5)
        it.kill()
    five = it.wait_until_settled()
    assert_little_moved("add a fifth, and kill it meanwhile", four, five)

    shutil.rmtree(it.gateway.folder(3))
    wait_for(lambda: it.get("servers/disk3")["health"] == "unreachable", "nobody noticed that the folder is gone")
    it.run("server", "remove", "disk3", "--force", "--yes")
    four = it.wait_until_settled()
    assert_little_moved("lose one", five, four)
    assert it.is_gone(3)
    it.assert_fair(4)
    assert not it.gateway.folder(3).exists()
