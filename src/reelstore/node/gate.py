"""Who may come in: requests that were signed with the cluster secret, lately, and once."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from reelstore.domain.errors import ConfigurationError, ServerUnauthorized
from reelstore.node.limits import NONCES_MAX
from reelstore.storage.node.secret import ClusterSecret, read_secret
from reelstore.storage.node.signing import (
    CAPACITY,
    CLUSTER,
    CONTENT,
    NONCE,
    SERVER,
    SIGNATURE,
    TIME,
    WINDOW_SECONDS,
    Signed,
)

SLOT_MILLISECONDS = 10_000

_TIME = re.compile(r"[0-9]{1,15}")
_NONCE = re.compile(r"[0-9a-f]{32}")
_CAPACITY = re.compile(r"|[1-9][0-9]{0,18}")
_LENGTH = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class Admitted:
    """What a request that was let in says of itself.

    Args:
        cluster, server: whose place is meant.
        capacity_bytes: what the server may take; None: what its file system has.
        nonce: of the request.
        content: the BLAKE3 digest that the body must have, in hexadecimal.
        length_bytes: of the body.
    """

    cluster: str
    server: str
    capacity_bytes: int | None
    nonce: str
    content: str
    length_bytes: int


class Gate:
    """Let requests in; the seal is proved first, so that who does not know the secret learns nothing else.

    What was seen is forgotten when the program ends. A request that is sent again after that, within the window, is
    harmless: it can only say once more what a gateway said within the last minutes, and a shard's name is used once.

    Args:
        secret: the cluster's.
        clock: tells the seconds since 1970.
    """

    def __init__(self, secret: ClusterSecret, *, clock: Callable[[], float] = time.time) -> None:
        self.secret = secret
        self._clock = clock
        self._seen = Seen()

    def admit(self, method: str, target: str, headers: Mapping[str, str]) -> Admitted:
        """Prove a request by its headers.

        Raises:
            ServerUnauthorized: it is not signed, or with another secret, or at another time, or was seen before; a
                retry does not help. The message says which.
        """
        signed = Signed(
            method=method,
            target=target,
            cluster=headers.get(CLUSTER, ""),
            server=headers.get(SERVER, ""),
            capacity=headers.get(CAPACITY, ""),
            time=headers.get(TIME, ""),
            nonce=headers.get(NONCE, ""),
            length=headers.get("content-length", "0"),
            content=headers.get(CONTENT, ""),
        )
        signature = headers.get(SIGNATURE)
        if signature is None:
            raise _refused("the request is not signed; only gateways of the cluster speak to a node")
        if not signed.is_signed(signature, self.secret):
            raise _refused("the request is signed with another secret: give the node and the gateway the same one")
        if not (
            _TIME.fullmatch(signed.time)
            and _NONCE.fullmatch(signed.nonce)
            and _CAPACITY.fullmatch(signed.capacity)
            and _LENGTH.fullmatch(signed.length)
        ):
            raise _refused("a header of the request has another form: is the gateway of another version?")
        self._check_time(int(signed.time))
        if not self._seen.add(signed.nonce, int(signed.time)):
            raise _refused("the request was seen before")
        return Admitted(
            cluster=signed.cluster,
            server=signed.server,
            capacity_bytes=int(signed.capacity) if signed.capacity else None,
            nonce=signed.nonce,
            content=signed.content,
            length_bytes=int(signed.length),
        )

    def _check_time(self, at_milliseconds: int) -> None:
        now = int(self._clock() * 1000)
        self._seen.forget_before(now - WINDOW_SECONDS * 1000)
        if abs(now - at_milliseconds) > WINDOW_SECONDS * 1000:
            raise _refused(
                f"the clocks differ by {abs(now - at_milliseconds) / 1000:.0f} s: the gateway signed at "
                f"{_readable(at_milliseconds)}, and the node has {_readable(now)}; "
                f"at most {WINDOW_SECONDS} s are allowed, so set the wrong one"
            )
        if at_milliseconds < self._seen.since_milliseconds:
            raise _refused(f"too many requests to remember since {_readable(at_milliseconds)}, when it was signed")


def open_gate(*, file: Path | None, given: str | None) -> Gate:
    """Return the gate for the secret in a file, or else for the one that was given.

    Raises:
        ConfigurationError: there is none, or it cannot be used.
    """
    if file is not None:
        return Gate(read_secret(file))
    if given is None:
        raise ConfigurationError("no secret; --secret-file names a copy of node.secret from a gateway's data folder")
    return Gate(ClusterSecret(given.encode()))


class Seen:
    """Remember nonces by the time that they were signed at, at most a million of them.

    When there are more, the oldest are forgotten, and what was signed as early as they were is no longer let in.
    """

    def __init__(self, nonces_max: int = NONCES_MAX) -> None:
        self._nonces_max = nonces_max
        self._slots: dict[int, set[bytes]] = {}
        self._count = 0
        self.since_milliseconds = 0

    def add(self, nonce: str, at_milliseconds: int) -> bool:
        """Remember a nonce; return whether it was new."""
        slot = self._slots.setdefault(at_milliseconds // SLOT_MILLISECONDS, set())
        key = bytes.fromhex(nonce)
        if key in slot:
            return False
        slot.add(key)
        self._count += 1
        while self._count > self._nonces_max:
            self.forget_before((min(self._slots) + 1) * SLOT_MILLISECONDS)
        return True

    def forget_before(self, at_milliseconds: int) -> None:
        """Forget all that was signed before a time, and take no more of it; a clock that goes back changes nothing."""
        first = at_milliseconds // SLOT_MILLISECONDS
        if first * SLOT_MILLISECONDS <= self.since_milliseconds:
            return
        self.since_milliseconds = first * SLOT_MILLISECONDS
        for slot in [slot for slot in self._slots if slot < first]:
            self._count -= len(self._slots.pop(slot))


def _refused(message: str) -> ServerUnauthorized:
    return ServerUnauthorized(message, server="")


def _readable(at_milliseconds: int) -> str:
    try:
        return datetime.fromtimestamp(at_milliseconds / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError):
        return f"{at_milliseconds} ms"
