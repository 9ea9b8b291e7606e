"""What an operator does with the metadata database itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from reelstore.bootstrap.metadata import describe, is_shared, metadata_url, open_metadata, sole_owner
from reelstore.bootstrap.reaching import access_of, drivers_of
from reelstore.chunkstore.fleet import Fleet
from reelstore.config import Settings
from reelstore.domain.errors import ConfigurationError, Conflict
from reelstore.domain.ids import Entropy
from reelstore.domain.server import Server
from reelstore.repositories.sql import integrity, portable
from reelstore.repositories.sql.upgrade import REVISION, opened, upgrade
from reelstore.services.ownership import Accepted, accept
from reelstore.storage.interface import StorageServer


@dataclass(frozen=True, slots=True)
class Upgraded:
    """From which revision of the tables, None if there were none, to which."""

    where: str
    before: str | None
    after: str


def upgrade_database(settings: Settings) -> Upgraded:
    """Make the tables, or bring them up to date; gateways and workers of the older version are to be stopped before.

    Raises:
        ConfigurationError: the database cannot be used, is not ours, or is in use.
        MetadataUnavailable: a retry can help.
    """
    _refuse_memory(settings)
    with _alone(settings):
        return Upgraded(describe(settings), upgrade(metadata_url(settings)), REVISION)


def check_database(settings: Settings) -> Iterator[str]:
    """Yield what is wrong, in words, as of one moment; beside running gateways too.

    Raises:
        ConfigurationError, MetadataUnavailable: see `repositories.sql.upgrade.opened`.
    """
    _refuse_memory(settings)
    with opened(metadata_url(settings), writes=False) as connection:
        yield from integrity.problems(connection)


def export_database(settings: Settings, write: Callable[[bytes], object]) -> int:
    """Write everything as of one moment, beside running gateways too, and return the number of rows.

    Raises:
        ConfigurationError, MetadataUnavailable: see `repositories.sql.upgrade.opened`.
    """
    _refuse_memory(settings)
    with opened(metadata_url(settings), writes=False) as connection:
        return portable.export(connection, write)


def import_database(settings: Settings, lines: Iterable[bytes]) -> int:
    """Read an export into a database that was never used, all of it or nothing, and return the number of rows.

    Raises:
        InvalidInput: it is no export of ours, of another version, cut or altered.
        Conflict: the database holds a cluster already.
        ConfigurationError, MetadataUnavailable: see `repositories.sql.upgrade.opened`.
    """
    _refuse_memory(settings)
    with _alone(settings):
        upgrade(metadata_url(settings))
        with opened(metadata_url(settings), writes=True) as connection:
            return portable.import_into(connection, lines)


async def accept_database(settings: Settings, *, entropy: Entropy = os.urandom) -> Accepted:
    """Make this metadata the one that owns the servers; see `services.ownership.accept`.

    Raises:
        Conflict: there is no cluster in it, or workers are running.
        ConfigurationError, MetadataUnavailable: see `SqlMetadata.open`.
    """
    _refuse_memory(settings)
    drivers = drivers_of(access_of(settings))

    def connect(server: Server) -> StorageServer:
        return drivers.connect(server.url, server.name, server.capacity_bytes)

    with sole_owner(settings):
        metadata = await open_metadata(settings)
        try:
            async with metadata.snapshot() as view:
                cluster, servers = await view.cluster.get(), await view.servers.list()
            if cluster is None:
                raise Conflict("there is no cluster in this metadata database")
            fleet = Fleet(connect, cluster_id=cluster.id, generation=cluster.generation)
            try:
                await fleet.refresh(servers)
                return await accept(metadata, fleet, entropy=entropy)
            finally:
                await fleet.close()
        finally:
            await metadata.close()


def _alone(settings: Settings) -> AbstractContextManager[None]:
    """Hold the data folder where the database lies in it; PostgreSQL needs none, and locks what must be locked."""
    return nullcontext() if is_shared(settings) else sole_owner(settings)


def _refuse_memory(settings: Settings) -> None:
    if settings.memory:
        raise ConfigurationError("what is kept in memory has no database")
