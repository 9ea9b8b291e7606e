"""A gateway in a process of its own, as users start it, and rough ways to end it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

WAIT_SECONDS = 60.0
"""After which what should come about is said not to: a minute, as the project promises."""

REELSTORE = (sys.executable, "-c", "from reelstore.cli.app import main; main()")
"""The command, from the same environment as the tests."""

CHUNK = 64 * 1024
ENVIRONMENT = {
    "REELSTORE_CHUNK_SIZE_BYTES": str(CHUNK),
    "REELSTORE_PARTITION_BITS": "6",
    "REELSTORE_OPEN_FILE_SECONDS": "2",
    "REELSTORE_EXPIRY_SECONDS": "0.5",
    "REELSTORE_PROBE_SECONDS": "0.5",
    "REELSTORE_SURVEY_SECONDS": "1",
    "REELSTORE_GRACEFUL_SECONDS": "10",
}
"""What passes in days by default passes here in seconds."""


@dataclass
class Gateway:
    """A running process; `videos` maps the ids of acknowledged videos to their bytes, over all restarts."""

    data: Path
    environment: dict[str, str] = field(default_factory=dict)
    videos: dict[str, bytes] = field(default_factory=dict)
    process: subprocess.Popen[str] = field(init=False)
    http: httpx.Client = field(init=False)

    # ------------------------------------------------------------------ life

    def start(self) -> None:
        self.process = subprocess.Popen(
            [*REELSTORE, "serve", "--data", str(self.data), "--port", "0"],
            env=os.environ | ENVIRONMENT | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        said = []
        for line in self.process.stdout:
            said.append(line)
            if "listens on http://" in line:
                break
        else:
            self.process.wait(WAIT_SECONDS)
            self.process.stdout.close()
            raise AssertionError("it ended instead of listening:\n" + "".join(said))
        self.url = line.split("listens on ")[1].strip()
        self.http = httpx.Client(base_url=self.url, timeout=30)
        self._draining = threading.Thread(target=_drain, args=[self.process.stdout], daemon=True)
        self._draining.start()

    def kill(self) -> None:
        """End it as a power cut does."""
        self.process.kill()
        self._ended()

    def terminate(self) -> int:
        """Ask it to end, and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self._ended()

    def _ended(self) -> int:
        status = self.process.wait(WAIT_SECONDS)
        self.http.close()
        self._draining.join(WAIT_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    # ------------------------------------------------------------------ videos

    def store(self, data: bytes, *, name: str = "video.mp4") -> str:
        answer = self.http.post("/api/v1/videos", params={"name": name}, content=data)
        assert answer.status_code == 201, answer.text
        self.videos[answer.json()["id"]] = data
        return str(answer.json()["id"])

    def read(self, video: str) -> bytes:
        answer = self.http.get(f"/api/v1/videos/{video}/content")
        assert answer.status_code == 200, answer.text
        return answer.content

    def listed(self) -> dict[str, dict[str, Any]]:
        return {video["id"]: video for video in self.http.get("/api/v1/videos?limit=200").json()["items"]}

    def assert_all_identical(self) -> None:
        for video, data in self.videos.items():
            assert self.read(video) == data, video

    def assert_all_whole(self) -> None:
        """Wait until every shard of every video is where it should be, and good."""
        for video in self.videos:
            wait_for(partial(self._is_whole, video), f"video {video} is not whole")

    def _is_whole(self, video: str) -> bool:
        checked = self.http.post(f"/api/v1/videos/{video}/verify").json()
        return bool(checked["shards_ok"] == checked["shards_total"])

    # ------------------------------------------------------------------ servers

    def folder(self, number: int) -> Path:
        return self.data / "servers" / f"disk{number}"

    def shards(self, number: int) -> list[Path]:
        """Return the files of all shards of a server, in order of name."""
        return sorted((self.folder(number) / "shards").glob(f"*/*/{'[0-9a-f]' * 64}.*.*.*"))

    def stored_bytes(self) -> int:
        """Return what all shards on all disks take, counted by looking."""
        return sum(map(size_bytes, (shard for number in (1, 2, 3) for shard in self.shards(number))))

    def health(self) -> dict[str, Any]:
        return dict(self.http.get("/api/v1/health").json())


def size_bytes(shard: Path) -> int:
    try:
        return shard.stat().st_size
    except FileNotFoundError:  # deleted since it was listed
        return 0


def _drain(lines: Iterable[str]) -> None:
    for _ in lines:
        pass


def wait_for(holds: Callable[[], bool], otherwise: str, *, seconds: float = WAIT_SECONDS) -> None:
    """Wait until something holds, looking often."""
    ends = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > ends:
            pytest.fail(f"{otherwise}, after {seconds:g} s")
        time.sleep(0.05)


@contextmanager
def a_gateway(folder: Path, **environment: str) -> Iterator[Gateway]:
    gateway = Gateway(folder / "data", environment)
    gateway.start()
    try:
        yield gateway
    finally:
        if gateway.process.poll() is None:
            gateway.kill()


def film(seed: int, size_bytes: int = 20 * CHUNK + 1) -> bytes:
    """Make bytes that no other seed gives."""
    return Random(seed).randbytes(size_bytes)


def slowly(data: bytes, begun: threading.Event, piece_bytes: int = CHUNK, seconds: float = 0.002) -> Iterator[bytes]:
    """Send a body piece by piece, like a client behind a slow line."""
    for start in range(0, len(data), piece_bytes):
        yield data[start : start + piece_bytes]
        begun.set()
        time.sleep(seconds)
