# ruff: noqa: T201 - a command prints
"""A cluster of processes on this machine, shaped as `deploy/compose.yaml` is: `python -m tests.local_cluster --help`.

PostgreSQL (from a wheel), four nodes in two zones, two gateways and a worker. Everything lies in one new folder below
the system's temporary one, and is gone when this ends.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from reelstore.client import Change, Client
from tests.postgres import Postgres

GATEWAYS = 2
ZONES = {1: "left", 2: "left", 3: "right", 4: "right"}
READY_SECONDS_MAX = 60.0
REELSTORE = (sys.executable, "-c", "from reelstore.cli.app import main; main()")


class NotStartedError(Exception):
    """Say in one line why the cluster is not there."""


@dataclass
class LocalCluster:
    """All of its processes, by name."""

    folder: Path
    database_url: str
    port: int
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self) -> None:
        """Start everything, and take the nodes into the ring.

        Raises:
            NotStartedError: a process ended, or nothing was ready in time.
        """
        secret = self.folder / "node.secret"
        secret.write_text(secrets.token_hex(32))
        secret.chmod(0o600)
        for number in ZONES:
            name, port = f"node{number}", self.port + 100 + number
            self._run(name, "node", "--data", str(self.folder / name), "--listen", f"127.0.0.1:{port}", secret=secret)
            self._wait_for(name, f"http://127.0.0.1:{port}/healthz")
        for number in range(1, GATEWAYS + 1):
            name, port = f"gateway{number}", self.port + number - 1
            words = ("serve", "--no-background", "--port", str(port), "--data", str(self.folder / name))
            self._run(name, *words, secret=secret)
            self._wait_for(name, f"http://127.0.0.1:{port}/healthz")
        self._run("worker", "worker", "--data", str(self.folder / "worker"), secret=secret)
        with Client(f"http://127.0.0.1:{self.port}") as client:
            nodes = [
                Change("add", f"node{number}", url=f"http://127.0.0.1:{self.port + 100 + number}", zone=zone)
                for number, zone in ZONES.items()
            ]
            client.apply_plan(client.plan_changes(nodes).id, accept_warnings=True)
        for number in range(1, GATEWAYS + 1):
            self._wait_for(f"gateway{number}", f"http://127.0.0.1:{self.port + number - 1}/readyz")

    def _run(self, name: str, *words: str, secret: Path) -> None:
        variables = {
            "REELSTORE_DATABASE_URL": self.database_url,
            "REELSTORE_NODE_SECRET_FILE": str(secret),
            "REELSTORE_FIRST_SERVERS": "0",
        }
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [*REELSTORE, *words], env=os.environ | variables, stdout=log, stderr=log
            )

    def _wait_for(self, name: str, url: str) -> None:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while True:
            try:
                if httpx.get(url).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            said = (self.folder / f"{name}.log").read_text(errors="replace").strip()
            if self.processes[name].poll() is not None:
                raise NotStartedError(f"{name} ended: {said.rpartition(chr(10))[2]}")
            if time.monotonic() > deadline:
                raise NotStartedError(f"{name} is not ready after {READY_SECONDS_MAX:.0f} s: {said}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End everything, gateways first."""
        for process in reversed(self.processes.values()):
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            process.wait()


def main() -> int:
    """Run it until a signal comes; return 0, or 1 when it does not start."""
    parser = argparse.ArgumentParser(prog="python -m tests.local_cluster", description=__doc__)
    parser.add_argument("--port", type=int, default=5000, metavar="N", help="of the first gateway (5000)")
    options = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with tempfile.TemporaryDirectory(prefix="reelstore-cluster-") as folder, Postgres(fsync="on") as postgres:
        cluster = LocalCluster(Path(folder), postgres.url(postgres.new_database()), options.port)
        print("starting PostgreSQL, 4 nodes, 2 gateways and a worker ...", flush=True)
        try:
            cluster.start()
        except NotStartedError as error:
            print(f"reelstore: {error}", file=sys.stderr)
            return 1
        else:
            for name, process in cluster.processes.items():
                print(f"  {name:9} process {process.pid}, says what it does in {folder}/{name}.log")
            print(f"gateways: http://127.0.0.1:{options.port} and http://127.0.0.1:{options.port + 1}")
            print("'kill -9' any of them and see. Ctrl-C ends all, and deletes what was stored.", flush=True)
            ended.wait()
        finally:
            cluster.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
