"""The application as a value: its services, built over adapters and handed over by constructor."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from reelstore.bootstrap.metadata import is_shared
from reelstore.bootstrap.reaching import DRIVERS, durable
from reelstore.chunkstore.fleet import Fleet
from reelstore.chunkstore.store import ChunkStore, ChunkStoreLimits
from reelstore.chunkstore.topology import TopologyCache
from reelstore.config import Settings
from reelstore.domain.errors import (
    MetadataFull,
    ReelstoreError,
)
from reelstore.domain.ids import Entropy, random_id
from reelstore.domain.policy import Policy
from reelstore.domain.server import Server
from reelstore.repositories.interface import Metadata
from reelstore.services.attention import Attention
from reelstore.services.capacity import CapacityService
from reelstore.services.clock_guard import ClockGuard
from reelstore.services.events import EventLog
from reelstore.services.eviction import Evictor
from reelstore.services.expiry import expire_open_files
from reelstore.services.forced_removal import ForcedRemoval
from reelstore.services.founding import FirstServer, found, identify, is_founded
from reelstore.services.handover import Handover
from reelstore.services.health import Monitor
from reelstore.services.inspection import VideoInspector
from reelstore.services.live_feed import LiveFeed
from reelstore.services.locations import Locations
from reelstore.services.ownership import recognise
from reelstore.services.pace import Pace
from reelstore.services.places import Drivers, Places
from reelstore.services.policies import Policies
from reelstore.services.proving import ShardProver
from reelstore.services.quarantine import Quarantine
from reelstore.services.rebalancer import Rebalancer, Schedule
from reelstore.services.rebalancing import build_rebalancer
from reelstore.services.removal import Removals
from reelstore.services.removal_evidence import RiskSurvey
from reelstore.services.repair import Repairer
from reelstore.services.retention import Retention
from reelstore.services.scrub_progress import ScrubWatch
from reelstore.services.servers import ServerManager
from reelstore.services.status import ClusterHealth
from reelstore.services.topology_changes import TopologyChanges
from reelstore.services.transferring import Transferring
from reelstore.services.transfers import Transfers
from reelstore.services.verification import ClusterVerifier
from reelstore.services.videos import VideoService
from reelstore.storage.interface import StorageServer

DEFAULT_POLICY = "default"


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Application:
    """Everything that the web layer and tests use, built and connected."""

    settings: Settings
    metadata: Metadata
    topology: TopologyCache
    fleet: Fleet
    store: ChunkStore
    attention: Attention
    videos: VideoService
    transfers: Transfers
    transferring: Transferring
    inspector: VideoInspector
    verifier: ClusterVerifier
    quarantine: Quarantine
    scrub_watch: ScrubWatch
    servers: ServerManager
    health: ClusterHealth
    capacity: CapacityService
    changes: TopologyChanges
    policies: Policies
    monitor: Monitor
    removals: Removals
    forced_removal: ForcedRemoval
    evictor: Evictor
    rebalancer: Rebalancer
    clock_guard: ClockGuard
    events: EventLog
    feed: LiveFeed
    retention: Retention
    handover: Handover
    leaving: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it is about to end: it is not ready any more."""

    async def ready(self) -> tuple[bool, str]:
        """Say whether requests can be served, and why not: the metadata answers and enough servers take writes."""
        if self.leaving.is_set():
            return False, "this gateway is about to end; ask another one"
        try:
            async with self.metadata.snapshot() as view:
                await view.rings.head()
        except ReelstoreError as error:
            return False, str(error)
        up = sum(member.is_up for member in self.fleet)
        needed = self.topology.present.copies_min
        if up < needed:
            return False, f"storage servers that answer: {up}, and {needed} must acknowledge each write"
        return True, "ready"

    async def expire(self) -> int:
        """Drop uploads that nobody continues."""
        return await expire_open_files(self.metadata, self.topology, self.attention, self.clock_guard)


async def assemble(
    settings: Settings,
    metadata: Metadata,
    *,
    entropy: Entropy,
    drivers: Drivers = DRIVERS,
    first_policy: Policy | None = None,
) -> Application:
    """Build an application over this metadata, its servers attached and its background not begun.

    Args:
        settings: see there.
        metadata: where everything is known; founded if it was never used.
        entropy: draws ids and tenures.
        drivers: how places are reached; tests hand over ones that fail on demand.
        first_policy: of a new cluster; as many copies as the settings say if absent.

    Raises:
        ServerRefused, ServerUnavailable: a first server's place cannot be claimed.
        MetadataUnavailable: a retry can help.
    """
    policy = first_policy or _copies(settings)
    cluster = await identify(metadata, policy, entropy=entropy)
    is_copy = not await recognise(metadata)
    fleet = Fleet(_connect(drivers), cluster_id=cluster.id, generation=cluster.generation, is_copy=is_copy)
    attention = Attention()
    topology = TopologyCache(metadata, on_split=attention.widen)
    if not await is_founded(metadata):
        await _found(settings, metadata, fleet, policy, drivers, entropy)
    await _look(metadata, topology, fleet)
    store = _chunk_store(settings, metadata, topology, fleet, attention, entropy)
    places = Places(drivers if settings.memory else durable(drivers), fleet)
    changes = TopologyChanges(metadata, topology, fleet, places, attention, entropy=entropy)
    monitor = Monitor(metadata, topology, fleet, attention, follow=changes.follow, misses_max=settings.probe_misses)
    await _first_probe(monitor)
    pace = Pace(settings.scrub_bytes_per_second, store.activity.idle_seconds)
    repairer = Repairer(fleet, store)
    prover = ShardProver(metadata, topology, fleet, repairer, attention, pace)
    rebalancer = _rebalancer(settings, metadata, store, attention, repairer, pace, entropy)
    guard, events, servers = ClockGuard(metadata), EventLog(metadata), ServerManager(metadata, topology, fleet, changes)
    risks, locations = RiskSurvey(metadata, topology, fleet, attention), Locations(topology)
    return Application(
        settings=settings,
        metadata=metadata,
        topology=topology,
        fleet=fleet,
        store=store,
        attention=attention,
        videos=VideoService(metadata, store, locations, attention, entropy=entropy),
        transfers=Transfers(metadata),
        transferring=_transferring(metadata, store, locations, attention, rebalancer, entropy),
        inspector=VideoInspector(metadata, topology, prover),
        verifier=ClusterVerifier(metadata, topology, prover),
        quarantine=Quarantine(metadata, fleet, guard, keep_seconds=settings.quarantine_seconds),
        scrub_watch=ScrubWatch(metadata, topology, scrub_seconds=settings.scrub_seconds),
        servers=servers,
        health=ClusterHealth(metadata, topology, fleet, servers, attention, guard),
        capacity=CapacityService(
            metadata, topology, fleet, servers, places, guard, sample_seconds=settings.usage_sample_seconds
        ),
        changes=changes,
        policies=Policies(metadata, topology, attention, follow=changes.follow, entropy=entropy),
        monitor=monitor,
        removals=_removals(metadata, fleet, risks, changes, rebalancer),
        forced_removal=ForcedRemoval(metadata, fleet, changes, risks),
        evictor=_evictor(settings, metadata, fleet, changes, guard),
        rebalancer=rebalancer,
        clock_guard=guard,
        events=events,
        feed=LiveFeed(events, rebalancer.status),
        retention=Retention(metadata, guard, event_keep_seconds=settings.event_keep_seconds),
        handover=Handover(metadata, attention),
    )


def _connect(drivers: Drivers) -> Callable[[Server], StorageServer]:
    return lambda server: drivers.connect(server.url, server.name, server.capacity_bytes)


def _copies(settings: Settings) -> Policy:
    return Policy.replicated(DEFAULT_POLICY, settings.copies, chunk_size_bytes=settings.chunk_size_bytes)


async def _look(metadata: Metadata, topology: TopologyCache, fleet: Fleet) -> None:
    await topology.refresh()
    async with metadata.snapshot() as view:
        await fleet.refresh(await view.servers.list())


def _chunk_store(
    settings: Settings,
    metadata: Metadata,
    topology: TopologyCache,
    fleet: Fleet,
    attention: Attention,
    entropy: Entropy,
) -> ChunkStore:
    return ChunkStore(
        metadata,
        topology,
        fleet,
        entropy=entropy,
        on_defect=attention.on_defect,
        is_known_bad=attention.is_known_bad,
        limits=_limits(settings),
    )


def _rebalancer(
    settings: Settings,
    metadata: Metadata,
    store: ChunkStore,
    attention: Attention,
    repairer: Repairer,
    pace: Pace,
    entropy: Entropy,
) -> Rebalancer:
    schedule = Schedule(settings.survey_seconds, settings.scrub_seconds)
    rebalancer = build_rebalancer(metadata, store, attention, repairer, pace, schedule, holder=random_id(entropy))
    rebalancer.works = settings.background or not is_shared(settings)
    return rebalancer


async def _first_probe(monitor: Monitor) -> None:
    try:
        await monitor.probe_all()
    except MetadataFull as error:  # what was seen is not written down; reads go on, and a purge makes room
        log.warning("starting on a full volume: %s", error)


def _transferring(
    metadata: Metadata,
    store: ChunkStore,
    locations: Locations,
    attention: Attention,
    rebalancer: Rebalancer,
    entropy: Entropy,
) -> Transferring:
    holder = rebalancer.leases.holder
    return Transferring(metadata, store, locations, attention, rebalancer.moves, holder=holder, entropy=entropy)


def _removals(
    metadata: Metadata, fleet: Fleet, risks: RiskSurvey, changes: TopologyChanges, rebalancer: Rebalancer
) -> Removals:
    deletes = rebalancer.reconciler.deletes
    return Removals(metadata, fleet, risks, deletes_stopped=lambda: deletes.stopped_because, follow=changes.follow)


def _evictor(
    settings: Settings, metadata: Metadata, fleet: Fleet, changes: TopologyChanges, guard: ClockGuard
) -> Evictor:
    return Evictor(metadata, fleet, changes, guard, mode=settings.evict, after_seconds=settings.evict_after_seconds)


async def _found(
    settings: Settings, metadata: Metadata, fleet: Fleet, policy: Policy, drivers: Drivers, entropy: Entropy
) -> None:
    """Begin with servers in memory, or with folders below the data folder, which share its disk."""
    first = []
    for index in range(1, settings.first_servers + 1):
        name = f"disk{index}"
        url = "memory:" if settings.memory else (settings.data.resolve() / "servers" / name).as_uri()
        sharing = 1 if settings.memory else settings.first_servers
        first.append(FirstServer(name, url, drivers.default_zone(url), sharing, drivers.connect(url, name, None)))
    try:
        servers = await found(metadata, fleet, policy, first, partition_bits=settings.partition_bits, entropy=entropy)
    except BaseException:
        for begun in first:
            await begun.driver.close()  # or the next try would find its own lock
        raise
    for server, begun in zip(servers, first, strict=True):
        if settings.memory:
            fleet.adopt(server, begun.driver)  # its content is the driver itself
        else:
            await begun.driver.close()


def _limits(settings: Settings) -> ChunkStoreLimits:
    return ChunkStoreLimits(
        write_memory_bytes=settings.write_memory_bytes,
        read_memory_bytes=settings.read_memory_bytes,
        cache_bytes=settings.cache_bytes,
        open_file_seconds=settings.open_file_seconds,
        put_timeout_seconds=settings.put_timeout_seconds,
        get_timeout_seconds=settings.get_timeout_seconds,
    )
