"""Rule 12: a copy of the metadata and what it was copied from never delete what the other one has stored.

The copy is a real one, of a real database; the servers are memories that both databases reach.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reelstore.domain.errors import Conflict
from reelstore.domain.event import EventKind
from reelstore.domain.ids import Entropy
from reelstore.repositories.sql import SqlMetadata
from reelstore.services.ownership import Accepted, accept
from reelstore.storage.memory import MemoryServer
from tests.cluster import CHUNK, HandClock, _settings, content, seeded
from tests.postgres import Postgres
from tests.protocol.world import HookedMetadata, Process

SETTINGS = {"servers": 3, "copies": 2, "partition_bits": 2, "memory": True}


@dataclass
class Databases:
    """An original and copies of it, and the processes that run on them over the same servers."""

    url: str
    copy: Callable[[str], Awaitable[str]]
    places: dict[str, MemoryServer] = field(default_factory=dict)
    running: list[tuple[Process, SqlMetadata]] = field(default_factory=list)
    seeds: int = 0

    async def run(self, url: str) -> Process:
        """Start a gateway with a worker."""
        self.seeds += 1
        metadata = await SqlMetadata.open(url)
        process = Process(
            _settings(**SETTINGS), HookedMetadata(metadata), HandClock(), self.entropy(), places=self.places
        )
        await process.start()
        self.running.append((process, metadata))
        return process

    def entropy(self) -> Entropy:
        return seeded(self.seeds)

    async def end(self) -> None:
        for process, metadata in self.running:
            await process.app.rebalancer.leases.leave()
            await process.stop()
            await metadata.close()
        self.running.clear()

    async def accept(self, url: str) -> Accepted:
        """Do what `reelstore db restored` does."""
        process = await self.run(url)
        self.seeds += 1
        try:
            return await accept(process.metadata, process.app.fleet, entropy=self.entropy())
        finally:
            await self.end()


@pytest.fixture(params=["sqlite", "postgresql"])
async def databases(request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres) -> AsyncIterator[Databases]:
    made: list[str] = []
    if request.param == "sqlite":

        async def copy(url: str) -> str:
            path = Path(url.removeprefix("sqlite:///"))
            made.append(f"sqlite:///{path}-{len(made)}")
            shutil.copy(path, made[-1].removeprefix("sqlite:///"))
            return made[-1]

        databases = Databases(f"sqlite:///{tmp_path}/metadata.sqlite", copy)
    else:

        async def copy(url: str) -> str:
            name = f"{url.rpartition('/')[2]}_{len(made)}"
            with postgres.connect() as connection:
                connection.execute(f"CREATE DATABASE {name} TEMPLATE {url.rpartition('/')[2]}")
            made.append(postgres.url(name))
            return made[-1]

        databases = Databases(postgres.url(postgres.new_database()), copy)
    yield databases
    await databases.end()


async def _held(process: Process) -> dict[str, int]:
    return {name: len(shards) for name, shards in (await process.shards()).items()}


async def test_while_an_original_and_its_copy_run_nothing_is_deleted_and_one_goes_on_when_it_is_accepted(
    databases: Databases,
) -> None:
    before = await databases.run(databases.url)
    old = await before.store(content(6 * CHUNK))
    doomed = await before.store(content(6 * CHUNK, seed=1))
    await before.settle()
    await databases.end()
    copied = await databases.copy(databases.url)

    original, copy = await databases.run(databases.url), await databases.run(copied)
    kept = [
        (process, await process.store(content(6 * CHUNK, seed=seed)), content(6 * CHUNK, seed=seed))
        for seed, process in ((2, original), (3, copy), (4, original), (5, copy))
    ]
    await original.app.videos.purge(doomed.id, expected_version=None)
    await copy.app.videos.purge(doomed.id, expected_version=None)
    held = await _held(copy)
    for process in (original, copy, original, copy):
        await process.settle()
        assert await _held(process) == held
        assert any("nothing is freed" in reason for reason in (await process.app.health.status()).reasons)
        async with process.metadata.snapshot() as view:
            (event,) = await view.events.latest(limit=1, kinds=(EventKind.DELETES_STOPPED,))
        assert "copy" in event.message
    for process, video, data in kept:
        assert await process.read(video.id) == data
    await databases.end()

    accepted = await databases.accept(copied)
    assert (accepted.servers, accepted.silent) == (("disk1", "disk2", "disk3"), ())
    copy = await databases.run(copied)
    await copy.settle()
    await copy.assert_whole()  # what it does not know is gone
    assert await copy.read(old.id) == content(6 * CHUNK)
    after = await _held(copy)
    original = await databases.run(databases.url)
    await original.settle()  # it knows no better, and may delete nothing
    assert await _held(original) == after
    assert any("deletes are stopped" in reason for reason in (await original.app.rebalancer.status()).reasons)
    await copy.settle()
    for process, video, data in kept:
        if process is kept[1][0]:
            assert await copy.read(video.id) == data


async def test_an_original_that_counts_a_round_while_its_copy_begins_is_stopped_at_the_next_one(
    databases: Databases,
) -> None:
    await databases.run(databases.url)
    await databases.end()
    copied = await databases.copy(databases.url)
    original = await databases.run(databases.url)

    async def begin() -> None:
        copy = await databases.run(copied)
        await copy.store(content(6 * CHUNK, seed=3))

    original.hooks.before_unit(begin)
    await original.app.rebalancer.reconciler.deletes.begin()
    held = await _held(original)
    await original.settle()
    assert await _held(original) == held
    assert sum(held.values()) == 12


async def test_a_restored_backup_deletes_nothing_until_it_is_accepted_and_then_heals(databases: Databases) -> None:
    before = await databases.run(databases.url)
    kept = await before.store(content(6 * CHUNK))
    purged = await before.store(content(6 * CHUNK, seed=1))
    await before.settle()
    await databases.end()
    backup = await databases.copy(databases.url)

    lost = await databases.run(databases.url)
    await lost.store(content(6 * CHUNK, seed=2))
    await lost.app.videos.purge(purged.id, expected_version=None)
    await lost.settle()
    await databases.end()  # and never comes again

    restored = await databases.run(backup)
    held = await _held(restored)
    await restored.settle()
    assert await _held(restored) == held
    assert await restored.read(kept.id) == content(6 * CHUNK)
    await databases.end()

    await databases.accept(backup)
    restored = await databases.run(backup)
    await restored.app.videos.purge(purged.id, expected_version=None)  # its bytes are gone: the backup is older
    await restored.settle()
    await restored.assert_whole()
    assert await restored.read(kept.id) == content(6 * CHUNK)
    assert (await restored.app.health.status()).health == "ok"


async def test_a_server_that_was_away_when_a_metadata_was_accepted_stops_deletes_again(databases: Databases) -> None:
    process = await databases.run(databases.url)
    video = await process.store(content(6 * CHUNK))
    await process.settle()
    await process.app.rebalancer.leases.leave()
    process.server("disk3").down = True
    accepted = await accept(process.metadata, process.app.fleet, entropy=seeded(99))
    assert [name for name, _ in accepted.silent] == ["disk3"]
    await databases.end()

    process = await databases.run(databases.url)
    await process.app.videos.purge(video.id, expected_version=None)
    held = await _held(process)
    await process.settle()
    assert await _held(process) == held
    assert any("disk3 belongs to another generation" in why for why in (await process.app.rebalancer.status()).reasons)
    await databases.end()

    assert (await databases.accept(databases.url)).silent == ()
    process = await databases.run(databases.url)
    await process.settle()
    assert not any((await _held(process)).values())


async def test_nothing_is_accepted_while_a_worker_runs(databases: Databases) -> None:
    process = await databases.run(databases.url)
    await process.app.rebalancer.leases.renew()
    with pytest.raises(Conflict, match="stop all gateways and workers"):
        await accept(process.metadata, process.app.fleet, entropy=seeded(99))
