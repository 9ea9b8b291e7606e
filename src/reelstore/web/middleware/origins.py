"""Protection of a gateway without tokens from the pages that its user's browser shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from reelstore.web.errors import CrossSiteRequest, HostNotAllowed
from reelstore.web.problems import problem_response

_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
_PROBES = {"/healthz", "/readyz"}
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


class Origins:
    """Refuse hosts that are not ours, and changes that another site asks for.

    - A `Host` outside of `allowed_hosts` gets 421: otherwise a site whose name suddenly resolves to 127.0.0.1 (DNS
      rebinding) could read everything with its visitors' browsers. Probes have nothing to read, and ask by address.
    - A method that may change something gets 403 when the browser says that another site, or another origin of the
      same site, asks for it: by `Sec-Fetch-Site`, which pages cannot forge, or by an `Origin` that is not the `Host`
      where browsers do not send that. Programs send neither, and pass.

    Args:
        app: what is protected.
        allowed_hosts: host names without ports, lower-case; None for any.
    """

    def __init__(self, app: ASGIApp, *, allowed_hosts: Sequence[str] | None) -> None:
        self._app = app
        self._allowed_hosts = None if allowed_hosts is None else frozenset(host.lower() for host in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI asks."""
        if scope["type"] == "http":
            headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
            error = None if scope["path"] in _PROBES else self._refusal(scope["method"], headers)
            if error is not None:
                await problem_response(error, scope)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, method: str, headers: Mapping[str | bytes, str]) -> CrossSiteRequest | HostNotAllowed | None:
        host = headers.get(b"host", "")
        if self._allowed_hosts is not None and _host_name(host) not in self._allowed_hosts:
            return HostNotAllowed(f"not a host name of this gateway: {host!r}")
        if method not in _SAFE_METHODS and is_cross_site(
            host=host, origin=headers.get(b"origin"), sec_fetch_site=headers.get(b"sec-fetch-site")
        ):
            return CrossSiteRequest("a page of another site asked for this change")
        return None


def allowed_hosts(host: str, told: Sequence[str] | None) -> Sequence[str] | None:
    """Return the host names to answer to: those told, else loopback names where nothing else can be meant, else any.

    Args:
        host: the address that is listened on.
        told: by the settings.
    """
    if told is not None or not _is_loopback(host):
        return told
    return [*_LOOPBACK_NAMES, host.lower()]


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_cross_site(*, host: str, origin: str | None, sec_fetch_site: str | None) -> bool:
    """Return whether a browser says that the request comes from a page of another origin."""
    if sec_fetch_site is not None:
        return sec_fetch_site.strip().lower() not in {"same-origin", "none"}
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc.lower() != host.lower()
    except ValueError:
        return True


def _host_name(host: str) -> str:
    """Return the host without port, in lower case; a final dot of a full name does not count."""
    host = host.strip().lower()
    name = host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
    return name.strip("[]").removesuffix(".")
