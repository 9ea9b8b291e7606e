"""What the web layer asks of the application behind it, and how routes get at it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol, cast

from fastapi import Depends, FastAPI, Request

from reelstore.services.capacity import CapacityService
from reelstore.services.clock_guard import ClockGuard
from reelstore.services.events import EventLog
from reelstore.services.forced_removal import ForcedRemoval
from reelstore.services.inspection import VideoInspector
from reelstore.services.live_feed import LiveFeed
from reelstore.services.policies import Policies
from reelstore.services.quarantine import Quarantine
from reelstore.services.rebalancer import Rebalancer
from reelstore.services.removal import Removals
from reelstore.services.scrub_progress import ScrubWatch
from reelstore.services.servers import ServerManager
from reelstore.services.status import ClusterHealth
from reelstore.services.topology_changes import TopologyChanges
from reelstore.services.transfers import Transfers
from reelstore.services.verification import ClusterVerifier
from reelstore.services.videos import VideoService


class Settings(Protocol):
    """The settings that concern HTTP."""

    @property
    def host(self) -> str:
        """The address that is listened on."""
        ...

    @property
    def allowed_hosts(self) -> Sequence[str] | None:
        """Host names to answer to, without ports; None for loopback names when bound to loopback, else any."""
        ...


class Application(Protocol):
    """The services, built and started by whoever serves them: `reelstore.bootstrap`."""

    @property
    def settings(self) -> Settings:
        """Settings."""
        ...

    @property
    def videos(self) -> VideoService:
        """Store, find, change and read videos."""
        ...

    @property
    def servers(self) -> ServerManager:
        """Administer storage servers and the ring."""
        ...

    @property
    def changes(self) -> TopologyChanges:
        """Plan, apply and revert changes of the servers."""
        ...

    @property
    def transfers(self) -> Transfers:
        """Give videos another policy."""
        ...

    @property
    def policies(self) -> Policies:
        """Look after the policies."""
        ...

    @property
    def removals(self) -> Removals:
        """Say whether a server can be taken away."""
        ...

    @property
    def forced_removal(self) -> ForcedRemoval:
        """Take away a server that does not answer."""
        ...

    @property
    def inspector(self) -> VideoInspector:
        """Show and prove where videos lie."""
        ...

    @property
    def verifier(self) -> ClusterVerifier:
        """Prove the shards of the whole cluster."""
        ...

    @property
    def quarantine(self) -> Quarantine:
        """Look after copies of suspect bytes."""
        ...

    @property
    def scrub_watch(self) -> ScrubWatch:
        """Tell how far the scrub is."""
        ...

    @property
    def rebalancer(self) -> Rebalancer:
        """Follow the rebalancing."""
        ...

    @property
    def health(self) -> ClusterHealth:
        """Say whether all is well."""
        ...

    @property
    def capacity(self) -> CapacityService:
        """Say how full it is, and will be."""
        ...

    @property
    def clock_guard(self) -> ClockGuard:
        """Say whether the clock can be trusted."""
        ...

    @property
    def events(self) -> EventLog:
        """Read what happened."""
        ...

    @property
    def feed(self) -> LiveFeed:
        """Follow what happens."""
        ...

    async def ready(self) -> tuple[bool, str]:
        """Return whether requests can be served, and if not, why."""
        ...


def attach(app: FastAPI, application: Application) -> None:
    """Make the application known to the routes."""
    app.state.application = application


def application_of(request: Request) -> Application:
    """Return what `attach` attached."""
    return cast("Application", request.app.state.application)


# Coroutines, though they wait for nothing: FastAPI would run plain functions in a thread, for each request.


async def _videos(request: Request) -> VideoService:
    return application_of(request).videos


async def _servers(request: Request) -> ServerManager:
    return application_of(request).servers


async def _removals(request: Request) -> Removals:
    return application_of(request).removals


async def _forced_removal(request: Request) -> ForcedRemoval:
    return application_of(request).forced_removal


async def _changes(request: Request) -> TopologyChanges:
    return application_of(request).changes


async def _transfers(request: Request) -> Transfers:
    return application_of(request).transfers


async def _policies(request: Request) -> Policies:
    return application_of(request).policies


async def _inspector(request: Request) -> VideoInspector:
    return application_of(request).inspector


async def _verifier(request: Request) -> ClusterVerifier:
    return application_of(request).verifier


async def _quarantine(request: Request) -> Quarantine:
    return application_of(request).quarantine


async def _scrub_watch(request: Request) -> ScrubWatch:
    return application_of(request).scrub_watch


async def _rebalancer(request: Request) -> Rebalancer:
    return application_of(request).rebalancer


async def _health(request: Request) -> ClusterHealth:
    return application_of(request).health


async def _capacity(request: Request) -> CapacityService:
    return application_of(request).capacity


async def _events(request: Request) -> EventLog:
    return application_of(request).events


async def _feed(request: Request) -> LiveFeed:
    return application_of(request).feed


Videos = Annotated[VideoService, Depends(_videos)]
Servers = Annotated[ServerManager, Depends(_servers)]
RemovalChecks = Annotated[Removals, Depends(_removals)]
Forcing = Annotated[ForcedRemoval, Depends(_forced_removal)]
Changes = Annotated[TopologyChanges, Depends(_changes)]
Transferals = Annotated[Transfers, Depends(_transfers)]
PolicyKeeping = Annotated[Policies, Depends(_policies)]
Inspector = Annotated[VideoInspector, Depends(_inspector)]
Verifier = Annotated[ClusterVerifier, Depends(_verifier)]
Quarantined = Annotated[Quarantine, Depends(_quarantine)]
Scrubbing = Annotated[ScrubWatch, Depends(_scrub_watch)]
Rebalancing = Annotated[Rebalancer, Depends(_rebalancer)]
Events = Annotated[EventLog, Depends(_events)]
Feed = Annotated[LiveFeed, Depends(_feed)]
ClusterCondition = Annotated[ClusterHealth, Depends(_health)]
Fill = Annotated[CapacityService, Depends(_capacity)]
