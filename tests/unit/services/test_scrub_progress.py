"""When everything was last verified, and how much is due."""

from __future__ import annotations

from datetime import timedelta

from reelstore.services.scrub_progress import ScrubProgress
from tests.cluster import CHUNK, Cluster, content

WEEK = 7 * 86_400


async def progress(cluster: Cluster) -> ScrubProgress:
    return await cluster.app.scrub_watch.progress()


async def test_in_a_new_cluster_nothing_was_verified_and_all_is_due(cluster: Cluster) -> None:
    assert await progress(cluster) == ScrubProgress(16, 16, 16, None, 0, 0)


async def test_once_all_is_scrubbed_nothing_is_due_for_a_week(cluster: Cluster) -> None:
    await cluster.store(content(20 * CHUNK))
    await cluster.settle()
    scrubbed_at = cluster.clock.now
    found = await progress(cluster)
    assert (found.partitions_never, found.partitions_due, found.oldest_scrub_at) == (0, 0, scrubbed_at)
    cluster.clock.advance(WEEK)
    assert (await progress(cluster)).partitions_due == 0
    cluster.clock.advance(1)
    found = await progress(cluster)
    assert (found.partitions_never, found.partitions_due, found.oldest_scrub_at) == (0, 16, scrubbed_at)


async def test_the_oldest_scrub_counts(cluster: Cluster) -> None:
    await cluster.settle()
    first = cluster.clock.now
    async with cluster.metadata.unit_of_work() as uow:
        await uow.partitions.set_scrubbed("default", range(15), at=first + timedelta(days=2))
        await uow.commit()
    assert (await progress(cluster)).oldest_scrub_at == first
