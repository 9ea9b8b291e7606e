"""Request bodies: streams of any length, and small JSON documents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError

from reelstore.chunkstore.body import PiecedBody
from reelstore.domain.errors import IncompleteBody, TooLarge
from reelstore.web.errors import InvalidRequest, UnsupportedMediaType
from reelstore.web.limits import BODY_IDLE_TIMEOUT_SECONDS, JSON_BODY_BYTES_MAX
from reelstore.web.media_types import essence
from reelstore.web.receiving import RECEIVE, BodyReceiver

Model = TypeVar("Model", bound=BaseModel)

_JSON_TYPES = ("application/json", "application/merge-patch+json")


async def body_pieces(
    request: Request, *, idle_timeout_seconds: float = BODY_IDLE_TIMEOUT_SECONDS
) -> AsyncGenerator[bytes, None]:
    """Yield the body as it arrives, unchanged.

    The first iteration is what answers `Expect: 100-continue`: whatever is refused before it costs the client no
    byte of the body.

    Raises:
        IncompleteBody: the client left, or sent nothing for too long; a retry can help.
    """
    while True:
        try:
            async with asyncio.timeout(idle_timeout_seconds):
                message = await request.receive()
        except TimeoutError:
            raise _stalled(idle_timeout_seconds) from None
        if message["type"] == "http.disconnect":
            raise _left()
        if piece := message.get("body", b""):
            yield piece
        if not message.get("more_body", False):
            return


class RequestBody:
    """A request's body as it arrives, put straight into its reader's memory where its length was announced.

    The first read is what answers `Expect: 100-continue`; see `body_pieces`.
    """

    def __init__(self, request: Request, *, idle_timeout_seconds: float = BODY_IDLE_TIMEOUT_SECONDS) -> None:
        self._request = request
        self._idle_timeout_seconds = idle_timeout_seconds
        self._parsed = PiecedBody(body_pieces(request, idle_timeout_seconds=idle_timeout_seconds))
        self._rest: BodyReceiver | None = None

    async def read_into(self, memory: memoryview) -> int:
        """See `Body`.

        Raises:
            IncompleteBody: the client left, or sent nothing for too long; a retry can help.
        """
        if self._rest is None and self._parsed.is_used_up:
            # The parser has handed over what came with the headers; what is left can do without it.
            self._rest = self._request.scope.get("extensions", {}).get(RECEIVE, lambda: None)()
        if self._rest is None:
            return await self._parsed.read_into(memory)
        if not self._rest.left_bytes:
            return 0
        count = await self._rest.read_into(memory, idle_timeout_seconds=self._idle_timeout_seconds)
        if not count:
            raise _left() if self._rest.is_over else _stalled(self._idle_timeout_seconds)
        return count


def _left() -> IncompleteBody:
    return IncompleteBody("the connection closed before the end of the body")


def _stalled(seconds: float) -> IncompleteBody:
    return IncompleteBody(f"no byte of the body arrived for {seconds:g} seconds")


def refuse_encoded_body(request: Request) -> None:
    """Refuse a compressed body: what is stored is what was sent, and no client means its gzip to be the video.

    Raises:
        UnsupportedMediaType: `Content-Encoding` names a coding (RFC 9110, section 8.4); a retry does not help.
    """
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in {"", "identity"}:
        raise UnsupportedMediaType(
            f"bodies are read as they are, without Content-Encoding {coding!r}", accept=["identity"]
        )


def announced_length_bytes(request: Request) -> int | None:
    """Return `Content-Length`, which the HTTP parser has checked, or None for a chunked body."""
    length = request.headers.get("content-length")
    return None if length is None or not length.isascii() or not length.isdigit() else int(length)


def json_body(model: type[Model], *, required: bool = True) -> object:
    """Make a dependency that reads a JSON document of bounded size into the model, strictly.

    Where it is not required, no body at all is the empty document.
    """

    async def read(request: Request) -> Model:
        refuse_encoded_body(request)
        if essence(request.headers.get("content-type", "application/json")) not in _JSON_TYPES:
            raise UnsupportedMediaType("the body must be JSON", accept=_JSON_TYPES)
        document = await _small_body(request, JSON_BODY_BYTES_MAX)
        try:
            return model.model_validate_json(document if document or required else b"{}")
        except ValidationError as error:
            errors = [
                {"field": ".".join(map(str, item["loc"])) or "body", "problem": item["msg"]}
                for item in error.errors(include_url=False, include_context=False, include_input=False)
            ]
            first = errors[0]
            raise InvalidRequest(f"{first['field']}: {first['problem']}", errors=errors) from None

    return Depends(read)


def json_request_body(model: type[BaseModel], example: dict[str, object], *, required: bool = True) -> dict[str, Any]:
    """Describe for OpenAPI what `json_body` reads."""
    content = {"schema": model.model_json_schema(), "example": example}
    return {"requestBody": {"required": required, "content": dict.fromkeys(_JSON_TYPES, content)}}


async def _small_body(request: Request, bytes_max: int) -> bytes:
    """Return the whole body, or raise `TooLarge` as soon as it is known to be larger."""
    document = bytearray()
    if (announced_length_bytes(request) or 0) <= bytes_max:
        async for piece in body_pieces(request):
            document += piece
            if len(document) > bytes_max:
                break
        else:
            return bytes(document)
    raise TooLarge(f"the body has more than {bytes_max} bytes", limit=bytes_max)
