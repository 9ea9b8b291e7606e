"""Bodies: bytes of unknown length that are read once, into the reader's own memory."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Protocol

from reelstore.storage.interface import ByteString


class Body(Protocol):
    """Give bytes in order, each once."""

    async def read_into(self, memory: memoryview) -> int:
        """Put what comes next into memory, as much as there is or less.

        Returns:
            how many bytes there are now at its beginning; 0 when the body has ended.
        """
        ...


class PiecedBody:
    """Give the bytes of pieces that come from elsewhere, each valid until the next is asked for."""

    def __init__(self, pieces: AsyncIterable[ByteString]) -> None:
        self._pieces = aiter(pieces)
        self._piece = memoryview(b"")
        self._begun = False

    @property
    def is_used_up(self) -> bool:
        """Say whether there was a piece, and nothing of it is left: the next read asks for another one."""
        return self._begun and not self._piece.nbytes

    async def read_into(self, memory: memoryview) -> int:
        """See `Body`. Raises what the pieces raise."""
        while not self._piece.nbytes:
            piece = await anext(self._pieces, None)
            if piece is None:
                return 0
            self._piece = memoryview(piece)
            self._begun = True
        count = min(memory.nbytes, self._piece.nbytes)
        memory[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        return count
