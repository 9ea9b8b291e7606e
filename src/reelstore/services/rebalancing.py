"""Put the parts of moving and mending together."""

from __future__ import annotations

import time

from reelstore.chunkstore.store import ChunkStore
from reelstore.repositories.interface import Metadata
from reelstore.services.attention import Attention
from reelstore.services.control import Control
from reelstore.services.delete_rounds import DeleteRounds
from reelstore.services.journal import Journal
from reelstore.services.leases import BlockLeases
from reelstore.services.mending import Mender
from reelstore.services.moves import Moves
from reelstore.services.pace import Pace
from reelstore.services.progress import Progress
from reelstore.services.rebalance import Reconciler
from reelstore.services.rebalancer import Rebalancer, Schedule
from reelstore.services.repair import Repairer


def build_rebalancer(
    metadata: Metadata,
    store: ChunkStore,
    attention: Attention,
    repairer: Repairer,
    pace: Pace,
    schedule: Schedule,
    *,
    holder: str,
) -> Rebalancer:
    """Make a rebalancer.

    Args:
        metadata: what should be there.
        store: what is there, and when users' bytes last moved.
        attention: where needs are noted.
        repairer: judges and repairs single shards.
        pace: how fast shards are read where nothing is to be put.
        schedule: when it looks at what.
        holder: a random id of this process.
    """
    control = Control(metadata, holder)
    moves = Moves(control, store.activity.idle_seconds)
    progress = Progress(metadata, store.topology, time.monotonic)
    mender = Mender(store, repairer, moves, pace, progress)
    deletes = DeleteRounds(metadata, store.fleet, control)
    return Rebalancer(
        metadata=metadata,
        topology=store.topology,
        fleet=store.fleet,
        reconciler=Reconciler(metadata, store.topology, store.fleet, repairer, mender, deletes, attention, progress),
        attention=attention,
        schedule=schedule,
        control=control,
        moves=moves,
        leases=BlockLeases(metadata, holder),
        progress=progress,
        journal=Journal(metadata),
    )
