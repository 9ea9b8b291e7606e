"""A cluster of processes as it runs in earnest: PostgreSQL, two gateways, a worker and three nodes; killed and cut off.

The gateways share nothing but the database and the nodes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.postgres import Postgres
from tests.probe.gateway import (
    CHUNK,
    ENVIRONMENT,
    REELSTORE,
    WAIT_SECONDS,
    Gateway,
    film,
    size_bytes,
    slowly,
    wait_for,
)
from tests.probe.test_nodes import NodeProcess, reelstore

pytestmark = pytest.mark.probe


@dataclass
class Worker:
    """A process of `reelstore worker`."""

    data: Path
    environment: dict[str, str]
    process: subprocess.Popen[str] = field(init=False)

    def start(self) -> None:
        self.process = subprocess.Popen(
            [*REELSTORE, "worker", "--data", str(self.data)],
            env=os.environ | ENVIRONMENT | self.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        said = ""
        while "servers: " not in said:
            line = self.process.stderr.readline()
            assert line, said
            said += line
        self._draining = threading.Thread(target=self.process.stderr.read, daemon=True)
        self._draining.start()

    def end(self, number: int = signal.SIGKILL) -> int:
        self.process.send_signal(number)
        status = self.process.wait(WAIT_SECONDS)
        self._draining.join(WAIT_SECONDS)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return status


@dataclass
class Processes:
    """All of them."""

    postgres: Postgres
    nodes: list[NodeProcess]
    gateways: list[Gateway]
    worker: Worker

    def stored_bytes(self) -> int:
        return sum(size_bytes(path) for node in self.nodes for path in node.files("*/*/[0-9a-f]*"))

    def holds_what_it_should(self) -> bool:
        """Whether the nodes hold two copies of each acknowledged video, and nothing else."""
        return self.stored_bytes() == 2 * sum(map(len, self.gateways[0].videos.values()))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    folder = tmp_path_factory.mktemp("cluster")
    secret = folder / "secret"
    secret.write_text("a secret of this test alone")
    secret.chmod(0o600)
    nodes = [NodeProcess(folder / f"n{number}", secret) for number in range(1, 5)]
    with Postgres() as postgres:
        environment = {
            "REELSTORE_DATABASE_URL": postgres.url(postgres.new_database()),
            "REELSTORE_NODE_SECRET_FILE": str(secret),
            "REELSTORE_BACKGROUND": "false",
            "REELSTORE_FIRST_SERVERS": "0",
        }
        videos: dict[str, bytes] = {}
        gateways = [Gateway(folder / "gateway", environment, videos) for _ in range(2)]
        cluster = Processes(postgres, nodes, gateways, Worker(folder / "worker", environment))
        try:
            for node in nodes:
                node.start()
            # Both find an empty database: one of them founds the cluster, and the other one takes part in it.
            beginning = [threading.Thread(target=gateway.start) for gateway in gateways]
            for thread in beginning:
                thread.start()
            for thread in beginning:
                thread.join(WAIT_SECONDS)
            cluster.worker.start()
            changes = [{"action": "add", "name": f"n{i}", "url": node.url} for i, node in enumerate(nodes[:3], 1)]
            planned = gateways[0].http.post("/api/v1/ring/plans", json={"changes": changes})
            applied = gateways[0].http.post(
                f"/api/v1/ring/plans/{planned.json()['id']}/apply", json={"accept_warnings": True}
            )
            assert applied.status_code == 200, applied.text
            for gateway in gateways:
                wait_for(lambda http=gateway.http: http.get("/readyz").status_code == 200, "not ready")  # type: ignore[misc]  # its own
            yield cluster
        finally:
            for node in nodes:
                if node.process.poll() is None:
                    node.end(signal.SIGTERM)
            if cluster.worker.process.poll() is None:
                cluster.worker.end(signal.SIGTERM)
            for gateway in gateways:
                if gateway.process.poll() is None:
                    gateway.kill()


def test_what_is_stored_on_one_gateway_is_read_on_the_other_and_freed_by_the_worker(cluster: Processes) -> None:
    one, other = cluster.gateways
    kept, purged = one.store(film(1)), other.store(film(2))
    assert other.read(kept) == film(1)
    assert one.read(purged) == film(2)
    assert one.http.get("/api/v1/ring").json() == other.http.get("/api/v1/ring").json()
    assert one.http.delete(f"/api/v1/videos/{purged}", params={"purge": "true"}).status_code == 200
    del one.videos[purged]
    assert other.http.get(f"/api/v1/videos/{purged}").status_code == 404
    wait_for(cluster.holds_what_it_should, "what was purged is not freed")


def test_a_new_epoch_reaches_the_other_gateway_at_once_and_an_upload_there_loses_nothing(cluster: Processes) -> None:
    one, other = cluster.gateways
    begun, data = threading.Event(), film(3, 200 * CHUNK)
    stored: list[str] = []

    def store() -> None:
        answer = httpx.post(
            f"{other.url}/api/v1/videos",
            params={"name": "v.mp4"},
            content=slowly(data, begun, seconds=0.01),
            timeout=60,
        )
        assert answer.status_code == 201, answer.text
        stored.append(answer.json()["id"])

    uploading = threading.Thread(target=store)
    uploading.start()
    assert begun.wait(WAIT_SECONDS)
    added = reelstore(
        "server", "add", "late", cluster.nodes[3].url, "--yes", "--accept-warnings", REELSTORE_URL=one.url
    )
    assert added.returncode == 0, added.stderr
    epoch = one.http.get("/api/v1/rebalance").json()["epoch"]
    wait_for(lambda: bool(other.http.get("/api/v1/ring").json()["epoch"] == epoch), "the epoch does not arrive")
    uploading.join(WAIT_SECONDS)
    one.videos[stored[0]] = data
    one.assert_all_identical()
    wait_for(
        lambda: bool(other.http.get("/api/v1/rebalance").json()["state"] == "idle"), "nothing is proved after a change"
    )
    one.assert_all_whole()


def test_a_killed_gateway_loses_nothing_that_was_acknowledged_and_what_was_not_is_freed(cluster: Processes) -> None:
    one, other = cluster.gateways
    wait_for(cluster.holds_what_it_should, "what was moved is not freed")
    before, begun = cluster.stored_bytes(), threading.Event()

    def store() -> None:
        with pytest.raises(httpx.HTTPError):
            httpx.post(
                f"{other.url}/api/v1/videos", params={"name": "v.mp4"}, content=slowly(film(4, 400 * CHUNK), begun)
            )

    uploading = threading.Thread(target=store)
    uploading.start()
    assert begun.wait(WAIT_SECONDS)
    wait_for(lambda: cluster.stored_bytes() > before, "nothing of the upload arrives")
    other.kill()
    uploading.join(WAIT_SECONDS)
    one.assert_all_identical()
    one.store(film(5, CHUNK))
    other.start()
    other.assert_all_identical()
    wait_for(cluster.holds_what_it_should, "what was half stored is not freed")


def test_a_killed_worker_or_node_is_made_up_for(cluster: Processes) -> None:
    one, other = cluster.gateways
    assert cluster.worker.end(signal.SIGTERM) == 0
    cluster.worker.start()
    cluster.worker.end()
    cluster.nodes[0].end()
    one.store(film(6))
    other.assert_all_identical()
    cluster.nodes[0].start()
    cluster.worker.start()
    one.assert_all_whole()


def test_a_database_that_goes_away_and_returns_needs_no_restart_of_ours(cluster: Processes) -> None:
    one, other = cluster.gateways
    video = one.store(film(7))
    cluster.postgres.kill()
    for gateway in cluster.gateways:
        ready = gateway.http.get("/readyz")
        refused = gateway.http.post("/api/v1/videos", params={"name": "v.mp4"}, content=film(8))
        assert (ready.status_code, refused.status_code) == (503, 503)
        assert refused.json()["type"] == "/problems/metadata-unavailable"
        assert gateway.http.get("/healthz").status_code == 200
    cluster.postgres.start()
    for gateway in cluster.gateways:
        wait_for(lambda gateway=gateway: bool(gateway.http.get("/readyz").status_code == 200), "not ready again")  # type: ignore[misc]  # the loop's own
    assert other.read(video) == film(7)
    purged = other.store(film(9))
    assert one.http.delete(f"/api/v1/videos/{purged}", params={"purge": "true"}).status_code == 200
    del one.videos[purged]
    wait_for(cluster.holds_what_it_should, "the worker does not go on")
    one.assert_all_identical()


def test_a_gateway_that_is_to_end_says_so_and_finishes_what_it_has_begun(cluster: Processes) -> None:
    one, other = cluster.gateways
    assert other.terminate() == 0
    other.environment = other.environment | {"REELSTORE_DRAIN_SECONDS": "1.5"}
    other.start()
    begun, statuses = threading.Event(), list[int]()

    def store() -> None:
        body = slowly(film(10, 200 * CHUNK), begun, seconds=0.01)
        answer = httpx.post(f"{other.url}/api/v1/videos", params={"name": "v.mp4"}, content=body, timeout=60)
        statuses.append(answer.status_code)

    uploading = threading.Thread(target=store)
    uploading.start()
    assert begun.wait(WAIT_SECONDS)
    other.process.send_signal(signal.SIGTERM)
    wait_for(lambda: other.http.get("/readyz").status_code == 503, "it still says that it is ready", seconds=10)
    assert other.http.get("/api/v1/videos").status_code == 200  # whoever has not noticed yet is served
    assert one.http.get("/readyz").status_code == 200
    assert other._ended() == 0
    uploading.join(WAIT_SECONDS)
    assert statuses == [201]


def test_a_worker_without_a_shared_database_says_what_to_do(tmp_path: Path) -> None:
    ended = reelstore("worker", "--data", str(tmp_path))
    assert ended.returncode == 1
    assert "postgresql://" in ended.stderr
    assert "Traceback" not in ended.stderr
