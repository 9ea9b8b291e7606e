"""Tell of a rebalance once when it begins, when it cannot go on, and when it is done, by however many workers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reelstore.domain.event import Event, EventKind
from reelstore.domain.wording import count
from reelstore.repositories.interface import Metadata

_KINDS = (EventKind.REBALANCE_STARTED, EventKind.REBALANCE_BLOCKED, EventKind.REBALANCE_FINISHED)


class Journal:
    """Write events down when the state is another than the one that was last told, by whichever process.

    Reasons are compared by their kind alone: a full disk has another number of free bytes each time.
    """

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._told: set[tuple[EventKind, int, tuple[str, ...]]] = set()

    async def started(self, epoch: int, *, partitions: int, size_bytes: int) -> None:
        """Tell that partitions are to be moved to where an epoch wants them."""
        message = f"moving {size_bytes:,} bytes in {count(partitions, 'partition')} to where epoch {epoch} wants them"
        await self._tell(EventKind.REBALANCE_STARTED, epoch, message, {"partitions": partitions, "bytes": size_bytes})

    async def blocked(self, epoch: int, reasons: Iterable[str]) -> None:
        """Tell what keeps the rest from being moved or mended."""
        reasons = tuple(reasons)
        kinds = tuple(sorted({reason.split(":")[0] for reason in reasons}))
        data = {"reasons": list(reasons), "kinds": list(kinds)}
        await self._tell(EventKind.REBALANCE_BLOCKED, epoch, f"blocked: {'; '.join(reasons)}", data, kinds)

    async def finished(self, epoch: int) -> None:
        """Tell that everything lies where an epoch wants it, if something was told that said otherwise."""
        await self._tell(EventKind.REBALANCE_FINISHED, epoch, f"everything lies where epoch {epoch} wants it", {})

    async def _tell(
        self,
        kind: EventKind,
        epoch: int,
        message: str,
        data: Mapping[str, object],
        reasons: tuple[str, ...] = (),
    ) -> None:
        if (kind, epoch, reasons) in self._told:
            return
        async with self._metadata.unit_of_work() as uow:
            last = next(iter(await uow.events.latest(limit=1, kinds=_KINDS)), None)
            if _is_news(last, kind, epoch, reasons):
                data = {"epoch": epoch, **data}
                await uow.events.add(Event(kind, str(epoch), message, await uow.now(), data))
                await uow.commit()
        if kind is EventKind.REBALANCE_FINISHED:
            self._told.clear()
        else:
            self._told -= {told for told in self._told if told[0] is EventKind.REBALANCE_FINISHED}
        self._told.add((kind, epoch, reasons))


def _is_news(last: Event | None, kind: EventKind, epoch: int, reasons: tuple[str, ...]) -> bool:
    if last is None:
        return kind is not EventKind.REBALANCE_FINISHED
    if kind is EventKind.REBALANCE_FINISHED:
        return last.kind is not kind
    same_epoch = last.data.get("epoch") == epoch
    if kind is EventKind.REBALANCE_STARTED:
        return not same_epoch
    return last.kind is not kind or not same_epoch or last.data.get("kinds") != list(reasons)
