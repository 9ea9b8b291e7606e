"""What is signed of a request to a node, and of its answer: `docs/decisions/0009-signed-node-requests.md`.

| Header of a request | Says |
| --- | --- |
| `Reelstore-Cluster`, `Reelstore-Server` | whose place is meant: another's refuses |
| `Reelstore-Capacity` | what the server may take, in bytes; empty: what its disk has |
| `Reelstore-Time` | when it was signed, in milliseconds since 1970 (UTC) |
| `Reelstore-Nonce` | 32 random hexadecimal digits, never used twice |
| `Reelstore-Content` | the BLAKE3 digest that the body must have |
| `Reelstore-Signature` | the seal of all these, of the method, the target and the length of the body |

An answer bears one header, `Reelstore-Signature`: the seal of the request's nonce, the status, and the digest of its
body or, where that is a shard's bytes, their number.
"""

from __future__ import annotations

from dataclasses import dataclass

from blake3 import blake3

from reelstore.storage.interface import ByteString
from reelstore.storage.node.secret import ClusterSecret

VERSION = "reelstore-node-1"
NONCE_BYTES = 16
WINDOW_SECONDS = 300
"""How far the clocks of a gateway and a node may differ."""

SIGNATURE = "reelstore-signature"
CLUSTER = "reelstore-cluster"
SERVER = "reelstore-server"
CAPACITY = "reelstore-capacity"
TIME = "reelstore-time"
NONCE = "reelstore-nonce"
CONTENT = "reelstore-content"


@dataclass(frozen=True, slots=True)
class Signed:
    """All of a request that its signature covers, as it is written in it."""

    method: str
    target: str
    cluster: str
    server: str
    capacity: str
    time: str
    nonce: str
    length: str
    content: str

    def headers(self, secret: ClusterSecret) -> dict[str, str]:
        """Return the headers that carry it, and its signature."""
        return {
            CLUSTER: self.cluster,
            SERVER: self.server,
            CAPACITY: self.capacity,
            TIME: self.time,
            NONCE: self.nonce,
            CONTENT: self.content,
            SIGNATURE: secret.seal(*self._parts()),
        }

    def is_signed(self, signature: str, secret: ClusterSecret) -> bool:
        """Tell whether the signature is of this request, by who knows the secret."""
        return secret.has_sealed(signature, *self._parts())

    def _parts(self) -> tuple[str, ...]:
        return (
            *(VERSION, "request", self.method, self.target, self.cluster, self.server),
            *(self.capacity, self.time, self.nonce, self.length, self.content),
        )


def answer_parts(nonce: str, status: int, content: str) -> tuple[str, ...]:
    """Return what the signature of an answer covers."""
    return VERSION, "answer", nonce, str(status), content


def frame_parts(nonce: str, number: int, payload: ByteString) -> tuple[str, ...]:
    """Return what the signature of a frame of a listing covers; frames are numbered from 0."""
    return VERSION, "frame", nonce, str(number), digest_of(payload)


def digest_of(body: ByteString) -> str:
    """Return the BLAKE3 digest of a body, in hexadecimal."""
    return blake3(body).hexdigest()


def span_of(size_bytes: int) -> str:
    """Return what is signed of an answer that is a shard's bytes: those are verified by whoever reads them."""
    return f"{size_bytes} bytes"
