"""The machine under the measurements: its memory, made ready before each side, and what processes take of it."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import numpy as np

MIB = 1024 * 1024
SPARE_PART = 0.5
"""How much of the free memory may be touched at most: the rest is left to what runs."""


def memory_bytes() -> int:
    """Return how much memory the machine has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def touch_memory(size_bytes: int) -> None:
    """Write to that much fresh memory and give it back to the kernel.

    A virtual machine of this kind hands free memory to its host, and the first write to a page after that waits for
    the host: up to five times slower. Whoever is measured first would pay for it, so each side is preceded by this.
    In huge pages, because only those are what the page cache takes next: after touching small ones, 512 MiB of files
    cost 0.7 to 1.3 s of system time, after huge ones 0.2 s, as much as after deleting files of that size.
    """
    size_bytes = min(size_bytes, int(_free_bytes() * SPARE_PART))
    with mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        np.frombuffer(memory, dtype=np.uint8)[:: mmap.PAGESIZE] = 1


def random_bytes(size_bytes: int, *, seed: int) -> bytearray:
    """Return bytes that nothing can deduplicate or compress, the same for the same seed."""
    return bytearray(np.random.default_rng(seed).bytes(size_bytes))


def resident_bytes(pid: int) -> int:
    """Return how much memory a process has in use now."""
    return _status_bytes(pid, "VmRSS")


def peak_resident_bytes(pid: int) -> int:
    """Return the most that a process had in use since `forget_peak`, as the kernel counts it."""
    return _status_bytes(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    """Have the kernel begin anew to note the most that a process has in use."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used, its own and the kernel's for it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _status_bytes(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise LookupError(f"/proc/{pid}/status has no {field}")


def _free_bytes() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
