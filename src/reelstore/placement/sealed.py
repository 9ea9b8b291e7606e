"""The form in which rings outlive a process: a versioned header, the bytes, and a checksum over both.

    magic 8 bytes · version u16 · header length u32 · header (JSON, ASCII) · payload · BLAKE3 of all before, 32 bytes

Integers are little-endian. The header is canonical (sorted keys, no spaces), so that equal values give equal bytes.
A version is raised when the meaning of a header or payload changes; older samples stay in `tests/golden/rings/` and
must load for ever.
"""

from __future__ import annotations

import json
import struct
from typing import Any

from blake3 import blake3

from reelstore.domain.errors import CorruptRing

CHECKSUM_BYTES = 32
FORMAT_VERSION = 1

_FRAME = struct.Struct("<8sHI")


def seal(magic: bytes, header: dict[str, Any], payload: bytes) -> bytes:
    """Put a header and a payload into one checked piece of bytes.

    Args:
        magic: 8 bytes that say what it is.
        header: what `json` can write.
        payload: kept as it is.
    """
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")
    body = _FRAME.pack(magic, FORMAT_VERSION, len(text)) + text + payload
    return body + blake3(body).digest()


def unseal(magic: bytes, sealed: bytes) -> tuple[dict[str, Any], memoryview]:
    """Check what `seal` made and take it apart again.

    Returns:
        The header, and a view of the payload.

    Raises:
        CorruptRing: it is cut short, is something else, is of an unknown version, or one of its bits has changed;
            reading another copy of it may help, a retry does not.
    """
    if len(sealed) < _FRAME.size + CHECKSUM_BYTES:
        raise CorruptRing(f"{len(sealed)} bytes are too few to be a serialised ring")
    found_magic, version, header_bytes = _FRAME.unpack_from(sealed)
    if found_magic != magic:
        raise CorruptRing(f"expected {magic!r} at the start, found {found_magic!r}")
    body = memoryview(sealed)[:-CHECKSUM_BYTES]
    if blake3(body).digest() != sealed[-CHECKSUM_BYTES:]:
        raise CorruptRing("the bytes do not match their checksum")
    if version != FORMAT_VERSION:
        raise CorruptRing(f"written as version {version} of the format; this Reelstore reads version {FORMAT_VERSION}")
    text, payload = body[_FRAME.size :][:header_bytes], body[_FRAME.size + header_bytes :]
    try:
        header = json.loads(bytes(text))
    except ValueError as error:
        raise CorruptRing("the header is not JSON") from error
    if not isinstance(header, dict):
        raise CorruptRing("the header is not a JSON object")
    return header, payload


def checksum_of(sealed: bytes) -> bytes:
    """Return the checksum that `seal` appended: the name of exactly these bytes, by which a child knows its parent."""
    return sealed[-CHECKSUM_BYTES:]
