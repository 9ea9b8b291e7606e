"""A small model of its own: the offset of an upload that any gateway may go on with.

A client sends a file of three chunks by PATCH requests to two gateways. A gateway may crash at any step; a client
that lost its connection asks anywhere for the offset and goes on elsewhere, while the old gateway may still be at
work on bytes that it received. Nothing locks the upload.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

FILE = "abc"
"""One letter for each chunk."""
PATCHES_MAX = 3


class Transactions(NamedTuple):
    """What is done in one transaction with the offset's compare-and-swap."""

    chunk_with_offset: bool = True
    """The row of the chunk map; otherwise it is appended before."""
    finish_with_offset: bool = True
    """The video, when the last byte is there; otherwise it is made after."""


class _Gateway(NamedTuple):
    """A gateway at work: it has `receive`d the chunk at the position, must `advance` the offset, or `finish`."""

    phase: Literal["idle", "receive", "advance", "finish"]
    position: int = 0


_IDLE = _Gateway("idle")


class _Upload(NamedTuple):
    """The metadata, the gateways, and what the client was told."""

    gateways: tuple[_Gateway, ...] = (_IDLE, _IDLE)
    offset: int = 0
    chunk_map: frozenset[tuple[int, str]] = frozenset()
    has_video: bool = False
    patches: int = 0
    client_was_told_complete: bool = False

    def with_gateway(self, index: int, gateway: _Gateway) -> _Upload:
        return self._replace(gateways=(*self.gateways[:index], gateway, *self.gateways[index + 1 :]))


class Outcome(NamedTuple):
    """How many states there are, and a way to each kind of violation."""

    states: int
    violations: dict[str, tuple[str, ...]]


def explore(transactions: Transactions) -> Outcome:
    """Explore every interleaving."""
    first = _Upload()
    seen = {first}
    to_visit: list[tuple[_Upload, tuple[str, ...]]] = [(first, ())]
    violations: dict[str, tuple[str, ...]] = {}
    while to_visit:
        upload, trace = to_visit.pop()
        violation = _violation_of(upload)
        if violation is not None:
            violations.setdefault(violation, trace)
        for label, successor in _successors(upload, transactions):
            if successor not in seen:
                seen.add(successor)
                to_visit.append((successor, (*trace, label)))
    return Outcome(len(seen), violations)


def _violation_of(upload: _Upload) -> str | None:
    if upload.has_video and sorted(upload.chunk_map) != list(enumerate(FILE)):
        return "a finished video has other bytes"
    nobody_at_work = all(gateway == _IDLE for gateway in upload.gateways)
    if upload.client_was_told_complete and not upload.has_video and nobody_at_work:
        return "the client was told 'complete', and nobody makes the video"
    return None


def _successors(upload: _Upload, transactions: Transactions) -> Iterator[tuple[str, _Upload]]:
    if upload.offset == len(FILE) and not upload.client_was_told_complete:
        yield "HEAD says complete", upload._replace(client_was_told_complete=True)
    for index, gateway in enumerate(upload.gateways):
        if gateway == _IDLE:
            if upload.patches < PATCHES_MAX and upload.offset < len(FILE):
                begun = upload.with_gateway(index, _Gateway("receive", upload.offset))
                yield f"gateway {index}: PATCH at {upload.offset}", begun._replace(patches=upload.patches + 1)
            continue
        yield f"gateway {index} crashes", upload.with_gateway(index, _IDLE)
        if gateway.phase == "finish":
            made = upload.with_gateway(index, _IDLE)._replace(has_video=True)
            yield f"gateway {index}: make the video", made
        elif gateway.phase == "receive" and not transactions.chunk_with_offset:
            chunk = (len(upload.chunk_map), FILE[gateway.position])
            appended = upload._replace(chunk_map=upload.chunk_map | {chunk})
            advancing = _Gateway("advance", gateway.position)
            yield f"gateway {index}: append {chunk}", appended.with_gateway(index, advancing)
        elif upload.offset != gateway.position:
            yield f"gateway {index}: 409", upload.with_gateway(index, _IDLE)
        else:
            yield f"gateway {index}: advance from {upload.offset}", _advance(upload, index, transactions)


def _advance(upload: _Upload, index: int, transactions: Transactions) -> _Upload:
    """Return what the transaction with the compare-and-swap makes of it, which has succeeded."""
    position, offset = upload.offset, upload.offset + 1
    is_last = offset == len(FILE)
    if transactions.chunk_with_offset:
        upload = upload._replace(chunk_map=upload.chunk_map | {(position, FILE[position])})
    if not is_last:
        gateway = _Gateway("receive", offset)
    else:
        gateway = _IDLE if transactions.finish_with_offset else _Gateway("finish")
    has_video = upload.has_video or (is_last and transactions.finish_with_offset)
    return upload.with_gateway(index, gateway)._replace(offset=offset, has_video=has_video)
