"""Reading the same bytes from the gateway and from nginx: one stream, and 32 at the same time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from benchmarks import gateway, machine, nginx, wire
from benchmarks.comparison import Comparison, Effort, alternately, compared

BAR = 0.5
READERS = 32
SIZE_BYTES = 1024 * machine.MIB
SHARED_BYTES = 256 * machine.MIB
DISTINCT_BYTES = 64 * machine.MIB


def measure(effort: Effort) -> list[Comparison]:
    """Return three lines, in MB per second; none where there is no nginx."""
    if nginx.PROGRAM is None:
        return []
    size_bytes = effort.scaled(SIZE_BYTES)
    shared_bytes = effort.scaled(SHARED_BYTES)
    distinct_bytes = effort.scaled(DISTINCT_BYTES)
    with gateway.scratch_folder() as folder, nginx.running(folder) as reference, gateway.running() as served:
        ours, theirs = [], []
        sizes = [size_bytes, shared_bytes, *[distinct_bytes] * READERS]
        for number, size in enumerate(sizes):
            content = machine.random_bytes(size, seed=number)
            ours.append(served.store(f"video{number}", content))
            theirs.append(reference.store(f"video{number}", content))
        served.wait_until_quiet()
        _require_the_same(ours[0], theirs[0])
        cases: list[tuple[str, Callable[[Sequence[wire.Site]], float]]] = [
            (f"one reader of {size_bytes // machine.MIB} MiB", lambda sites: _one(sites[0])),
            (
                f"{READERS} readers of the same {shared_bytes // machine.MIB} MiB",
                lambda sites: _many([sites[1]] * READERS),
            ),
            (f"{READERS} readers of {distinct_bytes // machine.MIB} MiB of their own", lambda sites: _many(sites[2:])),
        ]
        lines = []
        for what, rate in cases:
            rate(ours)  # once each uncounted: what is measured is reading from the page cache
            rate(theirs)
            found = alternately(effort, partial(rate, ours), partial(rate, theirs))
            lines.append(compared(what, "MB/s", *found, bar=BAR))
        return lines


def _one(site: wire.Site) -> float:
    machine.touch_memory(machine.MIB * 512)
    began = time.perf_counter()
    return wire.download(site) / (time.perf_counter() - began) / 1e6


def _many(sites: Sequence[wire.Site]) -> float:
    machine.touch_memory(machine.MIB * 512)
    size_bytes, seconds = wire.download_at_once(sites)
    return size_bytes / seconds / 1e6


def _require_the_same(ours: wire.Site, theirs: wire.Site) -> None:
    if wire.fingerprint(ours) != wire.fingerprint(theirs):
        raise wire.AnswerError("the gateway gives other bytes than nginx")
