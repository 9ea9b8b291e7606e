"""Errors that only HTTP can have; a branch of the tree in `reelstore.domain.errors`.

ReelstoreError
├── InvalidInput
│   └── InvalidRequest           several fields at once
├── NotFound
│   └── RouteNotFound
├── TooLarge
│   ├── QueryTooLong
│   └── HeadTooLarge
├── MethodNotAllowed
├── UnsupportedMediaType
├── RangeNotSatisfiable
├── CrossSiteRequest
├── HostNotAllowed
├── NotReady                     the process has started, and cannot serve yet or no longer
└── MalformedRequest             not HTTP
"""

from __future__ import annotations

from collections.abc import Sequence

from reelstore.domain.errors import InvalidInput, NotFound, ReelstoreError, TooLarge, Unavailable


class InvalidRequest(InvalidInput):
    """Say which fields are wrong, and why: each as `{"field": …, "problem": …}`."""

    def __init__(self, message: str, *, errors: Sequence[dict[str, str]]) -> None:
        super().__init__(message, field=errors[0]["field"] if errors else None)
        self.errors = list(errors)


class RouteNotFound(NotFound):
    """Say that nothing is served at this path."""


class QueryTooLong(TooLarge):
    """Refuse a query string beyond its limit, in bytes."""


class HeadTooLarge(TooLarge):
    """Refuse a request line and headers beyond their limit, in bytes."""

    problem = "head-too-large"
    title = "The request's headers are larger than the limit"


class MethodNotAllowed(ReelstoreError):
    """Refuse a method that the path does not have; `allow` lists those that it has."""

    problem = "method-not-allowed"
    title = "This path does not have this method"

    def __init__(self, message: str, *, allow: Sequence[str]) -> None:
        super().__init__(message)
        self.allow = list(allow)


class UnsupportedMediaType(ReelstoreError):
    """Refuse a body of a type, or in an encoding, that the route does not read; `accept` lists what it reads."""

    problem = "unsupported-media-type"
    title = "The body is of a type that is not read here"

    def __init__(self, message: str, *, accept: Sequence[str]) -> None:
        super().__init__(message)
        self.accept = list(accept)


class RangeNotSatisfiable(ReelstoreError):
    """Refuse ranges none of which holds a byte of the content."""

    problem = "range-not-satisfiable"
    title = "The content has no byte in the ranges asked for"

    def __init__(self, message: str, *, size_bytes: int) -> None:
        super().__init__(message)
        self.size_bytes = size_bytes


class CrossSiteRequest(ReelstoreError):
    """Refuse a change that a page of another site asks a browser for."""

    problem = "cross-site-request"
    title = "Another site may not change anything here"


class HostNotAllowed(ReelstoreError):
    """Refuse a `Host` that this gateway does not answer to."""

    problem = "host-not-allowed"
    title = "This gateway does not answer to this host name"


class NotReady(Unavailable):
    """Report that the gateway cannot serve yet, or no longer."""

    problem = "not-ready"
    title = "The gateway is not ready"


class MalformedRequest(ReelstoreError):
    """Refuse what is not an HTTP request."""

    problem = "malformed-request"
    title = "This is not an HTTP request"
