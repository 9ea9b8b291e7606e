"""Chunk buffers of a bounded number of bytes, used again so that the kernel need not clear new pages for each chunk."""

from __future__ import annotations

from collections import defaultdict

from reelstore.chunkstore.budget import MemoryBudget

IDLE_BYTES_MAX = 64 * 1024 * 1024
"""What is kept for the next upload while none runs."""


class BufferPool:
    """Lend buffers within a memory budget."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._idle: defaultdict[int, list[bytearray]] = defaultdict(list)
        self._idle_bytes = 0

    async def take(self, size_bytes: int, *, beside_bytes: int = 0) -> bytearray:
        """Lend a buffer of that size; its content is what it was.

        Args:
            size_bytes: of the buffer.
            beside_bytes: what is to be made from its content counts as lent with it; `give_back` is told the same.

        Raises:
            Overloaded: the budget stayed used up; a retry can help.
        """
        await self._budget.acquire(size_bytes + beside_bytes)
        if self._idle[size_bytes]:
            self._idle_bytes -= size_bytes
            return self._idle[size_bytes].pop()
        return bytearray(size_bytes)

    def give_back(self, buffer: bytearray, *, reusable: bool, beside_bytes: int = 0) -> None:
        """Return a buffer; one that a late put may still read must not be used again."""
        size_bytes = len(buffer)
        if reusable and self._idle_bytes + size_bytes <= IDLE_BYTES_MAX:
            self._idle[size_bytes].append(buffer)
            self._idle_bytes += size_bytes
        self._budget.release(size_bytes + beside_bytes)
