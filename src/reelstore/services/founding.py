"""Found a cluster in an empty database: its id, the default policy, the first servers and the first ring."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from reelstore.chunkstore.fleet import Fleet
from reelstore.domain.ids import Entropy, random_id
from reelstore.domain.policy import Policy
from reelstore.domain.server import Server
from reelstore.placement.builder import first_ring
from reelstore.placement.ring import RingSet
from reelstore.repositories.interface import Cluster, Metadata
from reelstore.services.epochs import draw_tenures, members_of
from reelstore.storage.interface import StorageServer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FirstServer:
    """A server of a new cluster: `capacity_bytes` None takes what its driver tells, divided by `sharing` servers."""

    name: str
    url: str
    zone: str
    sharing: int
    driver: StorageServer


async def identify(metadata: Metadata, policy: Policy, *, entropy: Entropy) -> Cluster:
    """Return the cluster's row, made if the database was never used.

    It is committed before the first server is claimed, so that a crash between the two leaves places that are known
    to be ours.
    """
    async with metadata.snapshot() as view:
        cluster = await view.cluster.get()
    if cluster is not None:
        return cluster  # without a unit of work, which a full volume refuses: a start must not need room
    async with metadata.unit_of_work() as uow:
        cluster = await uow.cluster.get()
        if cluster is None:
            cluster = Cluster(
                id=random_id(entropy),
                generation=random_id(entropy),
                delete_rounds=0,
                default_policy=policy.name,
                created_at=await uow.now(),
                home=await uow.cluster.whereabouts(),
            )
            await uow.cluster.add(cluster)
            await uow.commit()
    return cluster


async def is_founded(metadata: Metadata) -> bool:
    """Return whether there is a ring."""
    async with metadata.snapshot() as view:
        return await view.rings.head() > 0


async def found(
    metadata: Metadata,
    fleet: Fleet,
    policy: Policy,
    first_servers: Sequence[FirstServer],
    *,
    partition_bits: int,
    entropy: Entropy,
) -> list[Server]:
    """Claim the first servers and begin epoch 1, in that order; a crash between the two is repeated at the next start.

    Returns:
        the servers, in the order given; those that are registered where another process was quicker.

    Raises:
        ServerRefused: a place belongs to another cluster; nothing was registered.
        ServerUnavailable: a place cannot be opened.
    """
    servers = []
    for number, first in enumerate(first_servers):
        await fleet.attach(first.driver, first.name, claim=True)
        usage = await first.driver.usage()
        capacity_bytes = max(1, usage.capacity_bytes // first.sharing)
        servers.append(Server(first.name, number, first.url, first.zone, capacity_bytes))
    ring = first_ring(
        policy.name,
        members_of(servers),
        partition_bits=partition_bits,
        width=policy.width,
        draw=lambda count: draw_tenures(entropy, count),
    )
    rings = RingSet(1, {policy.name: ring})
    rings.validate()
    async with metadata.unit_of_work() as uow:
        if await uow.rings.head(lock=True) > 0:  # another gateway began at the same moment
            return list(await uow.servers.list())
        now = await uow.now()
        await uow.policies.add(policy)
        for server in servers:
            await uow.servers.add(server)
        await uow.rings.add(rings, reason="the cluster was founded", at=now)
        await uow.partitions.add(policy.name, ring.partitions, epoch=1)
        await uow.commit()
    log.info("founded a cluster of %d servers with policy %s = %s", len(servers), policy.name, policy)
    return servers
