"""Receive what is left of a body into its reader's own memory.

The usual way of a body costs three copies and a message for each 256 KiB or less: from the kernel into the loop's
buffer, from there into bytes for the parser, which cuts out bytes for the app. Here the kernel's copy is the only one,
and the reader is woken when its memory is full.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.flow_control import FlowControl

RECEIVE = "reelstore.receive"
"""The extension of the ASGI scope: call it after a message with `more_body` for the `BodyReceiver` of what is left, or
None where the length was not announced. From then on the app asks it for the body, and not `receive`."""


class BodyReceiver(asyncio.BufferedProtocol):
    """Stand in for a connection's HTTP protocol while a body is read; at all other times that has it back, paused.

    Args:
        http: the connection's protocol, told of all but the bytes.
        transport: of the connection.
        flow: what pauses it.
        left_bytes: how much of the body is still to come.
        on_received: told how many bytes came, when the protocol has the connection back.
    """

    def __init__(
        self,
        http: asyncio.Protocol,
        transport: asyncio.Transport,
        flow: FlowControl,
        *,
        left_bytes: int,
        on_received: Callable[[int], None],
    ) -> None:
        self.left_bytes = left_bytes
        self._http = http
        self._transport = transport
        self._flow = flow
        self._on_received = on_received
        self._memory = memoryview(b"")
        self._filled_bytes = 0
        self._ended = asyncio.Event()

    @property
    def is_over(self) -> bool:
        """Say whether nothing more comes, because the connection is over."""
        return self._transport.is_closing()

    async def read_into(self, memory: memoryview, *, idle_timeout_seconds: float) -> int:
        """Fill memory with what comes next; it is written to until this returns or raises.

        Returns:
            the bytes received: fewer than there is memory for when the body ends, when the client leaves, and when it
            sends nothing for so long; 0 when that is so already.
        """
        if self.is_over or not self.left_bytes:
            return 0
        self._memory, self._filled_bytes = memory[: self.left_bytes], 0
        self._ended.clear()
        self._flow.pause_reading()
        self._transport.set_protocol(self)
        self._flow.resume_reading()  # begins to read in the way of the new protocol
        try:
            await self._filled(idle_timeout_seconds)
        finally:
            self._memory = memoryview(b"")
            if not self.is_over:
                self._flow.pause_reading()
                self._transport.set_protocol(self._http)
            self.left_bytes -= self._filled_bytes
            self._on_received(self._filled_bytes)
        return self._filled_bytes

    async def _filled(self, idle_timeout_seconds: float) -> None:
        before = -1
        while not self._ended.is_set() and self._filled_bytes > before:
            before = self._filled_bytes
            try:
                async with asyncio.timeout(idle_timeout_seconds):
                    await self._ended.wait()
            except TimeoutError:
                continue

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 -- as large as there is memory
        """Return where the next bytes go."""
        return self._memory[self._filled_bytes :]

    def buffer_updated(self, nbytes: int) -> None:
        """Count what came."""
        self._filled_bytes += nbytes
        if self._filled_bytes == len(self._memory):
            self._flow.pause_reading()
            self._ended.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the reading, and the protocol's work."""
        self._ended.set()
        self._http.connection_lost(exc)

    def eof_received(self) -> bool | None:
        """See the protocol."""
        return self._http.eof_received()

    def pause_writing(self) -> None:
        """See the protocol."""
        self._http.pause_writing()

    def resume_writing(self) -> None:
        """See the protocol."""
        self._http.resume_writing()
