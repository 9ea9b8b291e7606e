"""Moving shards to a new server and off a drained one, against a raw copier of the same files; and reads meanwhile."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import gateway, machine, wire
from benchmarks.comparison import Comparison, Effort, compared
from benchmarks.raw_writers import copy_files
from reelstore.services.moves import AT_ONCE

RATE_BAR = 0.5
READS_BAR = 3.0
CONTENT_BYTES = 512 * machine.MIB
TIMES = 4
COPIES = 2
SERVERS = 3
READERS = 4
RANGE_BYTES = 256 * 1024
POLL_SECONDS = 0.02


def measure(effort: Effort) -> list[Comparison]:
    """Return the rates of moving in MB/s, and the 99th percentile of the time to a range's first byte in ms."""
    content = machine.random_bytes(effort.scaled(CONTENT_BYTES), seed=11)
    runs = [
        _run(content, rest_seconds=2 if effort.quick else 10, copy_first=run % 2 == 0) for run in range(effort.runs)
    ]
    copied = [run.copied for run in runs]
    return [
        compared("add a fourth server", "MB/s", [run.added for run in runs], copied, bar=RATE_BAR),
        compared(f"drain one beside {READERS} readers", "MB/s", [run.drained for run in runs], copied),
        compared(
            "99th percentile of reads meanwhile",
            "ms",
            [run.read_meanwhile for run in runs],
            [run.read_at_rest for run in runs],
            bar=READS_BAR,
            at_most=True,
        ),
    ]


@dataclass(frozen=True)
class _Run:
    """What one cluster showed: MB/s, and milliseconds for reads."""

    copied: float
    added: float
    drained: float
    read_at_rest: float
    read_meanwhile: float


def _run(content: bytearray, *, rest_seconds: int, copy_first: bool) -> _Run:
    size_bytes = len(content) * TIMES
    with gateway.running(copies=COPIES) as served, gateway.scratch_folder() as scratch:
        site = served.store("video", content, times=TIMES)
        served.wait_until_quiet()
        capacity_bytes = wire.request(served.port, "GET", "/api/v1/servers/disk1")["capacity_bytes"]
        new = {"name": "disk4", "url": (scratch / "disk4").as_uri(), "capacity_bytes": capacity_bytes}
        rates: dict[str, float] = {}
        for side in ("copied", "added") if copy_first else ("added", "copied"):
            machine.touch_memory(size_bytes)
            if side == "copied":
                rates[side] = _copy(served.data, scratch / "raw", size_bytes * COPIES // (SERVERS + 1))
            else:
                rates[side] = _moved(served, "POST", "/servers", new)
        served.wait_until_quiet()
        with _readers(site, size_bytes) as at_rest:
            time.sleep(rest_seconds)
        machine.touch_memory(size_bytes)
        with _readers(site, size_bytes) as meanwhile:
            rates["drained"] = _moved(served, "PATCH", "/servers/disk1", {"state": "draining"})
    return _Run(
        **rates,
        read_at_rest=_percentile_milliseconds(at_rest),
        read_meanwhile=_percentile_milliseconds(meanwhile),
    )


def _moved(served: gateway.Gateway, method: str, path: str, document: Any) -> float:
    """Change the servers, and return the MB per second at which all was moved that had to be."""
    wire.request(served.port, method, f"/api/v1{path}?accept_warnings=true", document)
    began = time.perf_counter()
    while True:
        status = wire.request(served.port, "GET", "/api/v1/rebalance")
        if status["partitions_done"] == status["partitions_total"]:
            return float(status["bytes_moved"]) / (time.perf_counter() - began) / 1e6
        time.sleep(POLL_SECONDS)


def _copy(data: Path, target: Path, size_bytes: int) -> float:
    """Copy shards of that many bytes from all servers, and return the MB per second."""
    files = sorted(path for path in (data / "servers").glob("*/shards/**/*") if path.is_file())
    random.Random(0).shuffle(files)
    chosen, chosen_bytes = [], 0
    while chosen_bytes < size_bytes:
        chosen.append(files.pop())
        chosen_bytes += chosen[-1].stat().st_size
    return chosen_bytes / copy_files(chosen, target, at_once=AT_ONCE) / 1e6


@contextmanager
def _readers(site: wire.Site, size_bytes: int) -> Iterator[list[float]]:
    """Have processes read random ranges while the block runs; afterwards the list holds the seconds of each request."""
    processes = multiprocessing.get_context("fork")
    ended = processes.Event()
    results: Any = processes.SimpleQueue()

    def read(seed: int) -> None:
        drawn, taken = random.Random(seed), list[float]()
        client = wire.RangeClient(site)
        while not ended.is_set():
            start = drawn.randrange(size_bytes - RANGE_BYTES)
            taken.append(client.first_byte_seconds(start, start + RANGE_BYTES))
        client.close()
        results.put(taken)

    readers = [processes.Process(target=read, args=(seed,)) for seed in range(READERS)]
    for reader in readers:
        reader.start()
    seconds: list[float] = []
    try:
        yield seconds
    finally:
        ended.set()
        for _ in readers:
            seconds += results.get()
        for reader in readers:
            reader.join()


def _percentile_milliseconds(seconds: Sequence[float]) -> float:
    return sorted(seconds)[len(seconds) * 99 // 100] * 1e3
