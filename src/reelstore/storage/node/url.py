"""The URLs of nodes: `http://10.0.0.7:5100`, `https://storage4.example:5100`; no path, no options, no credentials."""

from __future__ import annotations

from urllib.parse import SplitResult

from reelstore.domain.errors import InvalidServerUrl
from reelstore.storage.hosts import HOST, ZONE_LENGTH_MAX, same_host

_DEFAULT_PORTS = {"http": 80, "https": 443}


def node_base(parts: SplitResult) -> str:
    """Return the URL in its one form: `scheme://host:port`.

    Raises:
        InvalidServerUrl: it is no node's; a retry does not help.
    """
    host, port = _host_and_port(parts)
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def zone_of_node(parts: SplitResult) -> str:
    """Return its host, in the letters that a zone may have: what is on one machine fails together.

    Raises:
        InvalidServerUrl: see `node_base`.
    """
    host, _ = _host_and_port(parts)
    return host[:ZONE_LENGTH_MAX].strip(":._-") or "node"


def same_node(a: SplitResult, b: SplitResult) -> bool:
    """Tell whether two URLs lead to one port of one machine, names being resolved; may wait for that.

    Raises:
        InvalidServerUrl: see `node_base`.
    """
    (host_a, port_a), (host_b, port_b) = _host_and_port(a), _host_and_port(b)
    return port_a == port_b and same_host(host_a, host_b)


def _host_and_port(parts: SplitResult) -> tuple[str, int]:
    if "@" in parts.netloc:
        raise _invalid("it holds credentials; a node is known by the cluster secret, which is in a file")
    if parts.path not in {"", "/"} or parts.query:
        raise _invalid(f"a node is {parts.scheme}://host:port, without a path or options")
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _invalid(str(error)) from None
    if not host or not HOST.fullmatch(host):
        raise _invalid(f"the host is missing, or has characters that no host has; a node is {parts.scheme}://host:port")
    if port == 0:
        raise _invalid("port 0 is none")
    return host, _DEFAULT_PORTS[parts.scheme] if port is None else port


def _invalid(message: str) -> InvalidServerUrl:
    return InvalidServerUrl(f"not a server's URL: {message}", field="url")
