"""Leases: who reconciles which block of partitions, so that no two workers do the same. Nothing is safe because of it.

A worker that dies gives nothing back: its leases end by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from reelstore.repositories.interface import Metadata
from reelstore.services.survey import Slice

WORKERS = "worker:"
"""How the name of the lease begins that each worker holds to be counted."""
BLOCK_PARTITIONS = 256
"""A slice never reaches over the edge of a block."""
TERM_SECONDS = 60.0
RENEW_SECONDS = 20.0

Block = tuple[str, int]


def block_of(where: Slice) -> Block:
    """Return the block in which a slice lies."""
    return where.policy, where.start // BLOCK_PARTITIONS


class BlockLeases:
    """Hold the leases of one process.

    A block that is given back stays leased until another one is taken or the process rests: who goes on in the same
    block, as one does slice by slice, pays for no transaction.

    Args:
        metadata: where leases are kept.
        holder: a random id of this process.
    """

    def __init__(self, metadata: Metadata, holder: str) -> None:
        self._metadata = metadata
        self.holder = holder
        self._busy: set[Block] = set()
        self._leased: dict[Block, float] = {}  # with when it was last renewed
        self._changing = asyncio.Lock()  # so that what is known here is what the metadata has

    @asynccontextmanager
    async def holding(self, where: Slice) -> AsyncIterator[bool]:
        """Hold the lease of a slice's block in a block of code, unless this or another process works on it.

        Yields:
            whether it is held.

        Raises:
            MetadataUnavailable: a retry can help.
        """
        block = block_of(where)
        if block in self._busy:
            yield False
            return
        self._busy.add(block)
        try:
            async with self._changing:
                held = await self._lease(block)
            yield held
        finally:
            self._busy.discard(block)

    def is_busy(self, where: Slice) -> bool:
        """Return whether this process itself works on the slice's block."""
        return block_of(where) in self._busy

    async def _lease(self, block: Block) -> bool:
        began = asyncio.get_running_loop().time()
        if began - self._leased.get(block, float("-inf")) < TERM_SECONDS / 2:
            return True
        async with self._metadata.unit_of_work(frees=True) as uow:  # what makes room must never wait for room
            now = await uow.now()
            idle = self._leased.keys() - self._busy
            for unused in idle:
                await uow.leases.release(_name(unused), holder=self.holder)
            await uow.leases.take(f"{WORKERS}{self.holder}", holder=self.holder, now=now, term_seconds=TERM_SECONDS)
            taken = await uow.leases.take(_name(block), holder=self.holder, now=now, term_seconds=TERM_SECONDS)
            await uow.commit()
        for unused in idle:
            self._leased.pop(unused, None)
        self._leased.pop(block, None)
        if taken:
            self._leased[block] = began
        return taken

    async def renew(self) -> None:
        """Renew every lease that is held, and be counted as a worker; to be called every `RENEW_SECONDS`."""
        async with self._changing, self._metadata.unit_of_work(frees=True) as uow:
            began, now = asyncio.get_running_loop().time(), await uow.now()
            await uow.leases.take(f"{WORKERS}{self.holder}", holder=self.holder, now=now, term_seconds=TERM_SECONDS)
            kept = [
                block
                for block in self._leased
                if await uow.leases.take(_name(block), holder=self.holder, now=now, term_seconds=TERM_SECONDS)
            ]
            await uow.commit()
            self._leased = dict.fromkeys(kept, began)

    async def forget_others(self) -> None:
        """Void every lease, as there is no other process: the one before this one need not be waited for."""
        async with self._metadata.unit_of_work(frees=True) as uow:
            await uow.leases.drop_ended(await uow.now() + timedelta(seconds=2 * TERM_SECONDS))
            await uow.commit()

    async def rest(self) -> None:
        """Give back what is not in use: there is nothing to do."""
        async with self._changing:
            idle = self._leased.keys() - self._busy
            if idle:
                await self._release(idle)

    async def leave(self) -> None:
        """Give everything back, and be counted no longer: this process ends."""
        async with self._changing:
            await self._release(set(self._leased), f"{WORKERS}{self.holder}")

    async def _release(self, blocks: set[Block], *names: str) -> None:
        async with self._metadata.unit_of_work(frees=True) as uow:
            for name in (*map(_name, blocks), *names):
                await uow.leases.release(name, holder=self.holder)
            await uow.commit()
        for block in blocks:
            del self._leased[block]


def _name(block: Block) -> str:
    policy, number = block
    return f"reconcile:{policy}:{number}"
