"""How much memory the gateway takes for a large upload and its download."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import gateway, machine, wire
from benchmarks.comparison import Comparison, Effort

BAR_MB = 200.0
SIZE_BYTES = 4096 * machine.MIB
BLOCKS = 8
SMALL_BYTES = 16 * machine.MIB


def measure(effort: Effort) -> list[Comparison]:
    """Return what is resident before, at the peak of an upload and of a download, and how much that grew.

    Measured once, whatever the number of runs: the kernel notes the peak, so that no sample misses it.
    """
    size_bytes = effort.scaled(SIZE_BYTES)
    size = f"{size_bytes // machine.MIB:,} MiB"
    content = machine.random_bytes(size_bytes // BLOCKS, seed=3)
    with gateway.running() as served:
        wire.download(served.store("small", machine.random_bytes(SMALL_BYTES, seed=4)))  # imports and first buffers
        before = machine.resident_bytes(served.pid)
        sites: list[wire.Site] = []
        uploading = _peak_bytes(served.pid, lambda: sites.append(served.store("large", content, times=BLOCKS)))
        downloading = _peak_bytes(served.pid, lambda: wire.download(sites[0]))
        after = machine.resident_bytes(served.pid)
    return [
        Comparison("before, with one small video stored", "MB", before / 1e6),
        Comparison(f"peak of an upload of {size}", "MB", uploading / 1e6),
        Comparison(f"growth by an upload of {size}", "MB", (uploading - before) / 1e6, bar=BAR_MB, at_most=True),
        Comparison(f"peak of its download, {size}", "MB", downloading / 1e6),
        Comparison(f"growth by its download, {size}", "MB", (downloading - before) / 1e6),
        Comparison("afterwards", "MB", after / 1e6),
    ]


def _peak_bytes(pid: int, action: Callable[[], object]) -> int:
    machine.forget_peak(pid)
    action()
    return machine.peak_resident_bytes(pid)
