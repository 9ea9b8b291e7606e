"""Changes of the servers on SQLite and folders: planned, applied, reverted, and the same after a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelstore.domain.change import ChangeAction, Plan, ServerChange
from reelstore.domain.errors import ServerExists, ServerUnavailable
from tests.cluster import CHUNK, content, disk_cluster

DRAIN = ChangeAction.DRAIN


def added(name: str, place: Path, **more: int) -> ServerChange:
    return ServerChange(ChangeAction.ADD, name, url=place.as_uri(), **more)  # type: ignore[arg-type] # a capacity


async def test_a_plan_survives_a_restart_and_what_it_says_is_moved(tmp_path: Path) -> None:
    body = content(40 * CHUNK)
    async with disk_cluster(tmp_path) as cluster:
        video = await cluster.store(body)
        await cluster.settle()
        capacity_bytes = (await cluster.app.servers.get("disk2")).server.capacity_bytes
        changes = [added("disk4", tmp_path / "four", capacity_bytes=capacity_bytes), ServerChange(DRAIN, "disk1")]
        plan: Plan = await cluster.app.changes.plan(changes)
        assert not (tmp_path / "four").exists()  # nothing is claimed yet
    async with disk_cluster(tmp_path, seed=1) as cluster:
        assert await cluster.app.changes.get(plan.id) == plan
        applied = await cluster.app.changes.apply(plan.id)
        await cluster.settle()
        await cluster.assert_whole()
        held = {name: len(shards) * CHUNK for name, shards in (await cluster.shards()).items()}
        assert held["disk4"] == sum(move.size_bytes for move in plan.moves if move.target == "disk4") > 0
        assert held["disk1"] == 0
    async with disk_cluster(tmp_path, seed=2) as cluster:
        assert (await cluster.app.changes.get(plan.id)).applied_epoch == applied.applied_epoch == 2
        assert (await cluster.server("disk4").usage()).capacity_bytes == capacity_bytes
        assert await cluster.read(video.id) == body
        await cluster.app.changes.split()
        assert (await cluster.app.changes.revert(1)).bytes_total > 0
        await cluster.settle()
        await cluster.assert_whole()
        assert (await cluster.shards())["disk4"] == set()
        assert await cluster.read(video.id) == body


async def test_two_folders_of_one_plan_are_not_one_inside_the_other(tmp_path: Path) -> None:
    async with disk_cluster(tmp_path) as cluster:
        for inner in (tmp_path / "a", tmp_path / "a" / "b", tmp_path / "servers" / "disk1"):
            with pytest.raises(ServerExists, match="one would be inside the other"):
                await cluster.app.changes.plan([added("disk4", tmp_path / "a"), added("disk5", inner)])


async def test_a_place_that_cannot_be_made_leaves_no_server_of_the_plan_behind(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    async with disk_cluster(tmp_path) as cluster:
        plan = await cluster.app.changes.plan(
            [added("disk4", tmp_path / "four"), added("disk5", tmp_path / "file" / "x")]
        )
        with pytest.raises(ServerUnavailable):
            await cluster.app.changes.apply(plan.id)
        assert cluster.app.topology.present.epoch == 1
        again = await cluster.app.changes.plan([added("disk4", tmp_path / "four")])
        await cluster.app.changes.apply(again.id)  # its place was claimed and let go
        assert "disk4" in cluster.names
