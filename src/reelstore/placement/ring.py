"""The ring: an immutable table partition → servers, and the set of the rings of all policies at one epoch.

The top bits of a chunk's digest name its partition; the partition's row names the servers that keep its shards, slot
*j* keeping copy *j* or fragment *j*. This is the third strategy of the Dynamo paper (DeCandia et al., SOSP 2007,
section 6.2) and the design of OpenStack Swift's ring. `placement.builder` makes rings; everything else reads them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from reelstore.domain.errors import CorruptRing, InvalidRing
from reelstore.placement.handoffs import rank_handoffs
from reelstore.placement.members import Member, in_order, live_members, spread_cap
from reelstore.placement.quota import fair_shares, shards_held
from reelstore.placement.sealed import CHECKSUM_BYTES, checksum_of, seal, unseal

__all__ = ["NO_PARENT", "PARTITION_BITS_MAX", "VACANT", "Member", "Ring", "RingSet", "Seat"]

VACANT: Final = -1
"""Stands in a slot that no server fills, because there are fewer live servers than slots."""

PARTITION_BITS_MAX: Final = 24
NO_PARENT: Final = bytes(CHECKSUM_BYTES)

_RING_MAGIC = b"REELRING"
_RING_SET_MAGIC = b"REELSET\x00"
_PREFIX_BITS = 32
_prefix_of = struct.Struct(">I").unpack_from
_HANDOFFS_CACHED = 1024


@dataclass(frozen=True, slots=True)
class Seat:
    """Say who keeps one slot of a partition: the server's number, and the tenure, which is never 0."""

    slot: int
    server: int
    tenure: int


@dataclass(frozen=True, eq=False, repr=False)
class Ring:
    """Map every partition to a row of servers, for one policy at one epoch. Immutable; equal by content.

    Making one checks shapes alone; `validate` checks the rest. A table that no builder made (the effective one) may
    therefore break a rule, and is never stored.

    Args:
        policy: the policy's name.
        epoch: the version, from 1, one more with each change.
        slots: server numbers, (partitions, width), `VACANT` where there is none; the number of partitions is a power
            of two. The ring keeps a read-only copy.
        tenures: of the same shape, 0 exactly where vacant.
        members: all servers that were known, sorted by number.
        parent: checksum of the ring that this one was built from, 32 bytes; `NO_PARENT` for the first.

    Raises:
        InvalidRing: the arrays do not fit together; a retry does not help.
    """

    policy: str
    epoch: int
    slots: NDArray[np.int32]
    tenures: NDArray[np.uint64]
    members: tuple[Member, ...]
    parent: bytes = NO_PARENT
    partition_bits: int = field(init=False)
    _shift: int = field(init=False)
    _rows: list[tuple[Seat, ...] | None] = field(init=False)
    _ranked: Callable[[int], tuple[int, ...]] = field(init=False)

    def __post_init__(self) -> None:
        if self.slots.ndim != 2 or self.slots.shape != self.tenures.shape or not self.slots.size:
            raise InvalidRing(f"slots {self.slots.shape} and tenures {self.tenures.shape} are not one table")
        bits = self.slots.shape[0].bit_length() - 1
        if self.slots.shape[0] != 1 << bits or bits > PARTITION_BITS_MAX:
            raise InvalidRing(f"{self.slots.shape[0]} partitions are no power of two up to 2^{PARTITION_BITS_MAX}")
        if len(self.parent) != CHECKSUM_BYTES:
            raise InvalidRing(f"a parent's checksum has {CHECKSUM_BYTES} bytes, not {len(self.parent)}")
        put = object.__setattr__
        put(self, "slots", _read_only(self.slots, np.int32))
        put(self, "tenures", _read_only(self.tenures, np.uint64))
        put(self, "members", in_order(self.members))
        put(self, "partition_bits", bits)
        put(self, "_shift", _PREFIX_BITS - bits)
        put(self, "_rows", [None] * len(self.slots))
        put(self, "_ranked", lru_cache(_HANDOFFS_CACHED)(self._rank_handoffs))

    @property
    def partitions(self) -> int:
        """Return the number of partitions, a power of two."""
        return int(self.slots.shape[0])

    @property
    def width(self) -> int:
        """Return the number of slots in a row: the shards of a chunk."""
        return int(self.slots.shape[1])

    def partition_of(self, digest: bytes) -> int:
        """Return the partition of a digest, of which at least 4 bytes must be there: its top bits. O(1)."""
        prefix: int = _prefix_of(digest)[0]
        return prefix >> self._shift

    def row(self, partition: int) -> tuple[Seat, ...]:
        """Return who keeps a partition, in order of slots, vacant ones left out. O(1), made once and kept.

        Raises:
            IndexError: there is no such partition; a retry does not help.
        """
        seats = self._rows[partition]
        if seats is None:
            numbers, tenures = self.slots[partition].tolist(), self.tenures[partition].tolist()
            seats = tuple(
                Seat(slot, server, tenure)
                for slot, (server, tenure) in enumerate(zip(numbers, tenures, strict=True))
                if server != VACANT
            )
            self._rows[partition] = seats
        return seats

    def lookup(self, digest: bytes) -> tuple[Seat, ...]:
        """Return who keeps what has a digest: the row of its partition, in one call. O(1)."""
        seats = self._rows[_prefix_of(digest)[0] >> self._shift]
        return self.row(self.partition_of(digest)) if seats is None else seats

    def handoffs(self, partition: int) -> tuple[int, ...]:
        """Return the servers that stand in for a primary of a partition, first choice first.

        All live servers outside the row, in weighted rendezvous order, those in other zones than the row's first.
        Draining servers are left out. Depends on the members and the row, not on the epoch.
        """
        return self._ranked(partition)

    def lookup_many(self, digests: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Return the rows of many digests at once: about 3 ns for each on one core of 2024.

        Args:
            digests: (n, at least 4).

        Returns:
            Server numbers, (n, width), `VACANT` where a slot has none.
        """
        prefixes = np.ascontiguousarray(digests)[:, :4].view(">u4")[:, 0]
        # No prefix is out of bounds. Without a check for it, numpy takes rows four times as fast.
        return np.take(self.slots, prefixes >> np.uint32(self._shift), axis=0, mode="clip")

    def shares(self) -> dict[int, float]:
        """Return the part of all occupied slots that each member holds, by its number; together 1."""
        held = shards_held(self.slots)
        occupied = max(1, sum(held.values()))
        return {member.number: held.get(member.number, 0) / occupied for member in self.members}

    def balance(self) -> float:
        """Return the largest load over the fair one: 1.0 is perfect, 1.05 means that some server holds 5 % too much."""
        held = shards_held(self.slots)
        fair = fair_shares(self.members, partitions=self.partitions, width=self.width)
        return max((held.get(number, 0) / float(share) for number, share in fair.items() if share), default=1.0)

    def validate(self) -> None:
        """Check every rule that a stored ring must keep. Called after every build and on every load.

        Raises:
            InvalidRing: a rule is broken, and which; such a ring is never used, and a retry does not help.
        """
        if not self.policy or self.epoch < 1:
            raise InvalidRing(f"a ring needs a policy and an epoch from 1, not {self.policy!r} and {self.epoch}")
        live = live_members(self.members)
        occupied = self.slots != VACANT
        if not np.isin(self.slots[occupied], np.array([member.number for member in live], np.int32)).all():
            raise InvalidRing("a row names a server that is unknown or draining")
        if ((self.tenures != 0) != occupied).any():
            raise InvalidRing("a tenure is 0 in a held slot, or is not in a vacant one")
        if (occupied.sum(axis=1) != min(self.width, len(live))).any():
            raise InvalidRing(f"a row does not name {min(self.width, len(live))} servers")
        in_row_order = np.sort(self.slots, axis=1)
        if ((in_row_order[:, 1:] == in_row_order[:, :-1]) & (in_row_order[:, 1:] != VACANT)).any():
            raise InvalidRing("a row names a server twice")
        zone_index = {zone: index for index, zone in enumerate(sorted({member.zone for member in live}))}
        zone_of = {member.number: zone_index[member.zone] for member in live}
        numbers = np.array([*zone_of], np.int32)
        zones = np.full(self.slots.shape, VACANT)
        zones[occupied] = np.array([*zone_of.values()])[np.searchsorted(numbers, self.slots[occupied])]
        zones.sort(axis=1)
        cap = spread_cap(self.members, self.width)
        # In a sorted row, equal values `cap` places apart are more than `cap` shards in one zone.
        if ((zones[:, cap:] == zones[:, :-cap]) & (zones[:, cap:] != VACANT)).any():
            raise InvalidRing(f"a row has more than {cap} servers in one zone")

    @cached_property
    def checksum(self) -> bytes:
        """Return the checksum of the serialised ring: its identity."""
        return checksum_of(self.to_bytes())

    def check_parent(self, parent: Ring) -> None:
        """Make sure that this ring was built from that one.

        Raises:
            CorruptRing: it was built from another; a retry does not help.
        """
        _check_parent(self.parent, self.epoch, parent.checksum, parent.epoch)

    def to_bytes(self) -> bytes:
        """Serialise; equal rings give equal bytes. See `placement.sealed` for the form."""
        header = {
            "policy": self.policy,
            "epoch": self.epoch,
            "partition_bits": self.partition_bits,
            "width": self.width,
            "members": [[member.number, member.zone, member.weight] for member in self.members],
            "parent": self.parent.hex(),
        }
        payload = self.slots.astype("<i4").tobytes() + self.tenures.astype("<u8").tobytes()
        return seal(_RING_MAGIC, header, payload)

    @classmethod
    def from_bytes(cls, data: bytes) -> Ring:
        """Read what `to_bytes` wrote, and validate it.

        Raises:
            CorruptRing: these are not the bytes that were written; another copy may be good, a retry does not help.
            InvalidRing: they are, and the ring breaks a rule.
        """
        header, payload = unseal(_RING_MAGIC, data)
        try:
            shape = (1 << header["partition_bits"], header["width"])
            split_at = 4 * shape[0] * shape[1]
            ring = cls(
                policy=str(header["policy"]),
                epoch=int(header["epoch"]),
                slots=np.frombuffer(payload[:split_at], "<i4").reshape(shape).astype(np.int32),
                tenures=np.frombuffer(payload[split_at:], "<u8").reshape(shape).astype(np.uint64),
                members=tuple(Member(int(n), str(zone), int(weight)) for n, zone, weight in header["members"]),
                parent=bytes.fromhex(header["parent"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptRing("the header does not describe a ring of this size") from error
        ring.validate()
        return ring

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ring) and self.checksum == other.checksum

    def __hash__(self) -> int:
        return hash(self.checksum)

    def __repr__(self) -> str:
        return (
            f"Ring(policy={self.policy!r}, epoch={self.epoch}, partition_bits={self.partition_bits}, "
            f"width={self.width}, members={len(self.members)})"
        )

    def _rank_handoffs(self, partition: int) -> tuple[int, ...]:
        return rank_handoffs(
            self.members,
            (seat.server for seat in self.row(partition)),
            partition << self._shift,  # names the same slice of the hash space after a split, too
        )


@dataclass(frozen=True, eq=False)
class RingSet:
    """Hold the rings of all policies at one epoch: the unit in which a topology changes.

    Args:
        epoch: that of every ring in it.
        rings: by the policy's name; the set keeps a read-only copy.
        parent: checksum of the set before it; `NO_PARENT` for the first.
    """

    epoch: int
    rings: Mapping[str, Ring]
    parent: bytes = NO_PARENT

    def __post_init__(self) -> None:
        object.__setattr__(self, "rings", MappingProxyType(dict(sorted(self.rings.items()))))

    def followed_by(self, rings: Mapping[str, Ring]) -> RingSet:
        """Return the validated set of the next epoch, whose parent this one is.

        Raises:
            InvalidRing: a ring is not of the next epoch, or breaks a rule; a retry does not help.
        """
        following = RingSet(self.epoch + 1, rings, self.checksum)
        following.validate()
        return following

    def validate(self) -> None:
        """Check that the rings belong together, and each of them.

        Raises:
            InvalidRing: a ring is of another epoch or under another policy's name, or breaks a rule of its own.
        """
        if len(self.parent) != CHECKSUM_BYTES:
            raise InvalidRing(f"a parent's checksum has {CHECKSUM_BYTES} bytes, not {len(self.parent)}")
        for policy, ring in self.rings.items():
            if ring.policy != policy or ring.epoch != self.epoch:
                raise InvalidRing(
                    f"the ring of {ring.policy!r} at epoch {ring.epoch} stands for {policy!r} at epoch {self.epoch}"
                )
            ring.validate()

    @cached_property
    def checksum(self) -> bytes:
        """Return the checksum of the serialised set: its identity."""
        return checksum_of(self.to_bytes())

    def check_parent(self, parent: RingSet) -> None:
        """Make sure that this set follows that one.

        Raises:
            CorruptRing: it follows another; a retry does not help.
        """
        _check_parent(self.parent, self.epoch, parent.checksum, parent.epoch)

    def to_bytes(self) -> bytes:
        """Serialise; equal sets give equal bytes."""
        serialised = [ring.to_bytes() for ring in self.rings.values()]
        header = {"epoch": self.epoch, "parent": self.parent.hex(), "rings": [len(ring) for ring in serialised]}
        return seal(_RING_SET_MAGIC, header, b"".join(serialised))

    @classmethod
    def from_bytes(cls, data: bytes) -> RingSet:
        """Read what `to_bytes` wrote, and validate it.

        Raises:
            CorruptRing: these are not the bytes that were written; another copy may be good, a retry does not help.
            InvalidRing: they are, and a ring breaks a rule.
        """
        header, payload = unseal(_RING_SET_MAGIC, data)
        try:
            epoch, parent, sizes = int(header["epoch"]), bytes.fromhex(header["parent"]), list(header["rings"])
            rings, start = [], 0
            for size in sizes:
                rings.append(Ring.from_bytes(bytes(payload[start : start + size])))
                start += size
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptRing("the header does not describe a ring set") from error
        ring_set = cls(epoch, {ring.policy: ring for ring in rings}, parent)
        ring_set.validate()
        return ring_set

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RingSet) and self.checksum == other.checksum

    def __hash__(self) -> int:
        return hash(self.checksum)


def _read_only(values: NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
    copied = np.array(values, dtype=dtype, order="C")
    copied.setflags(write=False)
    return copied


def _check_parent(claimed: bytes, epoch: int, checksum: bytes, parent_epoch: int) -> None:
    if claimed != checksum or epoch != parent_epoch + 1:
        raise CorruptRing(f"epoch {epoch} was not built from this epoch {parent_epoch}")
