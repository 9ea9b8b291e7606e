"""End what nobody finishes: open files whose gateway has gone."""

from __future__ import annotations

import logging

from reelstore.chunkstore.committing import referenced_partitions
from reelstore.chunkstore.topology import TopologyCache
from reelstore.domain.counter import Counter
from reelstore.domain.file import FileState
from reelstore.repositories.interface import Metadata
from reelstore.services.attention import Attention, Need
from reelstore.services.clock_guard import ClockGuard
from reelstore.services.video_events import upload_expired

FILES_AT_ONCE = 100

log = logging.getLogger(__name__)


async def expire_open_files(
    metadata: Metadata, topology: TopologyCache, attention: Attention, guard: ClockGuard
) -> int:
    """Drop open files whose time has ended by the database's clock, and have their chunks collected.

    Returns:
        how many were dropped; none while the clock guard holds. A crash leaves the rest for the next call.
    """
    async with metadata.snapshot() as view:
        ended = await view.files.expired(await view.now(), limit=FILES_AT_ONCE)
    dropped = 0
    for file_id in ended:
        async with metadata.unit_of_work(frees=True) as uow:
            file = await uow.files.get(file_id, lock=True)
            now = await uow.now()
            if guard.check(now) is not None:
                break
            if file is None or file.state is not FileState.OPEN or file.expires_at is None or file.expires_at > now:
                continue
            partitions = await referenced_partitions(uow, file_id, topology.present.ring(file.policy))
            await uow.files.delete(file_id)
            await uow.events.add(upload_expired(file, now))
            await uow.counters.add({Counter.UPLOADS_EXPIRED: 1, Counter.UPLOADS_EXPIRED_BYTES: file.offset_bytes})
            await uow.commit()
        dropped += 1
        attention.add(file.policy, partitions, Need(collect=True))
        log.info("dropped an upload that nobody continued: %s, %d bytes", file_id, file.offset_bytes)
    return dropped
