"""The composition root: alone builds adapters, and hands them over by constructor."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from reelstore.background.loops import Background, Chore
from reelstore.chunkstore.fleet import Fleet
from reelstore.chunkstore.store import ChunkStore, ChunkStoreLimits
from reelstore.chunkstore.topology import TopologyCache
from reelstore.config import Settings
from reelstore.domain.errors import (
    ConfigurationError,
    InvalidServerUrl,
    MetadataFull,
    MetadataUnavailable,
    ReelstoreError,
)
from reelstore.domain.ids import Entropy, random_id
from reelstore.domain.policy import Policy
from reelstore.domain.server import Server
from reelstore.repositories.interface import Metadata
from reelstore.repositories.memory import InMemoryMetadata
from reelstore.repositories.sql import SqlMetadata
from reelstore.services.attention import Attention
from reelstore.services.capacity import CapacityService
from reelstore.services.clock_guard import ClockGuard
from reelstore.services.events import EventLog
from reelstore.services.eviction import Evictor
from reelstore.services.expiry import expire_open_files
from reelstore.services.forced_removal import ForcedRemoval
from reelstore.services.founding import FirstServer, found, identify, is_founded
from reelstore.services.health import Monitor
from reelstore.services.inspection import VideoInspector
from reelstore.services.leases import RENEW_SECONDS
from reelstore.services.live_feed import LiveFeed
from reelstore.services.locations import Locations
from reelstore.services.pace import Pace
from reelstore.services.places import Drivers, Places
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
from reelstore.services.verification import ClusterVerifier
from reelstore.services.videos import VideoService
from reelstore.storage import registry
from reelstore.storage.interface import StorageServer
from reelstore.storage.memory import MemoryServer
from reelstore.storage.node.access import NodeAccess, access_for_gateway

DEFAULT_POLICY = "default"
DATABASE_FILE = "metadata.sqlite"
LOCK_FILE = "reelstore.lock"
CLOCK_SECONDS = 30.0
FORGET_SECONDS = 3600.0
REMOVAL_SECONDS = 5.0
EVICTION_SECONDS = 5.0
NODE_SECRET = "node.secret"  # noqa: S105 - the name of a file


def drivers_of(nodes: NodeAccess | None) -> Drivers:
    """Return how places are reached; nodes only where there is an access to them."""
    return Drivers(
        lambda url, name, capacity_bytes: registry.connect(url, name=name, capacity_bytes=capacity_bytes, nodes=nodes),
        registry.default_zone,
        registry.same_place,
        lambda url: registry.default_capacity(url, nodes=nodes),
    )


DRIVERS = drivers_of(None)

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
    inspector: VideoInspector
    verifier: ClusterVerifier
    quarantine: Quarantine
    scrub_watch: ScrubWatch
    servers: ServerManager
    health: ClusterHealth
    capacity: CapacityService
    changes: TopologyChanges
    monitor: Monitor
    removals: Removals
    forced_removal: ForcedRemoval
    evictor: Evictor
    rebalancer: Rebalancer
    clock_guard: ClockGuard
    events: EventLog
    feed: LiveFeed
    retention: Retention

    async def ready(self) -> tuple[bool, str]:
        """Say whether requests can be served, and why not: the metadata answers and enough servers take writes."""
        try:
            async with self.metadata.snapshot() as view:
                await view.rings.head()
        except ReelstoreError as error:
            return False, str(error)
        up = sum(member.is_up for member in self.fleet)
        needed = self.topology.present.copies_min
        if up < needed:
            return False, f"{up} storage servers answer, and {needed} must acknowledge each write"
        return True, "ready"

    async def expire(self) -> int:
        """Drop uploads that nobody continues."""
        return await expire_open_files(self.metadata, self.topology, self.attention, self.clock_guard)


@asynccontextmanager
async def running(settings: Settings, *, entropy: Entropy = os.urandom) -> AsyncIterator[Application]:
    """Build an application, found a cluster if there is none, attach the servers, and run the background.

    A server that is missing, or not the one it should be, does not keep the application from starting: it runs
    degraded, and says so.

    Args:
        settings: see there.
        entropy: draws ids and tenures.

    Raises:
        ConfigurationError: the data folder or the database cannot be used.
        MetadataUnavailable: the database is locked, or its volume is full; a retry can help.
    """
    with _sole_owner(settings):
        metadata = await _open_metadata(settings)
        try:
            async with _assembled(settings, metadata, entropy) as application:
                yield application
        finally:
            await metadata.close()


@asynccontextmanager
async def _assembled(settings: Settings, metadata: Metadata, entropy: Entropy) -> AsyncIterator[Application]:
    application = await assemble(settings, metadata, entropy=entropy, drivers=drivers_of(_node_access(settings)))
    if settings.database_url is None:  # the data folder is locked: whoever held a lease is gone
        await application.rebalancer.leases.forget_others()
    background = background_of(application)
    try:
        background.start()
        yield application
    finally:
        application.feed.close()
        await background.stop()
        with suppress(MetadataUnavailable):  # leases end by themselves
            await application.rebalancer.leases.leave()
        await application.store.close()
        await application.fleet.close()


def background_of(application: Application) -> Background:
    """Return what an application does by itself, not begun."""
    settings = application.settings
    chores = [
        Chore("probing servers", settings.probe_seconds, application.monitor.probe_all),
        Chore("watching the clock", CLOCK_SECONDS, application.clock_guard.tick),
    ]
    if settings.background:
        chores += [
            Chore("keeping leases", RENEW_SECONDS, application.rebalancer.leases.renew),
            Chore("removing emptied servers", REMOVAL_SECONDS, application.removals.step),
            Chore("evicting silent servers", EVICTION_SECONDS, application.evictor.step),
            Chore("sampling how full servers are", settings.usage_sample_seconds, application.capacity.sample),
            Chore("ending uploads", settings.expiry_seconds, application.expire),
            Chore("forgetting what is old", FORGET_SECONDS, application.retention.forget),
            Chore("emptying the quarantine", FORGET_SECONDS, application.quarantine.expire),
        ]
    return Background(chores, rebalancer=application.rebalancer if settings.background else None)


async def assemble(
    settings: Settings, metadata: Metadata, *, entropy: Entropy, drivers: Drivers = DRIVERS
) -> Application:
    """Build an application over this metadata, its servers attached and its background not begun.

    Args:
        settings: see there.
        metadata: where everything is known; founded if it was never used.
        entropy: draws ids and tenures.
        drivers: how places are reached; tests hand over ones that fail on demand.

    Raises:
        ServerRefused, ServerUnavailable: a first server's place cannot be claimed.
        MetadataUnavailable: a retry can help.
    """

    def connect(server: Server) -> StorageServer:
        return drivers.connect(server.url, server.name, server.capacity_bytes)

    policy = Policy.replicated(DEFAULT_POLICY, settings.copies, chunk_size_bytes=settings.chunk_size_bytes)
    cluster = await identify(metadata, policy, entropy=entropy)
    fleet = Fleet(connect, cluster_id=cluster.id, generation=cluster.generation)
    attention = Attention()
    topology = TopologyCache(metadata, on_split=attention.widen)
    if not await is_founded(metadata):
        await _found(settings, metadata, fleet, policy, drivers, entropy)
    await topology.refresh()
    async with metadata.snapshot() as view:
        await fleet.refresh(await view.servers.list())
    store = _chunk_store(settings, metadata, topology, fleet, attention, entropy)
    places = Places(drivers if settings.memory else _durable(drivers), fleet)
    changes = TopologyChanges(metadata, topology, fleet, places, attention, entropy=entropy)
    monitor = Monitor(metadata, topology, fleet, attention, follow=changes.follow, misses_max=settings.probe_misses)
    await _first_probe(monitor)
    pace = Pace(settings.scrub_bytes_per_second, store.activity.idle_seconds)
    repairer = Repairer(fleet, store)
    prover = ShardProver(metadata, topology, fleet, repairer, attention, pace)
    schedule = Schedule(settings.survey_seconds, settings.scrub_seconds)
    rebalancer = build_rebalancer(metadata, store, attention, repairer, pace, schedule, holder=random_id(entropy))
    guard, events, servers = ClockGuard(metadata), EventLog(metadata), ServerManager(metadata, topology, fleet, changes)
    risks = RiskSurvey(metadata, topology, fleet, attention)
    return Application(
        settings=settings,
        metadata=metadata,
        topology=topology,
        fleet=fleet,
        store=store,
        attention=attention,
        videos=VideoService(metadata, store, Locations(topology), attention, entropy=entropy),
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
        monitor=monitor,
        removals=_removals(metadata, fleet, risks, changes, rebalancer),
        forced_removal=ForcedRemoval(metadata, fleet, changes, risks),
        evictor=_evictor(settings, metadata, fleet, changes, guard),
        rebalancer=rebalancer,
        clock_guard=guard,
        events=events,
        feed=LiveFeed(events, rebalancer.status),
        retention=Retention(metadata, guard, event_keep_seconds=settings.event_keep_seconds),
    )


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


async def _first_probe(monitor: Monitor) -> None:
    try:
        await monitor.probe_all()
    except MetadataFull as error:  # what was seen is not written down; reads go on, and a purge makes room
        log.warning("starting on a full volume: %s", error)


def _removals(
    metadata: Metadata, fleet: Fleet, risks: RiskSurvey, changes: TopologyChanges, rebalancer: Rebalancer
) -> Removals:
    deletes = rebalancer.reconciler.deletes
    return Removals(metadata, fleet, risks, deletes_stopped=lambda: deletes.stopped_because, follow=changes.follow)


def _evictor(
    settings: Settings, metadata: Metadata, fleet: Fleet, changes: TopologyChanges, guard: ClockGuard
) -> Evictor:
    return Evictor(metadata, fleet, changes, guard, mode=settings.evict, after_seconds=settings.evict_after_seconds)


def _durable(drivers: Drivers) -> Drivers:
    """Refuse places that forget: what a cluster on disks acknowledges must be on disks."""

    def connect(url: str, name: str, capacity_bytes: int | None) -> StorageServer:
        driver = drivers.connect(url, name, capacity_bytes)
        if isinstance(driver, MemoryServer):
            raise InvalidServerUrl("memory: forgets all in the end; it is for `reelstore serve --memory`", field="url")
        return driver

    return replace(drivers, connect=connect)


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


def _node_access(settings: Settings) -> NodeAccess | None:
    return access_for_gateway(
        given=settings.node_secret.get_secret_value() if settings.node_secret else None,
        file=settings.node_secret_file,
        own_file=None if settings.memory else settings.data / NODE_SECRET,
        ca_file=settings.node_ca_file,
    )


def _limits(settings: Settings) -> ChunkStoreLimits:
    return ChunkStoreLimits(
        write_memory_bytes=settings.write_memory_bytes,
        read_memory_bytes=settings.read_memory_bytes,
        cache_bytes=settings.cache_bytes,
        open_file_seconds=settings.open_file_seconds,
        put_timeout_seconds=settings.put_timeout_seconds,
        get_timeout_seconds=settings.get_timeout_seconds,
    )


async def _open_metadata(settings: Settings) -> Metadata:
    if settings.memory:
        return InMemoryMetadata()
    url = settings.database_url or f"sqlite:///{settings.data.resolve() / DATABASE_FILE}"
    return await SqlMetadata.open(url)


@contextmanager
def _sole_owner(settings: Settings) -> Iterator[None]:
    """Make the data folder and hold it for this process.

    Raises:
        ConfigurationError: it cannot be made, or another process holds it.
    """
    if settings.memory:
        yield
        return
    folder = settings.data
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(f"the data folder {folder} cannot be used: {error.strerror}") from None
    try:
        _lock(lock, folder)
        yield
    finally:
        os.close(lock)


def _lock(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigurationError(f"the data folder {folder} is in use by another process") from None
    except OSError as error:
        raise ConfigurationError(f"the data folder {folder} cannot be locked: {error.strerror}") from None
