"""What a gateway needs to reach nodes: the cluster secret, and whose certificates it trusts."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

from reelstore.domain.errors import ConfigurationError
from reelstore.storage.node.secret import ClusterSecret, make_secret, read_secret

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NodeAccess:
    """The same for all nodes of a cluster.

    Args:
        secret: seals requests, and proves answers.
        tls: checks the certificates of `https://` nodes.
    """

    secret: ClusterSecret
    tls: ssl.SSLContext


def node_access(secret: ClusterSecret, ca_file: Path | None = None) -> NodeAccess:
    """Return the access to nodes whose certificates the system trusts, or those that this file's authority signed.

    Raises:
        ConfigurationError: the file cannot be read, or holds no certificate.
    """
    try:
        tls = ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        raise ConfigurationError(f"{ca_file} holds no certificate in PEM form: {error.reason}") from None
    except OSError as error:
        raise ConfigurationError(f"the certificate file {ca_file} cannot be read: {error.strerror}") from None
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    return NodeAccess(secret, tls)


def access_for_gateway(
    *, given: str | None, file: Path | None, own_file: Path | None, ca_file: Path | None
) -> NodeAccess | None:
    """Return the access with the secret that was given, or is in the file, or else in the gateway's own file.

    Args:
        given: the secret itself; goes first.
        file: holds it.
        own_file: holds it where nothing was given; made when absent. None: there is no such place, and no access then.
        ca_file: see `node_access`.

    Raises:
        ConfigurationError: what was given cannot be used.
    """
    if given is not None:
        secret = ClusterSecret(given.encode())
    elif file is not None:
        secret = read_secret(file)
    elif own_file is None:
        return None
    elif own_file.exists():
        secret = read_secret(own_file)
    else:
        try:
            secret = make_secret(own_file)
        except ConfigurationError as error:  # a full disk: what is stored can be read all the same
            log.warning("no node can be reached: %s", error)
            return None
    return node_access(secret, ca_file)
