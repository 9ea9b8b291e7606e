"""End what nobody finishes or needs any more: open files whose gateway has gone, and old idempotency keys."""

from __future__ import annotations

import logging
from datetime import timedelta

from reelstore.chunkstore.committing import referenced_partitions
from reelstore.chunkstore.topology import TopologyCache
from reelstore.domain.file import FileState
from reelstore.repositories.interface import Metadata
from reelstore.services.attention import Attention, Need

FILES_AT_ONCE = 100
IDEMPOTENCY_SECONDS = 86_400
"""How long an `Idempotency-Key` is remembered, at least."""

log = logging.getLogger(__name__)


async def expire_open_files(metadata: Metadata, topology: TopologyCache, attention: Attention) -> int:
    """Drop open files whose time has ended by the database's clock, and have their chunks collected.

    Returns:
        how many were dropped. A crash leaves the rest for the next call.
    """
    async with metadata.snapshot() as view:
        ended = await view.files.expired(await view.now(), limit=FILES_AT_ONCE)
    dropped = 0
    for file_id in ended:
        async with metadata.unit_of_work(frees=True) as uow:
            file = await uow.files.get(file_id, lock=True)
            now = await uow.now()
            if file is None or file.state is not FileState.OPEN or file.expires_at is None or file.expires_at > now:
                continue
            partitions = await referenced_partitions(uow, file_id, topology.present.ring(file.policy))
            await uow.files.delete(file_id)
            await uow.commit()
        dropped += 1
        attention.add(file.policy, partitions, Need(collect=True))
        log.info("dropped an upload that nobody continued: %s, %d bytes", file_id, file.offset_bytes)
    return dropped


async def forget_idempotency_keys(metadata: Metadata) -> int:
    """Forget keys that are older than `IDEMPOTENCY_SECONDS`; return how many."""
    async with metadata.unit_of_work(frees=True) as uow:
        dropped = await uow.idempotency.drop_before(await uow.now() - timedelta(seconds=IDEMPOTENCY_SECONDS))
        await uow.commit()
    return dropped
