"""Real files of all sizes, stored in a gateway, and readers that compare every byte while the cluster changes."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import httpx

from reelstore.cli.demo_media import make, sample
from tests.probe.gateway import CHUNK, Gateway, wait_for

SIZES = (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 9_000_000)
"""In bytes: those at which something begins or ends, and the largest."""

REAL_VIDEOS = 3
READERS = 3
REST_SECONDS = 0.01
"""Between two reads of a reader, so that what is watched gets on too."""
UPLOADS_AT_ONCE = 4


def make_files(folder: Path, count: int, *, mean_bytes: int, seed: int) -> list[Path]:
    """Write files of the special sizes, some real videos, and for the rest random bytes of random sizes."""
    folder.mkdir()
    random = Random(seed)
    films = [replace(sample(number), duration_seconds=1.0) for number in range(REAL_VIDEOS)]
    files = [folder / film.name for film in films]
    for film, file in zip(films, files, strict=True):
        make(film, file)
    for number in range(count - len(files)):
        drawn = int(random.expovariate(1 / mean_bytes)) % SIZES[-1]
        file = folder / f"{number:03} – straße 🎬.mkv"
        file.write_bytes(random.randbytes(SIZES[number] if number < len(SIZES) else drawn))
        files.append(file)
    return files


@dataclass
class Library:
    """What was acknowledged: each video's file. Safe to add to while readers read."""

    gateway: Gateway
    files: dict[str, Path] = field(default_factory=dict)

    def store(self, file: Path) -> str:
        with file.open("rb") as body:
            answer = httpx.post(
                f"{self.gateway.url}/api/v1/videos", params={"name": file.name}, content=body, timeout=60
            )
        assert answer.status_code == 201, answer.text
        self.files[answer.json()["id"]] = file
        return str(answer.json()["id"])

    def store_all(self, files: list[Path]) -> None:
        with ThreadPoolExecutor(UPLOADS_AT_ONCE) as uploads:
            list(uploads.map(self.store, files))

    def size_bytes(self) -> int:
        return sum(file.stat().st_size for file in self.files.values())

    def assert_identical(self) -> None:
        with httpx.Client(base_url=self.gateway.url, timeout=60) as http, ThreadPoolExecutor(READERS) as readers:
            for wrong in readers.map(lambda video: compare(http, video, self.files[video], None), list(self.files)):
                assert wrong is None, wrong


def compare(http: httpx.Client, video: str, file: Path, wanted: tuple[int, int] | None) -> str | None:
    """Read a video, or the bytes `[start, stop)` of it, and say what is wrong; None if nothing is."""
    headers = {} if wanted is None else {"range": f"bytes={wanted[0]}-{wanted[1] - 1}"}
    answer = http.get(f"/api/v1/videos/{video}/content", headers=headers)
    if answer.status_code != (200 if wanted is None else 206):
        return f"{video} {wanted}: {answer.status_code} {answer.text[:500]}"
    with file.open("rb") as original:
        start, stop = wanted or (0, file.stat().st_size)
        original.seek(start)
        if answer.content != original.read(stop - start):
            return f"{video} {wanted}: other bytes than {file.name}"
    return None


class Readers:
    """Read whole videos and ranges of them, chosen at random, all the time."""

    def __init__(self, library: Library, *, seed: int) -> None:
        self._library = library
        self._stopped = threading.Event()
        self._down = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=[Random(seed + number)], daemon=True) for number in range(READERS)
        ]
        self._count = itertools.count()
        self.reads = 0
        self.wrong: list[str] = []

    @contextmanager
    def running(self) -> Iterator[Readers]:
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._stopped.set()
            for thread in self._threads:
                thread.join(60)

    @contextmanager
    def while_it_is_down(self) -> Iterator[None]:
        """Take broken connections for what they are while the gateway is killed and started again."""
        self._down.set()
        yield
        self._down.clear()

    def assert_all_was_identical(self) -> None:
        """Wait for another round of reads, and assert that none of all was ever wrong."""
        begun = self.reads
        wait_for(lambda: self.reads >= begun + 2 * READERS or bool(self.wrong), "nobody reads")
        assert self.wrong == []

    def _run(self, random: Random) -> None:
        while not self._stopped.wait(0.01):
            if self._down.is_set():
                continue
            with httpx.Client(base_url=self._library.gateway.url, timeout=60) as http:
                while not (self._stopped.wait(REST_SECONDS) or self._down.is_set()):
                    self._read(http, random)

    def _read(self, http: httpx.Client, random: Random) -> None:
        video = random.choice(list(self._library.files))
        file = self._library.files[video]
        size_bytes = file.stat().st_size
        wanted = None
        if size_bytes and random.random() < 0.8:
            start = random.randrange(size_bytes)
            wanted = (start, min(size_bytes, start + 1 + int(random.expovariate(1 / (4 * CHUNK)))))
        process = self._library.gateway.process
        try:
            found = compare(http, video, file, wanted)
        except httpx.TransportError as error:
            if self._down.is_set() or self._library.gateway.process is not process:
                return
            found = f"{video} {wanted}: {error!r}"
        if found is not None:
            self.wrong.append(found)
        self.reads = next(self._count)
