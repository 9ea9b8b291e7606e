"""Estimate a change: the next rings, their price, and what to warn of, from one consistent view of the metadata."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from reelstore.chunkstore.fleet import Fleet, FleetMember
from reelstore.chunkstore.redundancy import redundancy_of
from reelstore.domain.change import Plan, ServerChange
from reelstore.domain.counter import Counter
from reelstore.domain.errors import StorageError
from reelstore.domain.server import Server
from reelstore.placement.builder import DrawTenures, widened
from reelstore.placement.ring import RingSet
from reelstore.repositories.interface import UnitOfWork
from reelstore.services.epochs import Layout, next_ring_sets, present_layout
from reelstore.services.plan_warnings import Surroundings, plan_warnings
from reelstore.services.planning import PolicyTables, cost, expected_rate
from reelstore.services.server_changes import changed_servers

USAGE_SECONDS = 5.0

CountedBytes = Mapping[str, NDArray[np.int64]]
"""Bytes of one copy in each partition, by policy."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What somebody wants: changes whose zones and capacities are known, and the plan's id and reason."""

    plan_id: str
    changes: tuple[ServerChange, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """A plan, and all that is needed to carry it out.

    Args:
        plan: with its price.
        before, after: all servers as they are and as they are to be.
        layout: where everything is.
        following: ring sets of the next epochs, in order.
        counted: what was counted, so that it need not be again in a moment.
    """

    plan: Plan
    before: tuple[Server, ...]
    after: tuple[Server, ...]
    layout: Layout
    following: tuple[RingSet, ...]
    counted: CountedBytes


def as_seen(servers: Sequence[Server], fleet: Fleet) -> tuple[Server, ...]:
    """Return servers with what this process saw of their fill last."""
    seen = []
    for server in servers:
        member = fleet.get(server.number)
        seen.append(
            replace(server, used_bytes=member.server.used_bytes) if member is not None and member.is_up else server
        )
    return tuple(seen)


async def measure(fleet: Fleet) -> None:
    """Ask the servers that answer how full they are now: what the last probe saw may be half a minute old."""

    async def ask(member: FleetMember) -> None:
        with suppress(StorageError, TimeoutError):  # the probe says what is wrong; what it saw last stands
            async with asyncio.timeout(USAGE_SECONDS):
                usage = await member.driver.usage()
            member.saw(usage)

    await asyncio.gather(*(ask(member) for member in fleet if member.is_up))


def surroundings(fleet: Fleet, disks: Mapping[str, str]) -> Surroundings:
    """Return what this process sees of the servers; `disks` are what their URLs fail together with."""
    silent, free_bytes, on_disks = {}, {}, {}
    for member in fleet:
        server = member.server
        if member.problem is not None:
            silent[server.name] = member.problem
        elif member.free_bytes is not None and member.free_bytes < server.capacity_bytes - server.used_bytes:
            free_bytes[server.name] = member.free_bytes  # the disk has less than the capacity says
        if server.url in disks:
            on_disks[server.name] = disks[server.url]
    return Surroundings(silent, free_bytes, on_disks)


async def estimate(
    uow: UnitOfWork,
    intent: Intent,
    fleet: Fleet,
    *,
    disks: Mapping[str, str],
    draw: DrawTenures,
    counted: CountedBytes | None = None,
) -> Estimate:
    """Compute and price a change.

    Args:
        uow: a snapshot, or the transaction that is to carry it out and holds the ring head's lock.
        intent: what is wanted.
        fleet: for what is seen of the servers.
        disks: what each URL fails together with.
        draw: for new tenures.
        counted: bytes by partition, from a moment ago; counting again takes seconds for ten million chunks, for which
            a transaction would keep all writers waiting.

    Raises:
        ServerNotFound, ServerExists, InvalidInput, Conflict: see `changed_servers`.
    """
    layout = await present_layout(uow)
    before = as_seen(await uow.servers.list(), fleet)
    after = changed_servers(before, intent.changes, next_number=await uow.servers.next_number())
    following = await asyncio.to_thread(next_ring_sets, layout, after, draw=draw)
    policies = {policy.name: policy for policy in await uow.policies.list()}
    tables, counted = {}, dict(counted or {})
    for name, ring in following[-1].rings.items():
        if name not in counted or len(counted[name]) != ring.partitions:
            counted[name] = np.array(await uow.chunks.bytes_by_partition(name, ring.partition_bits), np.int64)
        needed = redundancy_of(policies[name]).needed
        effective = widened(layout.effective[name], ring.partition_bits)
        tables[name] = PolicyTables(layout.newest.rings[name], effective, ring, -(-counted[name] // needed))
    cluster = await uow.cluster.get()
    if cluster is None:
        raise RuntimeError("the metadata has no cluster")
    price = await asyncio.to_thread(cost, tables, before, after, default_policy=cluster.default_policy)
    urls = {change.name: change.url for change in intent.changes if change.url in disks}
    seen = surroundings(fleet, disks)
    seen = replace(seen, disks={**seen.disks, **{name: disks[url] for name, url in urls.items() if url is not None}})
    counts, control = await uow.counters.get(), await uow.control.get()
    rate, basis = expected_rate(
        moved_bytes=counts[Counter.SHARDS_MOVED_BYTES],
        moving_seconds=counts[Counter.MOVING_SECONDS],
        limit=control.bytes_per_second,
    )
    plan = Plan(
        id=intent.plan_id,
        base_epoch=layout.newest.epoch,
        changes=intent.changes,
        reason=intent.reason,
        bytes_total=price.bytes_total,
        bytes_minimum=price.bytes_minimum,
        bytes_stored=price.bytes_stored,
        moves=price.moves,
        servers=price.servers,
        zones=price.zones,
        duration_seconds=price.bytes_total / rate,
        duration_basis=basis,
        warnings=plan_warnings(tables, policies, price, before, after, seen),
        created_at=await uow.now(),
    )
    return Estimate(plan, before, after, layout, tuple(following), counted)
