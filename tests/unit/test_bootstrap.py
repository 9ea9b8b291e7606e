"""The composition root: it founds once, starts degraded rather than not at all, and is alone with its folder."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reelstore.bootstrap import DATABASE_FILE, Application, assembly, running
from reelstore.chunkstore.body import PiecedBody
from reelstore.chunkstore.fleet import Fleet
from reelstore.config import Settings
from reelstore.domain.change import ChangeAction, ServerChange
from reelstore.domain.errors import (
    ConfigurationError,
    InsufficientServers,
    InvalidServerUrl,
    MetadataUnavailable,
    ReelstoreError,
    ServerRefused,
)
from reelstore.services import founding
from reelstore.services.video_requests import StoreRequest
from tests.cluster import CHUNK, content, disk_cluster, memory_cluster, pieces, seeded


def settings_of(folder: Path, **more: Any) -> Settings:
    given: dict[str, Any] = {"data": folder, "background": False, "partition_bits": 4, "chunk_size_bytes": CHUNK}
    return Settings(**given | more)


def opened_files() -> set[str]:
    """Return what this process holds open, so that a leak shows."""
    folder = Path("/proc/self/fd")
    return {str(link.readlink()) for link in folder.iterdir() if link.is_symlink()}


def remove(folder: Path) -> None:
    shutil.rmtree(folder)


def rename(folder: Path, old: str, new: str) -> None:
    for path in folder.glob(f"{old}.sqlite*"):
        path.rename(path.with_name(path.name.replace(old, new)))


async def health(application: Application) -> tuple[str, tuple[str, ...]]:
    status = await application.health.status()
    return status.health, status.reasons


# ---------------------------------------------------------------------- a fresh start


async def test_a_fresh_folder_becomes_a_cluster_and_stays_it(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there" / "yet"
    async with running(settings_of(folder)) as first:
        status = await first.health.status()
        assert (status.health, status.epoch, status.servers_up) == ("ok", 1, 3)
        assert await first.ready() == (True, "ready")
    assert sorted(path.name for path in (folder / "servers").iterdir()) == ["disk1", "disk2", "disk3"]
    async with running(settings_of(folder, copies=3, first_servers=5, partition_bits=6)) as again:
        later = await again.health.status()
        assert (later.id, later.epoch, later.servers_total) == (status.id, 1, 3)  # what is founded is not founded anew
        assert again.topology.present.policies["default"].width == 2


async def test_servers_that_share_a_disk_share_its_capacity(tmp_path: Path) -> None:
    async with running(settings_of(tmp_path)) as application:
        disk = shutil.disk_usage(tmp_path).total
        assert 0 < sum(view.server.capacity_bytes for view in await application.servers.list()) <= disk
        assert len({view.server.zone for view in await application.servers.list()}) == 1


async def test_a_memory_cluster_leaves_nothing_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with running(Settings(memory=True, background=False, partition_bits=4)) as application:
        assert await application.ready() == (True, "ready")
    assert os.listdir(tmp_path) == []  # noqa: PTH208  # only names


async def test_a_cluster_on_disks_takes_no_server_that_forgets(tmp_path: Path) -> None:
    async with running(settings_of(tmp_path)) as application:
        with pytest.raises(InvalidServerUrl, match="forgets"):
            await application.servers.add(name="fleeting", url="MEMORY:", zone=None, capacity_bytes=None)
        assert (await application.health.status()).servers_total == 3


async def test_after_the_end_nothing_is_held_open(tmp_path: Path) -> None:
    before = opened_files()
    async with running(settings_of(tmp_path, background=True)):
        assert any("disk1" in name for name in opened_files())
    assert not any(str(tmp_path) in name for name in opened_files() - before)


async def test_an_error_inside_ends_the_application_too(tmp_path: Path) -> None:
    async def fail() -> None:
        async with running(settings_of(tmp_path)):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with running(settings_of(tmp_path)) as application:  # lock and markers are free again
        assert (await health(application))[0] == "ok"


# ---------------------------------------------------------------------- alone


async def test_a_second_process_on_one_folder_is_refused_and_disturbs_nothing(tmp_path: Path) -> None:
    async with running(settings_of(tmp_path)) as first:
        with pytest.raises(ConfigurationError, match="in use by another process"):
            await running(settings_of(tmp_path)).__aenter__()
        with pytest.raises(ConfigurationError, match="in use"):
            await running(settings_of(tmp_path / "servers" / "..")).__aenter__()
        assert (await health(first))[0] == "ok"
    async with running(settings_of(tmp_path)):
        pass


async def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    for folder in (file, file / "below"):
        with pytest.raises(ConfigurationError, match="cannot be used"):
            await running(settings_of(folder)).__aenter__()
    assert file.read_text() == "x"


async def test_a_database_that_is_none_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / DATABASE_FILE).write_bytes(b"this is no database, and long enough to be seen as none" * 100)
    before = (tmp_path / DATABASE_FILE).read_bytes()
    with pytest.raises(ReelstoreError):
        await running(settings_of(tmp_path)).__aenter__()
    assert (tmp_path / DATABASE_FILE).read_bytes() == before


async def test_a_database_of_another_cluster_does_not_get_these_servers(tmp_path: Path) -> None:
    async with running(settings_of(tmp_path)) as application:
        video = (await application.videos.store(StoreRequest("x"), PiecedBody(pieces(b"bytes")))).video
    rename(tmp_path, "metadata", "kept")
    with pytest.raises(ServerRefused):  # a fresh database would call everything there garbage
        await running(settings_of(tmp_path)).__aenter__()
    rename(tmp_path, "metadata", "dropped")
    rename(tmp_path, "kept", "metadata")
    async with running(settings_of(tmp_path)) as application:
        assert await read(application, video.id) == b"bytes"


async def read(application: Application, video_id: str) -> bytes:
    content = await application.videos.open(video_id)
    reader = await application.videos.read(content, 0, content.size_bytes)
    return b"".join([bytes(piece) async for piece in reader])


# ---------------------------------------------------------------------- degraded


async def test_a_start_with_a_folder_missing_serves_and_says_so(tmp_path: Path) -> None:
    data = content(10 * CHUNK)
    async with running(settings_of(tmp_path)) as application:
        video = (await application.videos.store(StoreRequest("x"), PiecedBody(pieces(data)))).video
    remove(tmp_path / "servers" / "disk2")
    async with running(settings_of(tmp_path)) as application:
        assert await application.ready() == (True, "ready")
        state, (reason,) = await health(application)
        assert state == "degraded"
        assert "disk2" in reason
        assert await read(application, video.id) == data
        more = (
            await application.videos.store(StoreRequest("y"), PiecedBody(pieces(content(10 * CHUNK, seed=1))))
        ).video
        assert await read(application, more.id) == content(10 * CHUNK, seed=1)
    assert not (tmp_path / "servers" / "disk2").exists()  # a missing disk is not made up


async def test_a_start_with_too_few_servers_is_not_ready_and_says_why(tmp_path: Path) -> None:
    async with running(settings_of(tmp_path)):
        pass
    for name in ("disk1", "disk2"):
        remove(tmp_path / "servers" / name)
    async with running(settings_of(tmp_path)) as application:
        ready, why = await application.ready()
        assert not ready
        assert "storage servers that answer: 1, and 2" in why
        state, reasons = await health(application)
        assert state == "critical"
        assert any("nothing can be stored" in reason for reason in reasons)


async def test_a_folder_with_anothers_marker_is_not_used(tmp_path: Path) -> None:
    for name in ("a", "b"):
        async with running(settings_of(tmp_path / name)):
            pass
    remove(tmp_path / "a" / "servers" / "disk1")
    shutil.copytree(tmp_path / "b" / "servers" / "disk1", tmp_path / "a" / "servers" / "disk1")
    async with running(settings_of(tmp_path / "a")) as application:
        state, (reason,) = await health(application)
        assert state == "degraded"
        assert "belongs to server 'disk1' of cluster" in reason


async def test_metadata_that_does_not_answer_is_not_ready() -> None:
    async with memory_cluster() as cluster:

        def fail() -> Any:
            raise MetadataUnavailable("locked")

        cluster.metadata.snapshot = fail  # type: ignore[method-assign] # fails
        assert await cluster.app.ready() == (False, "locked")


# ---------------------------------------------------------------------- crashes while founding


class Crash(Exception):
    """Stand for the power going."""


def crash(*_: Any, **__: Any) -> Any:
    raise Crash


def after_identify(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly, "found", crash)


def after_one_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    attach = Fleet.attach
    left = [1]

    async def one(self: Any, *args: Any, **more: Any) -> Any:
        if not left[0]:
            raise Crash
        left[0] -= 1
        return await attach(self, *args, **more)

    monkeypatch.setattr(Fleet, "attach", one)


def after_all_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(founding, "first_ring", crash)


@pytest.mark.parametrize("point", [after_identify, after_one_claim, after_all_claims])
async def test_founding_goes_on_after_a_crash_wherever_it_was(
    tmp_path: Path, point: Callable[[pytest.MonkeyPatch], None]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        point(patch)
        with pytest.raises(Crash):
            await running(settings_of(tmp_path)).__aenter__()
    with sqlite3.connect(tmp_path / DATABASE_FILE) as database:
        (before,) = database.execute("SELECT id FROM cluster").fetchone()
    database.close()
    async with running(settings_of(tmp_path)) as application:
        status = await application.health.status()
        assert (status.health, status.epoch, status.servers_up, status.id) == ("ok", 1, 3, before)


async def test_a_cluster_on_disk_is_opened_by_the_real_root(tmp_path: Path) -> None:
    """What the tests' own composition founds is the same thing."""
    data = content(3 * CHUNK)
    async with disk_cluster(tmp_path) as cluster:
        video = await cluster.store(data)
    async with running(settings_of(tmp_path), entropy=seeded(9)) as application:
        assert await read(application, video.id) == data


async def test_a_cluster_that_begins_without_servers_stores_once_there_are_enough(tmp_path: Path) -> None:
    async with running(settings_of(tmp_path / "data", first_servers=0)) as application:
        assert (await application.ready())[0] is False
        with pytest.raises(InsufficientServers, match="too few servers"):
            await application.videos.store(StoreRequest("early.mp4"), PiecedBody(pieces(b"early")))
        for name in ("a", "b"):
            url = (tmp_path / name).as_uri()
            await application.changes.change([ServerChange(ChangeAction.ADD, name, url=url)], accept_warnings=True)
        assert (await application.ready())[0] is True
        stored = await application.videos.store(StoreRequest("late.mp4"), PiecedBody(pieces(b"late")))
        assert stored.video.size_bytes == 4
