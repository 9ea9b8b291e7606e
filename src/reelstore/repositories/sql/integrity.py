"""Look through a whole database for what cannot be: with no cluster running, or beside one, as of one moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Row, func, select

from reelstore.domain.chunk import ChunkState
from reelstore.domain.errors import CorruptRing, InvalidRing
from reelstore.domain.file import FileState
from reelstore.placement.ring import Ring, RingSet
from reelstore.repositories.sql.dialects import POSTGRESQL
from reelstore.repositories.sql.schema import (
    chunk_totals,
    chunks,
    cluster,
    event_head,
    events,
    file_chunks,
    files,
    partitions,
    policies,
    ring_head,
    rings,
    servers,
    videos,
)

ROWS_AT_ONCE = 1000


def problems(connection: Connection) -> Iterator[str]:
    """Yield what is wrong, in words, as it is found; nothing where all is well.

    Args:
        connection: in a transaction that sees one moment.
    """
    yield from _damage(connection)
    yield from _heads(connection)
    yield from _topology(connection)
    yield from _totals(connection)
    yield from _chunk_maps(connection)
    yield from _videos(connection)


def _damage(connection: Connection) -> Iterator[str]:
    """Ask SQLite about its file, and for references to nothing; PostgreSQL lets neither come about."""
    if connection.dialect.name == POSTGRESQL:
        return
    for (said,) in connection.exec_driver_sql("PRAGMA integrity_check(20)"):
        if said != "ok":
            yield f"the file is damaged: {said}"
    for table, row, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        yield f"row {row} of {table} refers to nothing in {parent}"


def _heads(connection: Connection) -> Iterator[str]:
    epoch = connection.execute(select(ring_head.c.epoch)).scalar_one_or_none()
    newest = connection.execute(select(func.max(rings.c.epoch))).scalar_one()
    if epoch != (newest or 0):
        yield f"the ring head is {epoch}, and the newest ring is {newest}"
    last = connection.execute(select(event_head.c.last_id)).scalar_one_or_none()
    largest = connection.execute(select(func.max(events.c.id))).scalar_one()
    if last is None or last < (largest or 0):
        yield f"the last event is {last}, and there is one with the id {largest}"
    if newest and connection.execute(select(cluster.c.id)).one_or_none() is None:
        yield "there are rings, and no cluster"


def _topology(connection: Connection) -> Iterator[str]:
    numbers = set(connection.execute(select(servers.c.number)).scalars())
    known = set(connection.execute(select(policies.c.name)).scalars())
    newest: dict[str, Ring] = {}
    epochs = set[int]()
    for epoch, data in connection.execute(select(rings.c.epoch, rings.c.ring_set).order_by(rings.c.epoch)):
        epochs.add(epoch)
        try:
            ring_set = RingSet.from_bytes(data)
        except (CorruptRing, InvalidRing) as error:
            yield f"the ring of epoch {epoch} cannot be read: {error}"
            continue
        if ring_set.epoch != epoch:
            yield f"the ring of epoch {epoch} says that it is of epoch {ring_set.epoch}"
        newest = dict(ring_set.rings)
        for policy, ring in newest.items():
            if strangers := set(ring.slots[ring.slots >= 0].tolist()) - numbers:
                yield f"the ring of epoch {epoch}, policy {policy}, names servers that there are not: {strangers}"
    if epochs and newest.keys() != known:
        yield f"the newest ring is of the policies {sorted(newest)}, and there are {sorted(known)}"
    for policy, ring in newest.items():
        where = partitions.c.policy == policy
        asked = select(partitions.c.partition, partitions.c.synced_epoch).where(where).order_by(partitions.c.partition)
        rows = connection.execute(asked).all()
        if [row.partition for row in rows] != list(range(ring.partitions)):
            yield f"policy {policy} has {len(rows)} partitions, and its ring has {ring.partitions}"
        if unknown := {row.synced_epoch for row in rows} - epochs:
            yield f"partitions of policy {policy} are synced to epochs without a ring: {sorted(unknown)}"


def _totals(connection: Connection) -> Iterator[str]:
    asked = select(chunks.c.policy, func.count(), func.sum(chunks.c.size_bytes)).group_by(chunks.c.policy)
    counted = {policy: (count, int(size)) for policy, count, size in connection.execute(asked)}
    noted = {row.policy: (row.chunks, row.chunk_bytes) for row in connection.execute(select(chunk_totals))}
    for policy in sorted(counted.keys() | noted.keys()):
        found, kept = counted.get(policy, (0, 0)), noted.get(policy, (0, 0))
        if found != kept:
            yield f"policy {policy} has {found[0]} chunks of {found[1]} bytes, and {kept[0]} of {kept[1]} are noted"


def _chunk_maps(connection: Connection) -> Iterator[str]:
    """Go along every chunk map: no gap, no overlap, and what is confirmed is live and as long as the file says."""
    asked = (
        select(files, file_chunks.c.position, file_chunks.c.offset_bytes.label("place"))
        .add_columns(chunks.c.size_bytes, chunks.c.state.label("chunk_state"))
        .select_from(files.outerjoin(file_chunks, file_chunks.c.file == files.c.id).outerjoin(chunks))
        .order_by(files.c.id, file_chunks.c.position)
    )
    rows = connection.execution_options(yield_per=ROWS_AT_ONCE).execute(asked)
    for file_id, places in groupby(rows, key=attrgetter("id")):
        for said in _chunk_map(list(places)):
            yield f"file {file_id}: {said}"


def _chunk_map(places: Sequence[Row[Any]]) -> Iterator[str]:
    """Go along one: a row for each place, or one without a place where there is none."""
    file, stop_bytes, confirmed_bytes = places[0], 0, 0
    held = [place for place in places if place.position is not None]
    for position, place in enumerate(held):
        if place.size_bytes is None:
            yield f"the chunk of place {place.position} is not there"
            return
        if (place.position, place.place) != (position, stop_bytes):
            yield f"place {place.position} begins at byte {place.place}, and not place {position} at {stop_bytes}"
        stop_bytes = place.place + place.size_bytes
        if position < file.chunk_count:
            confirmed_bytes = stop_bytes
            if place.chunk_state != ChunkState.LIVE:
                yield f"place {position} is confirmed, and its chunk is not live"
    if len(held) < file.chunk_count or confirmed_bytes != file.offset_bytes:
        yield f"{file.offset_bytes} bytes are confirmed, and its chunk map has {confirmed_bytes} of them"
    if file.state == FileState.COMPLETE and (file.length_bytes, file.chunk_count) != (file.offset_bytes, len(held)):
        yield f"it is complete, and not all of its {file.length_bytes} bytes are confirmed"


def _videos(connection: Connection) -> Iterator[str]:
    asked = select(videos.c.id, videos.c.size_bytes, files.c.state, files.c.length_bytes).outerjoin(
        files, files.c.id == videos.c.file_id
    )
    for row in connection.execution_options(yield_per=ROWS_AT_ONCE).execute(asked):
        if row.state != FileState.COMPLETE:
            yield f"video {row.id}: its file is not complete"
        elif row.size_bytes != row.length_bytes:
            yield f"video {row.id}: it has {row.size_bytes} bytes, and its file {row.length_bytes}"
