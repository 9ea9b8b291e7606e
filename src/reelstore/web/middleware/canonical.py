"""Requests brought into the form that routes expect."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reelstore.domain.errors import InvalidInput, TooLarge
from reelstore.web.problems import problem_response
from reelstore.web.query_strings import canonical_query_string

HEAD_ONLY = "reelstore.head_only"
"""The key in an ASGI scope that tells a route of a GET that only the headers will be sent."""


class CanonicalRequests:
    """Refuse query strings that are not UTF-8, and answer HEAD as GET without the body.

    A route that would do much work for a body that nobody gets looks at `HEAD_ONLY`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI asks."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            scope = {**scope, "query_string": canonical_query_string(scope["query_string"])}
        except (InvalidInput, TooLarge) as error:
            await problem_response(error, scope)(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            await self._app({**scope, "method": "GET", HEAD_ONLY: True}, receive, _without_body(send))
        else:
            await self._app(scope, receive, send)


def _without_body(send: Send) -> Send:
    """Pass on everything but the body's bytes."""

    async def headers_only(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return headers_only
