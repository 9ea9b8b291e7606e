"""Build rings: the first one, the next one after a change of servers, the same one with twice the partitions.

Pure and deterministic: equal arguments give equal bytes, whatever the order of the members, the hash seed or the
number of threads. Random tenures come from the caller, who draws them inside the transaction that stores the ring.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from reelstore.domain.errors import InvalidRing
from reelstore.placement.draft import Draft, Indices
from reelstore.placement.layout import first_layout
from reelstore.placement.members import Member, in_order, live_members, spread_cap
from reelstore.placement.quota import quotas, shards_held
from reelstore.placement.repair import repair
from reelstore.placement.ring import PARTITION_BITS_MAX, VACANT, Ring

PARTITION_BITS_DEFAULT = 12
QUOTA_MIN = 100

DrawTenures = Callable[[int], NDArray[np.uint64]]
"""Draw so many random ids, none of them 0."""


def first_ring(
    policy: str,
    members: Iterable[Member],
    *,
    partition_bits: int,
    width: int,
    draw: DrawTenures,
    epoch: int = 1,
) -> Ring:
    """Build the first ring of a policy: exact quotas, spread over zones, every server sharing with many.

    Args:
        policy: its name.
        members: the servers, in any order; there may be none, and then every slot is vacant.
        partition_bits: 0 to `PARTITION_BITS_MAX`; see `default_partition_bits`.
        width: slots of a row, at least 1.
        draw: called once, for all slots that are held, row by row.
        epoch: that of the ring set it enters; more than 1 when a policy is added to a cluster.

    Returns:
        A validated ring.

    Raises:
        InvalidRing: an argument is out of its range; a retry does not help.
    """
    if not 0 <= partition_bits <= PARTITION_BITS_MAX or width < 1:
        raise InvalidRing(f"2^{partition_bits} partitions of {width} slots make no ring")
    ordered = in_order(members)
    live = live_members(ordered)
    partitions = 1 << partition_bits
    quota = _quota_of(ordered, partitions=partitions, width=width, held={})
    cap = spread_cap(ordered, width)
    indices = first_layout(quota, _zone_indices(live), partitions=partitions, width=width, cap=cap)
    slots = _to_numbers(indices, live)
    tenures = _draw_tenures(slots != VACANT, np.zeros(slots.shape, np.uint64), draw)
    return _checked(Ring(policy, epoch, slots, tenures, ordered), quota)


def next_ring(newest: Ring, effective: Ring | None, members: Iterable[Member], *, draw: DrawTenures) -> Ring:
    """Build the ring of the next epoch for a changed set of servers, moving as little as can be moved.

    The change is computed from where the shards *are*: the effective table. So cancelling an addition that has moved
    nothing yet gives the old rows back and moves nothing. Where several moves are equally good, one that is under
    way (from the effective towards the newest row) is kept.

    **Tenures** (storage protocol, rule 2). A slot keeps its tenure if the same server holds the same slot in the
    newest row, or else in the effective one; any other gets a new one. The slot counts because it is part of a
    shard's name: were a server to leave slot 0, hold slot 1 and come back to slot 0 under one tenure, a name that was
    deleted meanwhile would be written again. A server that stays in the effective row always stays in its slot, and
    one on its way to the newest row mostly gets the slot it has there; so a new tenure for a mere change of slot is
    rare.

    Args:
        newest: the present ring; the result is its child.
        effective: the table whose row, for each partition, is that of the epoch to which it is synced, with its
            tenures; see `effective_ring`. None when all partitions are synced to the newest ring.
        members: the servers of the new ring, in any order; one that is missing, or of weight 0, is emptied.
        draw: called once, for all new tenures, row by row.

    Returns:
        A validated ring, of the newest one's policy and next epoch.

    Raises:
        InvalidRing: the tables are not of one shape, or members repeat a number; a retry does not help.
    """
    base = newest if effective is None else effective
    if base.slots.shape != newest.slots.shape:
        raise InvalidRing(f"the effective table is {base.slots.shape}, the newest ring {newest.slots.shape}")
    ordered = in_order(members)
    live = live_members(ordered)
    indices = _to_indices(base.slots, live)
    held = shards_held(_to_numbers(indices, live))
    quota = _quota_of(ordered, partitions=newest.partitions, width=newest.width, held=held)
    cap = spread_cap(ordered, newest.width)
    draft = Draft(indices, quota, _zone_indices(live), cap=cap, salt=newest.epoch + 1)
    repair(draft, on_the_way=None if effective is None else _to_indices(newest.slots, live))
    slots = _to_numbers(draft.slots, live)
    kept = np.zeros(slots.shape, np.uint64)
    for table in (base, newest):  # the newest last: it is the one that counts where both know the server
        np.copyto(kept, table.tenures, where=(table.slots == slots) & (slots != VACANT))
    tenures = _draw_tenures(slots != VACANT, kept, draw)
    return _checked(Ring(newest.policy, newest.epoch + 1, slots, tenures, ordered, newest.checksum), quota)


def split(ring: Ring) -> Ring:
    """Return the ring of the next epoch with twice the partitions, each row there twice.

    Nothing moves, and no shard's name changes: both halves keep the row's tenures, and nothing on disk depends on
    the number of partitions. Rounding is for the doubled number now; a `next_ring` afterwards moves at most one shard
    for each server.

    Raises:
        InvalidRing: there are 2^`PARTITION_BITS_MAX` partitions already; a retry does not help.
    """
    slots, tenures = _doubled(ring, ring.partition_bits + 1)
    doubled = Ring(ring.policy, ring.epoch + 1, slots, tenures, ring.members, ring.checksum)
    doubled.validate()
    return doubled


def unchanged(ring: Ring) -> Ring:
    """Return the same table as the ring of the next epoch: what a policy has when another one's ring changes."""
    same = Ring(ring.policy, ring.epoch + 1, ring.slots, ring.tenures, ring.members, ring.checksum)
    same.validate()
    return same


def widened(ring: Ring, partition_bits: int, *, epoch: int | None = None) -> Ring:
    """Return a table with at least that many partitions, each row repeated: one from before a split as after it.

    It is for comparing and for reading, and is never stored.

    Raises:
        InvalidRing: it has more partitions; a retry does not help.
    """
    if ring.partition_bits > partition_bits:
        raise InvalidRing(f"2^{ring.partition_bits} partitions cannot be shown as 2^{partition_bits}")
    epoch = ring.epoch if epoch is None else epoch
    if (ring.partition_bits, ring.epoch) == (partition_bits, epoch):
        return ring
    slots, tenures = _doubled(ring, partition_bits)
    return Ring(ring.policy, epoch, slots, tenures, ring.members, ring.parent)


def effective_ring(newest: Ring, synced: Mapping[int, Ring], synced_epochs: NDArray[np.integer]) -> Ring:
    """Return the table of where shards are: for each partition, the row of the epoch to which it is synced.

    Args:
        newest: the present ring.
        synced: the rings of this policy by epoch, at least all that `synced_epochs` names. Those from before a split
            have fewer partitions and are widened.
        synced_epochs: (partitions of `newest`,).

    Returns:
        A table of the newest ring's epoch and members, for `next_ring` and `placement.plan`. It is no valid ring: it
        may name servers that are unknown by now.

    Raises:
        InvalidRing: a ring is missing, or has another width or more partitions; a retry does not help.
    """
    slots, tenures = newest.slots.copy(), newest.tenures.copy()
    if synced_epochs.shape != (newest.partitions,):
        raise InvalidRing(f"{synced_epochs.shape} synced epochs for {newest.partitions} partitions")
    for epoch in np.unique(synced_epochs).tolist():
        ring = synced.get(epoch)
        if ring is None or ring.width != newest.width or ring.partition_bits > newest.partition_bits:
            raise InvalidRing(f"no ring of epoch {epoch} that fits the newest one")
        rows = synced_epochs == epoch
        old_slots, old_tenures = _doubled(ring, newest.partition_bits)
        slots[rows], tenures[rows] = old_slots[rows], old_tenures[rows]
    return Ring(newest.policy, newest.epoch, slots, tenures, newest.members)


def default_partition_bits(members: Iterable[Member], *, width: int = 3) -> int:
    """Return how many partition bits suit a number of servers: 12, or more so that a mean quota is at least 100.

    A quota is exact to one shard, so 100 keeps the rounding within 1 %. Servers far smaller than the mean are rounded
    more coarsely; to them that is a few bytes. The same rule says when to `split`: when this is more than the ring
    has.
    """
    servers = len(live_members(members))
    bits = PARTITION_BITS_DEFAULT
    while (min(width, servers) << bits) < QUOTA_MIN * servers and bits < PARTITION_BITS_MAX:
        bits += 1
    return bits


def wants_split(ring: Ring, members: Iterable[Member]) -> bool:
    """Return whether the ring has too few partitions to be shared evenly by these members.

    A ring that was begun with fewer than the default was so on purpose, and is left as it is.
    """
    return PARTITION_BITS_DEFAULT <= ring.partition_bits < default_partition_bits(members, width=ring.width)


def _quota_of(members: tuple[Member, ...], *, partitions: int, width: int, held: Mapping[int, int]) -> Indices:
    """Return the quotas of the live members, in their order."""
    by_number = quotas(members, partitions=partitions, width=width, held=held)
    return np.array([by_number[member.number] for member in live_members(members)], np.int64)


def _zone_indices(members: tuple[Member, ...]) -> Indices:
    zones = {zone: index for index, zone in enumerate(sorted({member.zone for member in members}))}
    return np.array([zones[member.zone] for member in members], np.int64)


def _to_indices(slots: NDArray[np.int32], live: tuple[Member, ...]) -> Indices:
    """Write a table in indices of the live servers; every other server leaves a vacancy."""
    numbers = np.array([member.number for member in live], np.int32)
    at = np.searchsorted(numbers, slots)
    found = np.append(numbers, VACANT)[at] == slots
    return np.where(found & (slots != VACANT), at, VACANT).astype(np.int64)


def _to_numbers(indices: Indices, live: tuple[Member, ...]) -> NDArray[np.int32]:
    numbers = np.array([*(member.number for member in live), VACANT], np.int32)
    return np.asarray(numbers[indices], np.int32)


def _doubled(ring: Ring, partition_bits: int) -> tuple[NDArray[np.int32], NDArray[np.uint64]]:
    times = 1 << (partition_bits - ring.partition_bits)
    return np.repeat(ring.slots, times, axis=0), np.repeat(ring.tenures, times, axis=0)


def _draw_tenures(held: NDArray[np.bool_], kept: NDArray[np.uint64], draw: DrawTenures) -> NDArray[np.uint64]:
    """Give every held slot without a tenure a new one."""
    new = held & (kept == 0)
    count = int(np.count_nonzero(new))
    if count:
        drawn = draw(count)
        if drawn.shape != (count,) or drawn.dtype != np.uint64 or not drawn.all():
            raise InvalidRing(f"asked for {count} tenures, was given {drawn.dtype} {drawn.shape} or a 0")
        kept[new] = drawn
    return kept


def _checked(ring: Ring, quota: Indices) -> Ring:
    """Validate what was built, and that each server holds exactly its quota."""
    ring.validate()
    held = shards_held(ring.slots)
    for member, expected in zip(live_members(ring.members), quota.tolist(), strict=True):
        if held.get(member.number, 0) != expected:
            raise InvalidRing(f"server {member.number} holds {held.get(member.number, 0)} shards, not {expected}")
    return ring
