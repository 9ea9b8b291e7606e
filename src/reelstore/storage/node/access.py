"""What a gateway needs to reach nodes: the cluster secret, and whose certificates it trusts."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from reelstore.domain.errors import ConfigurationError
from reelstore.storage.node.secret import ClusterSecret


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
