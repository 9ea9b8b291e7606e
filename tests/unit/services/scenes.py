"""What the tests of reconciling share."""

from __future__ import annotations

from reelstore.domain.chunk import ShardName
from reelstore.domain.event import SERVER_EVENTS, Event
from reelstore.services.events import EventFilter
from reelstore.services.rebalance import Reconciler
from reelstore.services.survey import Slice
from tests.cluster import CHUNK, POLICY, Cluster, content

EVERYTHING = Slice(POLICY, 0, 16)


def reconciler(cluster: Cluster) -> Reconciler:
    return cluster.app.rebalancer.reconciler


async def history(cluster: Cluster, name: str) -> tuple[Event, ...]:
    """Return what happened to a server, the newest first."""
    return (await cluster.app.events.latest(limit=20, wanted=EventFilter(SERVER_EVENTS, name))).items


async def shard_on(cluster: Cluster, name: str) -> ShardName:
    return min((await cluster.shards())[name])


async def kept(cluster: Cluster, chunks: int = 20) -> tuple[str, bytes]:
    """Store a video of that many chunks, settled; return its id and bytes."""
    data = content(chunks * CHUNK)
    video = await cluster.store(data)
    await cluster.settle()
    return video.id, data
