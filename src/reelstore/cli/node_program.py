"""Running a node: its folder, its app and uvicorn; joined here, for `reelstore node`."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from starlette.types import ASGIApp

from reelstore import __version__
from reelstore.cli import output
from reelstore.cli.serving import Ending, Server, listening_socket, log_to_standard_error, new_loop
from reelstore.domain.errors import ConfigurationError
from reelstore.node.app import NodeApp
from reelstore.node.folder import NodeFolder
from reelstore.node.gate import Gate
from reelstore.node.limits import CONCURRENT_REQUESTS_MAX
from reelstore.storage.interface import Marker
from reelstore.web.metrics import RequestMetrics
from reelstore.web.middleware.envelope import Envelope
from reelstore.web.server import uvicorn_config


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """How one node runs; see the options of `reelstore node`."""

    data: Path
    host: str
    port: int
    gate: Gate
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    reserve_bytes: int | None = None
    log_level: str = "warning"


def run(settings: NodeSettings) -> None:
    """Serve until a signal ends it: the first one gracefully, the second one at once.

    Raises:
        CommandFailed: the address cannot be listened on.
        ConfigurationError: the certificate cannot be used.
        StorageError: the folder cannot be opened, is in use, or its marker cannot be used.
    """
    _check_certificate(settings)
    with (
        listening_socket(settings.host, settings.port, option="--listen") as listener,
        asyncio.Runner(loop_factory=new_loop) as runner,
    ):
        log_to_standard_error(settings.log_level)
        try:
            runner.run(_serve(settings, listener))
        except asyncio.CancelledError:
            output.say("ended while starting")


def node_asgi(folder: NodeFolder, gate: Gate) -> ASGIApp:
    """Return what is served: the node's app, within the envelope that the gateway has too."""
    return Envelope(NodeApp(folder, gate), metrics=RequestMetrics(), concurrent_requests_max=CONCURRENT_REQUESTS_MAX)


async def _serve(settings: NodeSettings, listener: socket.socket) -> None:
    ending = Ending()
    folder = NodeFolder(settings.data, reserve_bytes=settings.reserve_bytes)
    try:
        marker = await folder.open()
        config = uvicorn_config(
            node_asgi(folder, settings.gate),
            tls_certificate=settings.tls_certificate,
            tls_key=settings.tls_key,
        )
        words = _announcement(settings, listener, marker)
        ending.server = Server(config, on_listening=lambda: output.say(words))
        await ending.server.serve(sockets=[listener])
    finally:
        await folder.close()


def _announcement(settings: NodeSettings, listener: socket.socket, marker: Marker | None) -> str:
    host, port = listener.getsockname()[:2]
    scheme = "http" if settings.tls_certificate is None else "https"
    url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    lines = [f"Reelstore node {__version__} listens on {url}", f"folder: {output.printable(str(settings.data))}"]
    if marker is None:
        lines.append(f"it belongs to no server yet: 'reelstore server add NAME {url}' on a gateway takes it in")
    else:
        lines.append(f"it is server {output.printable(marker.server)} of cluster {output.printable(marker.cluster)}")
    if settings.tls_certificate is None and not ipaddress.ip_address(host.split("%")[0]).is_loopback:
        lines.append("not encrypted: requests are signed, but whoever is on the way can read the videos (--tls-cert)")
    return "\n".join(lines)


def _check_certificate(settings: NodeSettings) -> None:
    if settings.tls_certificate is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_certificate, settings.tls_key)
    except ssl.SSLError as error:
        raise ConfigurationError(
            f"the certificate {settings.tls_certificate} and its key cannot be used: {error.reason or error}"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"the certificate or its key cannot be read: {error.strerror}") from None
