"""Every limit of a node; `docs/operations.md` lists them."""

from __future__ import annotations

CONCURRENT_REQUESTS_MAX = 512
"""Beyond it the answer is 503, and the gateway goes elsewhere."""

READ_MEMORY_BYTES = 256 * 1024**2
"""Of shards on their way out; who wants more waits its turn."""

WRITE_PIECE_BYTES = 1024**2
"""Of a body before it is written: what a put takes of memory."""

BODY_IDLE_TIMEOUT_SECONDS = 60.0
"""Without one byte of a body that is still expected."""

SEND_PIECE_BYTES = 512 * 1024
SEND_IDLE_TIMEOUT_SECONDS = 60.0
"""Without a gateway taking a piece of an answer off the socket."""

FRAME_ENTRIES = 512
"""Of a listing, in one frame."""

NONCES_MAX = 1_000_000
"""Remembered within the window of time; beyond it the older half of the window closes early."""
