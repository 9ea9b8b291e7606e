"""Durable ingest of `erasure(4, 2)` against two copies on the same six servers, and the rates of coding itself."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable

from benchmarks import gateway, machine
from benchmarks.comparison import Comparison, Effort, alternately, compared
from reelstore.chunkstore.redundancy import digest_of, redundancy_of
from reelstore.domain.policy import Policy

BAR = 0.8
SIZE_BYTES = 1024 * machine.MIB
FIRST_BYTES = 16 * machine.MIB
CODED_BYTES = 2048 * machine.MIB
SERVERS = 6
SHAPES = ((4, 2), (8, 3))


def measure(effort: Effort) -> list[Comparison]:
    """Return a line for ingest, in MB of video per second, and lines for coding on one core."""
    size_bytes = effort.scaled(SIZE_BYTES)
    content, first = machine.random_bytes(size_bytes, seed=1), machine.random_bytes(FIRST_BYTES, seed=2)

    def ingest(*, coded: bool) -> float:
        settings = {"REELSTORE_FIRST_SERVERS": str(SERVERS)}
        with gateway.running(copies=2, settings=settings) as served:
            if coded:
                _make_default(served.port, {"name": "coded", "kind": "erasure", "k": 4, "m": 2, "default": True})
            served.store("first.bin", first)
            served.wait_until_quiet()
            machine.touch_memory(size_bytes * 3)
            began = time.perf_counter()
            served.store("video.bin", content)
            return size_bytes / (time.perf_counter() - began) / 1e6

    found = alternately(effort, lambda: ingest(coded=True), lambda: ingest(coded=False))
    return [
        compared("ingest, erasure(4, 2) against 2 copies", "MB/s", *found, bar=BAR),
        *(line for k, m in SHAPES for line in _coding(k, m, effort.scaled(CODED_BYTES))),
    ]


def _coding(k: int, m: int, amount_bytes: int) -> list[Comparison]:
    """Measure chunks of the usual size in memory, by processor time, with all checksums."""
    policy = Policy.erasure("coded", k, m)
    redundancy, size_bytes = redundancy_of(policy), policy.chunk_size_bytes
    chunk = machine.random_bytes(size_bytes, seed=3)
    digest = digest_of(chunk)
    shards = dict(enumerate(redundancy.encode(chunk, digest=digest)))
    degraded = {slot: shards[slot] for slot in range(m, k + m)}

    def rate(work: Callable[[], object]) -> float:
        times = max(1, amount_bytes // size_bytes)
        work()
        began = time.process_time()  # of this thread's processor, whoever else uses the machine
        for _ in range(times):
            work()
        return times * size_bytes / (time.process_time() - began) / 1e6

    works: dict[str, Callable[[], object]] = {
        "encode": lambda: redundancy.encode(chunk, digest=digest),
        "join the fragments of data": lambda: redundancy.decode(shards, digest=digest),
        f"decode with {m} of them lost": lambda: redundancy.decode(degraded, digest=digest),
    }
    return [Comparison(f"{policy}: {what}", "MB/s", rate(work)) for what, work in works.items()]


def _make_default(port: int, policy: dict[str, object]) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v1/policies",
        json.dumps(policy).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60):
        pass
