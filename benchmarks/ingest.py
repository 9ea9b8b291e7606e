"""Durable ingest over HTTP with 1, 2 and 3 copies, against raw writers of the same files."""

from __future__ import annotations

import time

from benchmarks import gateway, machine
from benchmarks.comparison import Comparison, Effort, alternately, compared
from benchmarks.raw_writers import write_copies

BAR = 0.8
SIZE_BYTES = 1024 * machine.MIB
FIRST_BYTES = 16 * machine.MIB


def measure(effort: Effort) -> list[Comparison]:
    """Return a line for each number of copies, in MB of video per second."""
    size_bytes = effort.scaled(SIZE_BYTES)
    content, first = machine.random_bytes(size_bytes, seed=1), machine.random_bytes(FIRST_BYTES, seed=2)
    lines = []
    for copies in (1, 2, 3):
        touched_bytes = size_bytes * (copies + 1)  # the page cache of all copies, and buffers

        def ours(copies: int = copies, touched_bytes: int = touched_bytes) -> float:
            with gateway.running(copies=copies) as served:
                served.store("first.bin", first)  # imports, and the first survey of a new cluster
                served.wait_until_quiet()
                machine.touch_memory(touched_bytes)
                began = time.perf_counter()
                served.store("video.bin", content)
                return size_bytes / (time.perf_counter() - began) / 1e6

        def raw(copies: int = copies, touched_bytes: int = touched_bytes) -> float:
            with gateway.scratch_folder() as folder:
                machine.touch_memory(touched_bytes)
                return size_bytes / write_copies(folder, content, copies) / 1e6

        found = alternately(effort, ours, raw)
        lines.append(compared(f"{copies} {'copy' if copies == 1 else 'copies'}", "MB/s", *found, bar=BAR))
    return lines
