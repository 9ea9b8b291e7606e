"""What a change of the topology costs, as values: pure, computed from tables and counted bytes.

Priced are the confirmed chunks, each shard lying where its partition was last proved to lie (*synced*). What the price
leaves out: shards that have arrived in a partition which is not proved yet (they will not be sent again), and those
that were stored since the last change (they lie by the newest ring already). Both are gone once the cluster is idle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelstore.domain.change import PlannedMove, PlannedServer, PlannedZone
from reelstore.domain.server import Server, ServerState
from reelstore.placement.plan import Price, price
from reelstore.placement.quota import shards_held
from reelstore.placement.ring import VACANT, Ring

ASSUMED_BYTES_PER_SECOND = 50 * 10**6
"""A single disk that turns, with a copy's read, write and fsync: what nobody should be disappointed by."""
MEASURED_SECONDS_MIN = 10
"""Moving for less than that says nothing of what moving for hours is like."""
GROWTH_TOLERATED = 1.05
"""By how much a plan may have become dearer since somebody looked at it (rule 11)."""


@dataclass(frozen=True, slots=True)
class PolicyTables:
    """One policy's way from here to there.

    Args:
        newest: its present ring.
        effective: where its shards are.
        following: its ring after the change.
        shard_bytes: the size of one slot of each partition of `following`.
    """

    newest: Ring
    effective: Ring
    following: Ring
    shard_bytes: NDArray[np.int64]

    @property
    def stored_bytes(self) -> int:
        """Return the bytes of all its shards."""
        repeated = self.following.partitions // self.effective.partitions
        held = np.repeat(np.count_nonzero(self.effective.slots != VACANT, axis=1), repeated)
        return int((held * self.shard_bytes).sum(dtype=np.int64))


@dataclass(frozen=True, slots=True)
class Cost:
    """What a change costs, over all policies; the fields are those of `Plan`."""

    bytes_total: int
    bytes_minimum: int
    bytes_stored: int
    moves: tuple[PlannedMove, ...]
    servers: tuple[PlannedServer, ...]
    zones: tuple[PlannedZone, ...]
    incoming: Mapping[str, int]


def cost(
    tables: Mapping[str, PolicyTables],
    before: Sequence[Server],
    after: Sequence[Server],
    *,
    default_policy: str,
) -> Cost:
    """Price a change.

    Args:
        tables: by policy.
        before: all servers as they are, with what they hold; removed ones too.
        after: as they are to be, the same ones and those that are added.
        default_policy: of whose ring the servers' shares are told.
    """
    prices = [price(table.effective, table.following, table.shard_bytes) for table in tables.values()]
    incoming, outgoing = _sum(p.incoming for p in prices), _sum(p.outgoing for p in prices)
    moves = _moves(prices, after)
    was = {server.number: server for server in before}
    shares = tables[default_policy].newest.shares(), tables[default_policy].following.shares()
    servers = [
        PlannedServer(
            name=server.name,
            zone=server.zone,
            state_after=server.state,
            capacity_bytes=server.capacity_bytes,
            used_bytes_before=server.used_bytes,
            # Nothing is deleted before all has arrived, so at the worst a server holds both.
            used_bytes_peak=server.used_bytes + incoming[server.number],
            used_bytes_after=max(0, server.used_bytes + incoming[server.number] - outgoing[server.number]),
            share_before=shares[0].get(server.number, 0.0),
            share_after=shares[1].get(server.number, 0.0),
        )
        for server in after
        if server.state is not ServerState.REMOVED
    ]
    return Cost(
        bytes_total=sum(move.size_bytes for move in moves),
        bytes_minimum=sum(p.bytes_minimum for p in prices),
        bytes_stored=sum(table.stored_bytes for table in tables.values()),
        moves=moves,
        servers=tuple(sorted(servers, key=lambda server: server.name)),
        zones=_zones(tables.values(), was, after, {server.name: server for server in servers}),
        incoming={server.name: incoming[server.number] for server in after if incoming[server.number]},
    )


def _sum(parts: Iterable[Mapping[int, int]]) -> Counter[int]:
    total: Counter[int] = Counter()
    for part in parts:
        total.update(part)
    return total


def _moves(prices: Iterable[Price], servers: Iterable[Server]) -> tuple[PlannedMove, ...]:
    """Join the moves of all policies; what a removed server had is made from the others, as if nobody had it."""
    names = {server.number: server.name for server in servers if server.state is not ServerState.REMOVED}
    joined: Counter[tuple[str | None, str]] = Counter()
    for each in prices:
        for (source, target), size_bytes in each.moves.items():
            joined[names.get(source), names[target]] += size_bytes
    ordered = sorted(joined.items(), key=lambda item: (-item[1], item[0][0] or "", item[0][1]))
    return tuple(PlannedMove(source, target, size_bytes) for (source, target), size_bytes in ordered)


def _zones(
    tables: Iterable[PolicyTables],
    was: Mapping[int, Server],
    after: Iterable[Server],
    planned: Mapping[str, PlannedServer],
) -> tuple[PlannedZone, ...]:
    shards_before: Counter[int] = Counter()
    shards_after: Counter[int] = Counter()
    for table in tables:
        repeated = table.following.partitions // table.newest.partitions  # a split alone changes nothing
        held = shards_held(table.newest.slots)
        shards_before.update({number: shards * repeated for number, shards in held.items()})
        shards_after.update(shards_held(table.following.slots))
    zones: dict[str, list[int]] = {}
    for server in after:
        if server.state is ServerState.REMOVED:
            continue
        fill = planned[server.name]
        if server.number in was:
            earlier = zones.setdefault(was[server.number].zone, [0, 0, 0, 0])
            earlier[0] += shards_before[server.number]
            earlier[2] += fill.used_bytes_before
        later = zones.setdefault(server.zone, [0, 0, 0, 0])
        later[1] += shards_after[server.number]
        later[3] += fill.used_bytes_after
    return tuple(PlannedZone(name, *counts) for name, counts in sorted(zones.items()))


def expected_rate(*, moved_bytes: int, moving_seconds: int, limit: int | None) -> tuple[float, str]:
    """Return how many bytes a second will move, and what that is taken from.

    Args:
        moved_bytes: that were ever moved.
        moving_seconds: for how long.
        limit: bytes per second that somebody has set.

    Returns:
        the rate, and `measured`, `limit` or `assumed`.
    """
    rate, basis = float(ASSUMED_BYTES_PER_SECOND), "assumed"
    if moving_seconds >= MEASURED_SECONDS_MIN and moved_bytes > 0:
        rate, basis = moved_bytes / moving_seconds, "measured"
    if limit is not None and limit < rate:
        return float(limit), "limit"
    return rate, basis


def has_become_dearer(*, bytes_total: int, bytes_stored: int, planned_total: int, planned_stored: int) -> bool:
    """Return whether a change costs more than was agreed to: by more than 5 %, and more than was stored since.

    What is stored between plan and apply may have to move too, each byte at most once, and nobody needs to be asked
    about that. What is left to make it dearer is another place of what was there: shards that had not been moved by
    the last change then, and have been now.

    Args:
        bytes_total: what it costs now.
        bytes_stored: bytes of all shards now.
        planned_total: what it cost when it was planned.
        planned_stored: bytes of all shards then.
    """
    return bytes_total > GROWTH_TOLERATED * planned_total + max(0, bytes_stored - planned_stored)
