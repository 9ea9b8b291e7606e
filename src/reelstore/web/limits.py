"""Every limit of the HTTP API, in one place; `docs/api.md` lists them.

Limits on what a video may be called are the domain's (`reelstore.domain.video`).
"""

from __future__ import annotations

from reelstore.services.pages import CURSOR_LENGTH_MAX, PAGE_SIZE_MAX
from reelstore.services.video_requests import CONTENT_TYPE_LENGTH_MAX, IDEMPOTENCY_KEY_LENGTH_MAX

__all__ = ["CONTENT_TYPE_LENGTH_MAX", "CURSOR_LENGTH_MAX", "IDEMPOTENCY_KEY_LENGTH_MAX", "PAGE_SIZE_MAX"]

REQUEST_HEAD_BYTES_MAX = 96 * 1024
"""Request line and headers together; a percent-encoded description of 16 KiB still fits."""

QUERY_STRING_BYTES_MAX = 56 * 1024
QUERY_PARAMETERS_MAX = 256

JSON_BODY_BYTES_MAX = 1024 * 1024

FORM_FIELDS_MAX = 256
FORM_FIELDS_BYTES_MAX = 64 * 1024
FORM_PART_HEADERS_MAX = 16
FORM_PART_HEADER_BYTES_MAX = 8 * 1024

PAGE_SIZE_DEFAULT = 50
PLANS_DEFAULT = 20
PLANS_MAX = 100
"""Plans in one list; one of a large cluster has thousands of moves."""

RANGES_MAX = 16
"""Ranges in one request; with more, the whole content is sent (RFC 9110, section 14.2, allows to ignore them)."""

REQUEST_ID_LENGTH_MAX = 128

CONCURRENT_REQUESTS_MAX = 1024
"""Requests in progress, streams included; beyond it the answer is 503 `overloaded`."""

HEAD_TIMEOUT_SECONDS = 30.0
"""From a connection's first byte (or its opening) to the end of the request's headers."""

BODY_IDLE_TIMEOUT_SECONDS = 120.0
"""Without one byte of a request body that is still expected."""

SEND_IDLE_TIMEOUT_SECONDS = 60.0
"""Without a client taking a piece of content off the socket: a paused player keeps its connection that long."""

LINGER_TIMEOUT_SECONDS = 30.0
"""For a client to take what was sent already when an answer is cut off."""

KEEP_ALIVE_TIMEOUT_SECONDS = 15
SHUTDOWN_TIMEOUT_SECONDS = 20
