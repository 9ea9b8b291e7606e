"""HTTP as the client speaks it: one request at a time, foreign errors mapped once, answers bounded."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx

from reelstore.client.errors import ConnectionFailed, InvalidRequest, Problem, ReelstoreClientError, UnexpectedAnswer
from reelstore.client.retrying import persist

API = "/api/v1"
JSON_BYTES_MAX = 64 * 1024**2
_CONNECT_TIMEOUT_SECONDS = 10.0
_RETRY_AFTER_SECONDS_MAX = 60.0
# Somebody waits for a small answer; a long transfer is worth more patience.
_ASK_RETRIES_MAX = 2
# What a proxy or a gateway that is starting or stopping answers, with no problem document to say so.
_RETRYABLE_STATUSES = frozenset({408, 429, 502, 503, 504})


class Wire:
    """Send requests to one gateway.

    Args:
        url: of the gateway, with or without a path; `http` or `https`.
        token: sent as a bearer token; it never appears in an error or a representation.
        timeout_seconds: how long the server may be silent.
        retries: how often an idempotent request is repeated after a failure that passes.

    Raises:
        InvalidRequest: the URL or the token is none.
    """

    def __init__(self, url: str, *, token: str | None, timeout_seconds: float, retries: int) -> None:
        self.url = _checked_url(url)
        self.retries = retries
        self.timeout_seconds = timeout_seconds
        self.reached = False  # whether a connection ever came about: a server that was never there is not waited for
        headers = {"User-Agent": "reelstore-client", "Accept-Encoding": "identity"}
        if token is not None:
            if not token or not token.isascii() or not token.isprintable() or " " in token:
                raise InvalidRequest("a token is printable ASCII without blanks")
            headers["Authorization"] = f"Bearer {token}"
        # A proxy for the outside world cannot reach this machine's own loopback. And on the way there without TLS,
        # there is no certificate to verify: reading those of the system takes longer than a request.
        here = _is_loopback(self.url)
        self._http = httpx.Client(
            headers=headers,
            timeout=_timeout(timeout_seconds),
            trust_env=not here,
            verify=not here or self.url.startswith("https:"),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> Mapping[str, Any]:
        """Send a small request and return the JSON object that answers it.

        A GET is repeated after a failure that passes; anything else is sent once.

        Raises:
            ConnectionFailed: no whole answer came; for a GET a retry has been tried.
            Problem: the server said no.
            UnexpectedAnswer: the answer is no JSON object.
        """
        content = None if body is None else json.dumps(body).encode()
        sent_headers = {"Accept": "application/json", **(headers or {})}
        if content is not None:
            sent_headers["Content-Type"] = "application/json"

        def once() -> Mapping[str, Any]:
            with self.open(
                method, path, query=query, content=content, headers=sent_headers, timeout_seconds=timeout_seconds
            ) as response:
                return self.document(response)

        return persist(
            once, retries=min(self.retries, _ASK_RETRIES_MAX) if method == "GET" else 0, may_pass=self.may_pass
        )

    @contextmanager
    def open(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        content: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> Iterator[httpx.Response]:
        """Send one request, once, and hand over the answer before its body is read; it has a status below 400.

        Raises:
            InvalidRequest: a header or a parameter cannot be sent.
            ConnectionFailed: no answer came, or it was cut while it was read in the `with` block.
            Problem: the status is 400 or above.
        """
        try:
            request = self._http.build_request(
                method,
                f"{self.url}{API}{path}",
                params=query,
                content=content,
                headers=headers,
                timeout=_timeout(timeout_seconds or self.timeout_seconds),
            )
        except UnicodeEncodeError as error:
            raise InvalidRequest(f"{error.object!r} cannot be sent") from error
        try:
            response = self._http.send(request, stream=True)
            self.reached = True
            try:
                if response.status_code >= 400:
                    raise _problem(response, _bounded(response, JSON_BYTES_MAX))
                yield response
            finally:
                response.close()
        except httpx.LocalProtocolError as error:
            raise InvalidRequest(f"the request cannot be sent: {error}") from error
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise ConnectionFailed(f"cannot reach {self.url}: {_words(error)}", connected=False) from error
        except httpx.TransportError as error:
            self.reached = True
            raise ConnectionFailed(
                f"the connection to {self.url} failed before the answer was complete: {_words(error)}", connected=True
            ) from error
        except httpx.HTTPError as error:
            raise UnexpectedAnswer(f"the answer of {self.url} cannot be read: {_words(error)}") from error

    def document(self, response: httpx.Response) -> Mapping[str, Any]:
        """Read the body as a JSON object, or raise `UnexpectedAnswer`."""
        body = _bounded(response, JSON_BYTES_MAX)
        try:
            document = json.loads(body)
        except ValueError:
            document = None
        if not isinstance(document, dict) or response.status_code >= 300:
            raise UnexpectedAnswer(
                f"{self.url} does not speak the Reelstore API: "
                f"status {response.status_code}, {response.headers.get('Content-Type', 'no content type')}"
            )
        return document

    def may_pass(self, error: ReelstoreClientError) -> bool:
        """Whether the failure may pass by itself: a server that was never there is more likely the wrong one."""
        if isinstance(error, ConnectionFailed) and not error.connected:
            return self.reached
        return error.retryable


def segment(text: str) -> str:
    """Return text as one segment of a URL's path.

    Raises:
        InvalidRequest: it is empty, or not Unicode text.
    """
    if not text:
        raise InvalidRequest("an id or a name must not be empty")
    try:
        quoted = quote(text, safe="")
    except UnicodeEncodeError as error:
        raise InvalidRequest("an id or a name must be Unicode text") from error
    # A segment of dots would be taken for a way up.
    return quoted if quoted.strip(".") else quoted.replace(".", "%2E")


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        bare = not (parts.query or parts.fragment or parts.username or parts.password)
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        usable = bare = False
    if not usable:
        raise InvalidRequest(f"{url!r} is not the URL of a server; one looks like http://127.0.0.1:5000")
    if not bare:
        raise InvalidRequest("a server's URL has a scheme, a host, a port and a path, and nothing else")
    return url.rstrip("/")


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _timeout(seconds: float) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=min(seconds, _CONNECT_TIMEOUT_SECONDS))


def _bounded(response: httpx.Response, bytes_max: int) -> bytes:
    body = bytearray()
    for piece in response.iter_raw():
        body += piece
        if len(body) > bytes_max:
            raise UnexpectedAnswer(f"the answer is longer than {bytes_max} bytes")
    return bytes(body)


def _problem(response: httpx.Response, body: bytes) -> Problem:
    """Read a problem document, or make one of the bare status."""
    status = response.status_code
    try:
        data = json.loads(body)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        data = {}
    # Any field may be of any type, or missing.
    kind = str(data.get("type") or "").rstrip("/").rsplit("/", 1)[-1]
    retryable = data.get("retryable")
    return Problem(
        status=status,
        slug=kind if kind and kind != "about:blank" else f"http-{status}",
        title=str(data.get("title") or f"The server answered {status} {response.reason_phrase}".strip()),
        detail=str(data.get("detail") or ""),
        retryable=retryable if isinstance(retryable, bool) else status in _RETRYABLE_STATUSES,
        retry_after_seconds=_retry_after(response.headers.get("Retry-After")),
        data=data,
    )


def _retry_after(value: str | None) -> float | None:
    """Read the header's number of seconds; its other form, a date, is not worth trusting two clocks."""
    if value is None or not value.isascii() or not value.isdigit():
        return None
    return min(float(value), _RETRY_AFTER_SECONDS_MAX)


def _words(error: Exception) -> str:
    """Return the reason in words: several of httpx's errors have none."""
    if isinstance(error, httpx.TimeoutException):
        return "it was silent for too long"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__
