"""Begin an epoch: the next rings of all policies, from where the shards are, in the caller's transaction.

What the storage protocol asks of it (rules 2, 7 and 11): the ring head is locked, the rows are computed from those to
which each partition is synced, tenures are drawn in the transaction, and the version of exactly the rows that change
is raised. No partition is called synced here, not even one whose row stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from reelstore.domain.ids import Entropy
from reelstore.domain.policy import Policy
from reelstore.domain.server import Server, ServerState
from reelstore.placement.builder import (
    DrawTenures,
    effective_ring,
    first_ring,
    next_ring,
    split,
    unchanged,
    wants_split,
    widened,
)
from reelstore.placement.members import Member
from reelstore.placement.ring import Ring, RingSet
from reelstore.repositories.interface import UnitOfWork


@dataclass(frozen=True, slots=True)
class Layout:
    """The newest rings, and the tables of where the shards are (see `placement.builder.effective_ring`)."""

    newest: RingSet
    effective: Mapping[str, Ring]


async def present_layout(uow: UnitOfWork) -> Layout:
    """Read the layout. Who goes on to begin an epoch holds the ring head's lock before."""
    newest = await ring_set(uow, await uow.rings.head())
    older = {newest.epoch: newest}
    effective = {}
    for policy, ring in newest.rings.items():
        states = await uow.partitions.list(policy)
        epochs = np.array([state.synced_epoch for state in states], dtype=np.int64)
        for epoch in np.unique(epochs).tolist():
            if epoch not in older:
                older[epoch] = await ring_set(uow, epoch)
        tables = {epoch: rings.rings[policy] for epoch, rings in older.items() if policy in rings.rings}
        effective[policy] = effective_ring(ring, tables, epochs)
    return Layout(newest, effective)


async def ring_set(uow: UnitOfWork, epoch: int) -> RingSet:
    """Read the rings of an epoch that is known to be there."""
    rings = await uow.rings.get(epoch)
    if rings is None:
        raise RuntimeError(f"the metadata has no ring of epoch {epoch}")
    return rings


def next_ring_sets(layout: Layout, servers: Iterable[Server], *, draw: DrawTenures) -> list[RingSet]:
    """Compute the way to a changed set of servers. Pure, and slow enough for a thread.

    Args:
        layout: where everything is.
        servers: all, as they are to be.
        draw: called for new tenures.

    Returns:
        the ring sets of the following epochs, in order; the last one is that of these servers. Those before it are
        splits, where there are too few partitions for so many servers.
    """
    members = members_of(servers)
    sets: list[RingSet] = []
    while crowded := [name for name, ring in layout.newest.rings.items() if wants_split(ring, members)]:
        layout = split_layout(layout, crowded)
        sets.append(layout.newest)
    rings = {
        policy: next_ring(ring, layout.effective[policy], members, draw=draw)
        for policy, ring in layout.newest.rings.items()
    }
    return [*sets, layout.newest.followed_by(rings)]


def split_layout(layout: Layout, policies: Iterable[str]) -> Layout:
    """Return the layout of the next epoch, in which these policies have twice the partitions. Nothing moves.

    Raises:
        InvalidRing: one of them has the most partitions already; a retry does not help.
    """
    doubled = frozenset(policies)
    rings = {
        policy: split(ring) if policy in doubled else unchanged(ring) for policy, ring in layout.newest.rings.items()
    }
    newest = layout.newest.followed_by(rings)
    effective = {
        policy: widened(table, rings[policy].partition_bits, epoch=newest.epoch)
        for policy, table in layout.effective.items()
    }
    return Layout(newest, effective)


def with_policy(newest: RingSet, policy: Policy, servers: Iterable[Server], *, draw: DrawTenures) -> RingSet:
    """Return the ring set of the next epoch, in which there is one policy more. Nothing moves.

    Pure. The new ring has as many partitions as the others, so that all of them are split at the same size.
    """
    ring = first_ring(
        policy.name,
        members_of(servers),
        partition_bits=max(each.partition_bits for each in newest.rings.values()),
        width=policy.width,
        draw=draw,
        epoch=newest.epoch + 1,
    )
    others = {name: unchanged(other) for name, other in newest.rings.items()}
    return newest.followed_by({**others, policy.name: ring})


async def begin_epochs(
    uow: UnitOfWork, newest: RingSet, following: Sequence[RingSet], *, reason: str, at: datetime
) -> None:
    """Make ring sets the newest, one after the other; the caller holds the ring head's lock, and commits.

    Args:
        uow: the transaction.
        newest: the present ring set.
        following: those of the next epochs, in order; see `next_ring_sets` and `with_policy`.
        reason: of the last one, for people.
        at: the database's time.
    """
    for rings in following:
        was_split = False
        for policy, ring in rings.rings.items():
            before = newest.rings.get(policy)
            if before is None:
                await uow.partitions.add(policy, ring.partitions, epoch=rings.epoch)
                continue
            if ring.partition_bits > before.partition_bits:
                was_split = True
                await uow.partitions.split(policy)
                before = widened(before, ring.partition_bits)
            changed = np.any((ring.slots != before.slots) | (ring.tenures != before.tenures), axis=1)
            await uow.partitions.raise_versions(policy, np.flatnonzero(changed).tolist())
        await uow.rings.add(rings, reason="split the partitions" if was_split else reason, at=at)
        newest = rings


def members_of(servers: Iterable[Server]) -> list[Member]:
    """Return the servers as placement sees them: only active ones have weight."""
    return [
        Member(server.number, server.zone, server.capacity_bytes if server.state is ServerState.ACTIVE else 0)
        for server in servers
        if server.state is not ServerState.REMOVED
    ]


def draw_tenures(entropy: Entropy, count: int) -> NDArray[np.uint64]:
    """Draw so many tenures: random, and never 0, which stands for a vacant slot."""
    tenures = np.frombuffer(entropy(8 * count), dtype=np.uint64).copy()
    tenures[tenures == 0] = 1
    return tenures


def pretend_tenures(count: int) -> NDArray[np.uint64]:
    """Return tenures for a ring that is computed to be priced and never stored."""
    return np.ones(count, np.uint64)
