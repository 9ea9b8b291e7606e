"""The one table from what the network and aiohttp say to what a storage server says."""

from __future__ import annotations

import os

import aiohttp

from reelstore.domain.errors import ServerRefused, ServerUnavailable

NETWORK_ERRORS = (aiohttp.ClientError, OSError, EOFError)
"""What leaves aiohttp when a request comes to nothing; `TimeoutError` is an `OSError`."""


def network_error(error: Exception, *, server: str, where: str) -> ServerUnavailable:
    """Translate an error of the network; total.

    Args:
        error: what was said.
        server: the server's name.
        where: the node's URL.
    """
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        message = (
            f"the certificate of {where} is not trusted: {error.certificate_error}; is node_ca_file the right one?"
        )
        return ServerRefused(message, server=server)
    if isinstance(error, aiohttp.ClientSSLError):
        said = f"no TLS connection: {error}; does the node serve https?"
    elif isinstance(error, aiohttp.ClientConnectorDNSError):
        said = f"its name cannot be resolved: {error.os_error.strerror or error.os_error}"
    elif isinstance(error, TimeoutError):
        said = "no answer in time"
    elif isinstance(error, aiohttp.ClientConnectorError):
        said = f"no connection: {_system_words(error.os_error)}; is the node running, and the port open?"
    elif isinstance(error, aiohttp.ServerDisconnectedError):
        said = "the node closed the connection without an answer"
    elif isinstance(error, aiohttp.ClientPayloadError | EOFError):
        said = "the answer broke off"
    elif isinstance(error, aiohttp.ClientResponseError):
        said = f"what answers does not speak HTTP as a node does ({error.message}); does it serve https?"
    elif isinstance(error, OSError):
        said = f"the connection failed: {_system_words(error)}"
    else:
        said = f"the request failed: {str(error) or type(error).__name__}"
    return ServerUnavailable(f"{where}: {said}", server=server)


def _system_words(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno is not None and error.errno > 0 else str(error)
