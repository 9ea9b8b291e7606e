"""An application from its start to its end, and what it does by itself meanwhile."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from reelstore.background.loops import Background, Chore
from reelstore.bootstrap.assembly import Application, assemble
from reelstore.bootstrap.metadata import is_shared, open_metadata, sole_owner
from reelstore.bootstrap.reaching import access_of, drivers_of
from reelstore.config import Settings
from reelstore.domain.errors import MetadataUnavailable
from reelstore.domain.ids import Entropy
from reelstore.repositories.interface import Metadata
from reelstore.services.leases import RENEW_SECONDS

FOLLOW_SECONDS = 0.5
"""How soon this process knows of an epoch that another one began."""
HANDOVER_SECONDS = 1.0
CLOCK_SECONDS = 30.0
FORGET_SECONDS = 3600.0
REMOVAL_SECONDS = 5.0
EVICTION_SECONDS = 5.0
TRANSFER_SECONDS = 2.0


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
    with sole_owner(settings):
        metadata = await open_metadata(settings)
        try:
            async with _assembled(settings, metadata, entropy) as application:
                yield application
        finally:
            await metadata.close()


@asynccontextmanager
async def _assembled(settings: Settings, metadata: Metadata, entropy: Entropy) -> AsyncIterator[Application]:
    application = await assemble(settings, metadata, entropy=entropy, drivers=drivers_of(access_of(settings)))
    if not is_shared(settings):  # the data folder is locked: whoever held a lease is gone
        await application.rebalancer.leases.forget_others()
    background = background_of(application)
    try:
        background.start()
        yield application
    finally:
        application.feed.close()
        await background.stop()
        if is_shared(settings):
            with suppress(MetadataUnavailable):  # all is seen again
                await application.handover.give()
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
    if is_shared(settings):
        chores.append(Chore("following other processes", FOLLOW_SECONDS, application.monitor.catch_up))
        chores.append(Chore("following what moves", settings.probe_seconds, application.topology.follow_synced))
        do = application.handover.take if settings.background else application.handover.give
        chores.append(Chore("handing needs over", HANDOVER_SECONDS, do))
    if settings.background:
        chores += [
            Chore("keeping leases", RENEW_SECONDS, application.rebalancer.leases.renew),
            Chore("removing emptied servers", REMOVAL_SECONDS, application.removals.step),
            Chore("evicting silent servers", EVICTION_SECONDS, application.evictor.step),
            Chore("sampling how full servers are", settings.usage_sample_seconds, application.capacity.sample),
            Chore("giving videos another policy", TRANSFER_SECONDS, application.transferring.step),
            Chore("ending uploads", settings.expiry_seconds, application.expire),
            Chore("forgetting what is old", FORGET_SECONDS, application.retention.forget),
            Chore("emptying the quarantine", FORGET_SECONDS, application.quarantine.expire),
        ]
    return Background(chores, rebalancer=application.rebalancer if settings.background else None)
