"""Problems over HTTP (RFC 9457): the one place where an error of ours gets a status and a shape.

Each answer that is not a success has the media type `application/problem+json` and the fields `type`, `title`,
`status`, `detail`, `instance`, `request_id`, `retryable`, and the error's own data. `type` is the path of a page of
`docs/problems/`, which the gateway serves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response
from starlette.types import Scope

from reelstore.domain import errors
from reelstore.domain.errors import InvalidInput, ReelstoreError
from reelstore.web import errors as web_errors
from reelstore.web.errors import InvalidRequest, MethodNotAllowed, RangeNotSatisfiable, UnsupportedMediaType
from reelstore.web.ranges import unsatisfied_content_range

MEDIA_TYPE = "application/problem+json"
REQUEST_ID = "reelstore.request_id"
"""The key of the request's id in its ASGI scope."""

RETRY_AFTER_SECONDS = 2

STATUSES: Mapping[type[ReelstoreError], int] = {
    ReelstoreError: 500,
    errors.InvalidInput: 400,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.PreconditionFailed: 412,
    errors.TooLarge: 413,
    errors.IncompleteBody: 400,
    errors.Unavailable: 503,
    errors.InsufficientStorage: 507,
    errors.ChunkLost: 500,
    errors.StorageError: 502,
    errors.ServerUnavailable: 503,
    errors.ServerRefused: 409,
    errors.ServerFull: 507,
    errors.PlacementError: 500,
    errors.StaleRing: 503,
    errors.ConfigurationError: 500,
    web_errors.QueryTooLong: 414,
    web_errors.HeadTooLarge: 431,
    web_errors.MethodNotAllowed: 405,
    web_errors.UnsupportedMediaType: 415,
    web_errors.RangeNotSatisfiable: 416,
    web_errors.CrossSiteRequest: 403,
    web_errors.HostNotAllowed: 421,
    web_errors.MalformedRequest: 400,
}
"""An error has the status of the nearest class above it that is named here."""


def status_of(error: ReelstoreError | type[ReelstoreError]) -> int:
    """Return the HTTP status of an error."""
    kind = error if isinstance(error, type) else type(error)
    return next(STATUSES[base] for base in kind.__mro__ if base in STATUSES)


def describe(error: ReelstoreError, *, instance: str, request_id: str | None = None) -> dict[str, Any]:
    """Return the problem document: the registered members, ours, and the error's own data."""
    document: dict[str, Any] = {
        "type": f"/problems/{error.problem}",
        "title": error.title,
        "status": status_of(error),
        "detail": str(error) or error.title,
        "instance": instance,
        "request_id": request_id,
        "retryable": error.retryable,
    }
    for name, value in vars(error).items():
        if not name.startswith("_") and value not in (None, ""):
            document.setdefault(name, value)
    return document


def problem_response(error: ReelstoreError, scope: Scope) -> Response:
    """Answer a request with a problem."""
    document = describe(error, instance=scope["path"], request_id=scope.get(REQUEST_ID))
    # Escaped to ASCII, so that text which is no valid Unicode (a lone surrogate in a path) cannot break the answer.
    body = json.dumps(document, default=list).encode("ascii")
    headers = {"cache-control": "no-store"} | _headers(error)
    return Response(body, status_code=document["status"], headers=headers, media_type=MEDIA_TYPE)


def _headers(error: ReelstoreError) -> dict[str, str]:
    """Return the headers that HTTP asks for with this error."""
    if isinstance(error, MethodNotAllowed):
        return {"allow": ", ".join(error.allow)}
    if isinstance(error, UnsupportedMediaType):
        return (
            {"accept": ", ".join(error.accept)} if "identity" not in error.accept else {"accept-encoding": "identity"}
        )
    if isinstance(error, RangeNotSatisfiable):
        return {"content-range": unsatisfied_content_range(error.size_bytes), "accept-ranges": "bytes"}
    if error.retryable and status_of(error) == 503:
        return {"retry-after": str(RETRY_AFTER_SECONDS)}
    return {}


async def answer_error(request: Request, error: Exception) -> Response:
    """Answer with what a route raised by intent."""
    assert isinstance(error, ReelstoreError)
    return problem_response(error, request.scope)


async def answer_validation_error(request: Request, error: Exception) -> Response:
    """Answer with the parameters that the framework found wrong."""
    assert isinstance(error, RequestValidationError)
    found = [{"field": str(item["loc"][-1]), "problem": str(item["msg"])} for item in error.errors()]
    message = "; ".join(f"{item['field']}: {item['problem']}" for item in found)
    return problem_response(
        InvalidRequest(message, errors=found) if found else InvalidInput("the request is not valid"), request.scope
    )
