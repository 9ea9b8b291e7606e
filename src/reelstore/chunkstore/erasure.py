"""Erasure coding: k fragments of data and m of parity, any k of which make a chunk whole.

**Fragment.** What one server keeps of a chunk, and enough to be judged by itself:

    offset  bytes  what
    0       4      magic `RSfr`
    4       1      version of this layout, and of the code: 1
    5       1      k
    6       1      m
    7       1      slot: below k a piece of the chunk's bytes, else parity
    8       8      the chunk's size in bytes, big-endian
    16      32     the chunk's BLAKE3 digest
    48      32     BLAKE3 of the 48 bytes before and of the payload
    80             payload: ⌈size ÷ k⌉ bytes; the chunk is padded with zeros to k of them

Numbers and digests are all that it takes: the payload's size follows, and equal chunks give equal fragments.

**Code.** Reed–Solomon over GF(2^8) with a Cauchy matrix (`isa_l_rs_cauchy`), of which every k rows can be inverted;
ISA-L's Vandermonde matrix is not so for all k and m (Intel ISA-L, `gf_gen_rs_matrix`). It is systematic: while the k
fragments of data are good, a chunk is put together without decoding. The library puts a frame of its own before each
fragment, which says nothing that is not known; it is left out, and made again where the library needs it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import combinations, islice
from struct import Struct

from blake3 import blake3
from pyeclib.ec_iface import ECDriver

from reelstore.storage.interface import ByteString

MAGIC = b"RSfr"
VERSION = 1

_FIELDS = Struct(">4sBBBBQ32s")
_CHECKSUM_BYTES = 32
_TRIES_MAX = 64
HEADER_BYTES = _FIELDS.size + _CHECKSUM_BYTES


class ErasureCoding:
    """See `Redundancy`. All methods hold the interpreter's lock for short moments only, and may run in threads.

    Args:
        data: k.
        parity: m.
    """

    alike = False

    def __init__(self, data: int, parity: int) -> None:
        self.needed = data
        self.width = data + parity

    def shard_size_bytes(self, chunk_size_bytes: int) -> int:
        """See `Redundancy`."""
        return HEADER_BYTES + self._payload_bytes(chunk_size_bytes)

    def encode(self, data: ByteString, *, digest: bytes) -> Sequence[ByteString]:
        """See `Redundancy`; 2.4 GB/s on one core with the checksums (`python -m benchmarks erasure`)."""
        size_bytes = memoryview(data).nbytes
        payload_bytes = self._payload_bytes(size_bytes)
        padded = bytes(data).ljust(payload_bytes * self.needed, b"\0")
        framed = _code(self.needed, self.width).encode(padded)
        return [
            self._fragment(slot, digest, size_bytes, memoryview(each)[-payload_bytes:])
            for slot, each in enumerate(framed)
        ]

    def is_good(self, shard: ByteString, *, digest: bytes, slot: int) -> bool:
        """See `Redundancy`."""
        view = memoryview(shard)
        if view.nbytes <= HEADER_BYTES:
            return False
        magic, version, data, parity, its_slot, size_bytes, its_digest = _FIELDS.unpack_from(view)
        said = (magic, version, data, data + parity, its_slot, its_digest)
        if said != (MAGIC, VERSION, self.needed, self.width, slot, digest):
            return False
        if view.nbytes != self.shard_size_bytes(size_bytes):
            return False
        return _checksum(view[: _FIELDS.size], view[HEADER_BYTES:]) == view[_FIELDS.size : HEADER_BYTES]

    def shard_digest(self, digest: bytes, slot: int) -> None:
        """See `Redundancy`: a fragment's bytes do not follow from its chunk's digest."""

    def decode(self, shards: Mapping[int, ByteString], *, digest: bytes) -> ByteString | None:
        """See `Redundancy`; fragments of data are joined, and only for those that lack is anything computed.

        Of more fragments than are needed, others are tried when the first do not make the chunk.
        """
        for chosen in islice(combinations(sorted(shards), self.needed), _TRIES_MAX):
            chunk = self._assemble({slot: shards[slot] for slot in chosen})
            if chunk is not None and blake3(chunk).digest() == digest:
                return chunk
        return None

    def _assemble(self, chosen: Mapping[int, ByteString]) -> ByteString | None:
        """Return what k fragments make, in order of slot; None when they are not of one size."""
        sizes = {_FIELDS.unpack_from(fragment)[5] for fragment in chosen.values()}
        if len(sizes) > 1:
            return None
        (size_bytes,) = sizes
        payloads = {slot: memoryview(fragment)[HEADER_BYTES:] for slot, fragment in chosen.items()}
        if max(payloads) < self.needed:
            joined = b"".join(payloads.values())
        else:
            frames = _frames(self.needed, self.width, self._payload_bytes(size_bytes))
            code = _code(self.needed, self.width)
            joined = code.decode([b"".join((frames[slot], payload)) for slot, payload in payloads.items()])
        return memoryview(joined)[:size_bytes]

    def _payload_bytes(self, chunk_size_bytes: int) -> int:
        return -(-chunk_size_bytes // self.needed)

    def _fragment(self, slot: int, digest: bytes, size_bytes: int, payload: memoryview) -> bytes:
        parity = self.width - self.needed
        fields = _FIELDS.pack(MAGIC, VERSION, self.needed, parity, slot, size_bytes, digest)
        return b"".join((fields, _checksum(fields, payload), payload))


def _checksum(fields: ByteString, payload: ByteString) -> bytes:
    return blake3(fields).update(payload).digest()


@lru_cache
def _code(data: int, width: int) -> ECDriver:
    """Return the library's code: tables that are only read, so that threads share it."""
    return ECDriver(k=data, m=width - data, ec_type="isa_l_rs_cauchy")


@lru_cache(maxsize=256)
def _frames(data: int, width: int, payload_bytes: int) -> tuple[bytes, ...]:
    """Return, by slot, what the library puts before a payload: it depends on sizes alone."""
    framed = _code(data, width).encode(bytes(data * payload_bytes))
    return tuple(each[:-payload_bytes] for each in framed)
