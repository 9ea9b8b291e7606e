"""The cluster secret: what gateways and nodes share, and never send, log or print."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import stat
from pathlib import Path

from reelstore.domain.errors import ConfigurationError

SECRET_BYTES_MIN = 16
SECRET_BYTES_MAX = 1024
FRESH_BYTES = 32

log = logging.getLogger(__name__)


class ClusterSecret:
    """Seal what one end says, so that the other knows who said it: HMAC-SHA256 (RFC 2104).

    Args:
        text: the secret; blanks around it are not part of it.

    Raises:
        ConfigurationError: it is shorter than 16 bytes, or longer than 1,024.
    """

    def __init__(self, text: bytes) -> None:
        self._key = text.strip()
        if not SECRET_BYTES_MIN <= len(self._key) <= SECRET_BYTES_MAX:
            raise ConfigurationError(
                f"the node secret must have {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes; "
                "`openssl rand -hex 32` draws a good one"
            )

    def __repr__(self) -> str:
        return "ClusterSecret(…)"

    def seal(self, *parts: str) -> str:
        """Return the seal of these parts, none of which may hold a line break, in 64 hexadecimal digits."""
        return hmac.digest(self._key, "\n".join(parts).encode(), hashlib.sha256).hex()

    def has_sealed(self, seal: str, *parts: str) -> bool:
        """Tell whether it is their seal, in a time that does not depend on how much of it is right."""
        return hmac.compare_digest(seal.encode(), self.seal(*parts).encode())


def read_secret(path: Path) -> ClusterSecret:
    """Read a secret from a file; warn when others than its owner may read it too.

    Raises:
        ConfigurationError: it cannot be read, or is none.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(SECRET_BYTES_MAX + 1024)
    except OSError as error:
        raise ConfigurationError(f"the secret file {path} cannot be read: {error.strerror}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        log.warning("the secret file %s may be read by others than its owner: chmod 600 closes it", path)
    try:
        return ClusterSecret(text)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def make_secret(path: Path) -> ClusterSecret:
    """Draw a secret and keep it in a file that only its owner can read; whole or not at all, and durable.

    A file that is there by then is read instead, so that two who begin at once agree.

    Raises:
        ConfigurationError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(8).hex()}.tmp")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(os.urandom(FRESH_BYTES).hex().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    except OSError as error:
        raise ConfigurationError(f"the secret file {path} cannot be written: {error.strerror}") from None
    return read_secret(path)
