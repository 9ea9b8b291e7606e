"""The time to the first byte of a random range, as a player that seeks has it, against nginx."""

from __future__ import annotations

import random
from collections import defaultdict
from functools import partial

from benchmarks import gateway, machine, nginx, wire
from benchmarks.comparison import Comparison, Effort, alternately, compared

SIZE_BYTES = 1024 * machine.MIB
RANGE_BYTES = 256 * 1024
REQUESTS = 800


def measure(effort: Effort) -> list[Comparison]:
    """Return the median and the 99th percentile in milliseconds; none where there is no nginx."""
    if nginx.PROGRAM is None:
        return []
    content = machine.random_bytes(effort.scaled(SIZE_BYTES), seed=7)
    requests = effort.scaled(REQUESTS)
    taken: defaultdict[wire.Site, list[list[float]]] = defaultdict(list)

    def measured(site: wire.Site) -> float:
        runs = taken[site]
        # The run's number is the seed: both sides are asked for the same ranges.
        runs.append(_first_byte_milliseconds(site, len(content), requests, seed=len(runs)))
        return runs[-1][requests // 2]

    with gateway.scratch_folder() as folder, nginx.running(folder) as reference, gateway.running() as served:
        ours, theirs = served.store("video", content), reference.store("video", content)
        served.wait_until_quiet()
        for site in (ours, theirs):  # once uncounted: both read from the page cache afterwards
            wire.download(site)
        alternately(effort, partial(measured, ours), partial(measured, theirs))
    return [
        compared(f"{name} of {requests}", "ms", *([run[at] for run in taken[site]] for site in (ours, theirs)))
        for name, at in (("median", requests // 2), ("99th percentile", requests * 99 // 100))
    ]


def _first_byte_milliseconds(site: wire.Site, size_bytes: int, requests: int, *, seed: int) -> list[float]:
    """Return how long each request took to its first byte, in order of size."""
    drawn = random.Random(seed)
    client = wire.RangeClient(site)
    try:
        starts = [drawn.randrange(size_bytes - RANGE_BYTES) for _ in range(requests)]
        return sorted(client.first_byte_seconds(start, start + RANGE_BYTES) * 1e3 for start in starts)
    finally:
        client.close()
