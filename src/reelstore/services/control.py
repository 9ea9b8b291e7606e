"""Steer the background: pause and resume it, limit it, and share the limits among all workers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypedDict, Unpack

from reelstore.domain.errors import InvalidInput
from reelstore.domain.event import Event, EventKind
from reelstore.domain.wording import count
from reelstore.repositories.interface import Metadata, RebalanceControl
from reelstore.services.leases import WORKERS

READ_SECONDS = 0.5
"""How old what is known may be: what one gateway sets holds for every worker by then."""
BYTES_PER_SECOND_MIN = 64 * 1024
BYTES_PER_SECOND_MAX = 2**40
CONCURRENCY_MAX = 64
CHANGES_LOOKED_AT = 100


class Paused(Exception):
    """Leave off: nothing may be moved now. What was done is kept, and the rest goes on later."""


class ControlChange(TypedDict, total=False):
    """What to set; what is absent stays as it is, and None takes a limit away."""

    paused: bool
    bytes_per_second: int | None
    concurrency: int | None


@dataclass(frozen=True, slots=True)
class Share:
    """The part of the limits that this process has.

    Args:
        bytes_per_second: what it may put on average; None for no limit.
        concurrency: shards that it may have under way at once; 0 when others take all of them, None for no limit.
    """

    bytes_per_second: float | None = None
    concurrency: int | None = None


class Control:
    """Know what is set, read anew at least twice a second while somebody asks.

    Args:
        metadata: where it is kept, so that it holds for all workers and outlives them.
        holder: the name of this process among the workers.
    """

    def __init__(self, metadata: Metadata, holder: str) -> None:
        self._metadata = metadata
        self._holder = holder
        self._present = RebalanceControl()
        self._workers: tuple[str, ...] = ()
        self._read_at = float("-inf")

    @property
    def workers(self) -> int:
        """Return how many processes take part, as last read."""
        return len(self._workers)

    async def read(self) -> RebalanceControl:
        """Return what is set, as the metadata has it now.

        Raises:
            MetadataUnavailable: a retry can help.
        """
        began = asyncio.get_running_loop().time()
        async with self._metadata.snapshot() as view:
            self._present = await view.control.get()
            leases = await view.leases.in_force(WORKERS, now=await view.now())
        self._workers = tuple(lease.holder for lease in leases)
        self._read_at = began
        return self._present

    async def check(self) -> Share:
        """Return this process's share of the limits.

        Raises:
            Paused: nothing may be moved by this process now.
            MetadataUnavailable: a retry can help.
        """
        if asyncio.get_running_loop().time() - self._read_at >= READ_SECONDS:
            await self.read()
        share = self._share()
        if self._present.paused or share.concurrency == 0:
            raise Paused
        return share

    def _share(self) -> Share:
        limit, concurrency = self._present.bytes_per_second, self._present.concurrency
        known = self._holder in self._workers
        rank = self._workers.index(self._holder) if known else len(self._workers)
        workers = len(self._workers) + (not known)
        if concurrency is not None:
            whole, left = divmod(concurrency, workers)
            workers = min(workers, concurrency)
            concurrency = whole + (rank < left)
        return Share(None if limit is None else limit / workers, concurrency)

    async def change(self, **changes: Unpack[ControlChange]) -> RebalanceControl:
        """Pause, resume or limit all workers: this process at once, the others within a second.

        Returns:
            what is set from now on.

        Raises:
            InvalidInput: a limit out of its range; a retry does not help.
            MetadataUnavailable: nothing was changed; a retry can help.
        """
        _validate(changes)
        async with self._metadata.unit_of_work() as uow:
            before = await uow.control.get()
            after = replace(before, **changes)
            if after != before:
                await uow.control.set(after)
                await uow.events.add(_event(before, after, await uow.now()))
                await uow.commit()
        self._present = after
        return after

    async def paused_since(self) -> datetime | None:
        """Return when it was paused, as far as the events tell."""
        async with self._metadata.snapshot() as view:
            found = await view.events.latest(limit=CHANGES_LOOKED_AT, kinds=(EventKind.REBALANCE_SET,))
        since = None
        for event in found:
            if not event.data.get("paused"):
                break
            since = event.at
        return since


def _validate(changes: ControlChange) -> None:
    rate, concurrency = changes.get("bytes_per_second"), changes.get("concurrency")
    if rate is not None and not BYTES_PER_SECOND_MIN <= rate <= BYTES_PER_SECOND_MAX:
        raise InvalidInput(
            f"bytes_per_second must be {BYTES_PER_SECOND_MIN} to {BYTES_PER_SECOND_MAX}, or null for no limit",
            field="bytes_per_second",
        )
    if concurrency is not None and not 1 <= concurrency <= CONCURRENCY_MAX:
        raise InvalidInput(
            f"concurrency must be 1 to {CONCURRENCY_MAX}, or null for what each worker does by itself",
            field="concurrency",
        )


def _event(before: RebalanceControl, after: RebalanceControl, at: datetime) -> Event:
    said = []
    if after.paused != before.paused:
        said.append("paused" if after.paused else "resumed")
    if after.bytes_per_second != before.bytes_per_second:
        rate = after.bytes_per_second
        said.append("no limit of bytes per second" if rate is None else f"at most {rate:,} bytes per second")
    if after.concurrency != before.concurrency:
        at_once = after.concurrency
        said.append("no limit of shards at once" if at_once is None else f"at most {count(at_once, 'shard')} at once")
    data = {"paused": after.paused, "bytes_per_second": after.bytes_per_second, "concurrency": after.concurrency}
    return Event(EventKind.REBALANCE_SET, "", f"moving and mending: {', '.join(said)}", at, data)
