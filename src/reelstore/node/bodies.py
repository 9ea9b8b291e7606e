"""Bodies of requests to a node: read with a limit in time and size, and proved to be the ones that were signed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from blake3 import blake3
from starlette.types import Receive

from reelstore.domain.errors import InvalidInput, ServerUnavailable
from reelstore.node.gate import Admitted
from reelstore.node.limits import BODY_IDLE_TIMEOUT_SECONDS, WRITE_PIECE_BYTES
from reelstore.storage.node.wire import JSON_BODY_BYTES_MAX


async def proved_pieces(receive: Receive, admitted: Admitted) -> AsyncIterator[bytes]:
    """Yield a body in pieces of about a mebibyte; after the last one it is proved, or an error is raised.

    Raises:
        ServerUnavailable: it broke off, stood still, or is not the one that was signed; a retry can help.
    """
    hasher, pieces, size_bytes, received_bytes, more = blake3(), [], 0, 0, True
    while more:
        try:
            async with asyncio.timeout(BODY_IDLE_TIMEOUT_SECONDS):
                message = await receive()
        except TimeoutError:
            raise _broken(f"no byte of the body came for {BODY_IDLE_TIMEOUT_SECONDS:g} s") from None
        if message["type"] == "http.disconnect":
            raise _broken("the body broke off")
        piece, more = message.get("body", b""), message.get("more_body", False)
        received_bytes += len(piece)
        if received_bytes > admitted.length_bytes:
            raise _broken("the body is longer than was signed")
        hasher.update(piece)
        pieces.append(piece)
        size_bytes += len(piece)
        if more and size_bytes >= WRITE_PIECE_BYTES:
            yield b"".join(pieces)
            pieces, size_bytes = [], 0
    if hasher.hexdigest() != admitted.content:
        raise _broken("the body is not the one that was signed: it was altered on its way")
    if size_bytes:
        yield b"".join(pieces)


async def document(receive: Receive, admitted: Admitted) -> Mapping[str, Any]:
    """Return a small body that is a JSON object.

    Raises:
        InvalidInput: it is none, or too large.
        ServerUnavailable: see `proved_pieces`.
    """
    if admitted.length_bytes > JSON_BODY_BYTES_MAX:
        raise InvalidInput(f"the body has more than {JSON_BODY_BYTES_MAX} bytes", field="body")
    body = b"".join([piece async for piece in proved_pieces(receive, admitted)])
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidInput("the body is no JSON", field="body") from None
    if not isinstance(found, dict):
        raise InvalidInput("the body is no JSON object", field="body")
    return found


def _broken(message: str) -> ServerUnavailable:
    return ServerUnavailable(message, server="")
