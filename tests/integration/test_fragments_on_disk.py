"""Promise 5 with erasure coding: `erasure(4, 2)` on six folders outlives any two of them, and heals when they are back.

SQLite and directories, in this process, step by step.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from reelstore.domain.change import ChangeAction, ServerChange
from reelstore.services.repair import ShardState
from tests.cluster import CHUNK, Cluster, content, disk_cluster, fragments

SIZES = (0, 1, 3, CHUNK - 1, CHUNK, CHUNK + 1, 12 * CHUNK + 7)


def folder(root: Path, server: str) -> Path:
    return root / "servers" / server


async def store_films(cluster: Cluster) -> dict[str, bytes]:
    films = [content(size, seed=size) for size in SIZES]
    return {(await cluster.store(film, name=f"{len(film)}.mp4")).id: film for film in films}


async def assert_identical(cluster: Cluster, films: dict[str, bytes]) -> None:
    for video, film in films.items():
        assert await cluster.read(video) == film
        assert await cluster.read(video, len(film) // 3, len(film) // 2) == film[len(film) // 3 : len(film) // 2]


async def test_everything_is_read_with_two_of_six_folders_deleted_and_heals_on_two_new_ones(tmp_path: Path) -> None:
    deleted = ("disk3", "disk6")
    async with disk_cluster(tmp_path, servers=6, policy=fragments(4, 2), cache_bytes=0) as cluster:
        films = await store_films(cluster)
        await cluster.settle()
        for server in deleted:
            shutil.rmtree(folder(tmp_path, server))
        await assert_identical(cluster, films)
        await cluster.probe()
        await assert_identical(cluster, films)
        for number in (7, 8):
            await cluster.add_server(f"disk{number}", url=folder(tmp_path, f"disk{number}").as_uri())
        drains = [ServerChange(ChangeAction.DRAIN, server) for server in deleted]
        await cluster.app.changes.change(drains, accept_warnings=True)
        await cluster.settle()
        await assert_identical(cluster, films)
        for video in films:
            found = await cluster.app.inspector.verify(video)
            assert found.shards_ok == found.shards_total
        for server in ("disk4", "disk5"):  # and two more may go
            shutil.rmtree(folder(tmp_path, server))
        await assert_identical(cluster, films)


async def test_flipped_cut_and_emptied_fragments_are_found_and_made_anew(tmp_path: Path) -> None:
    async with disk_cluster(tmp_path, servers=6, policy=fragments(4, 2), cache_bytes=0) as cluster:
        films = await store_films(cluster)
        await cluster.settle()
        for server, harm in (("disk2", "flip"), ("disk5", "cut")):
            for shard in (folder(tmp_path, server) / "shards").glob(f"*/*/{'[0-9a-f]' * 64}.*"):
                data = bytearray(shard.read_bytes())
                data[len(data) // 2] ^= 4
                shard.write_bytes(data if harm == "flip" else data[: len(data) // 2])
        await assert_identical(cluster, films)
        problems = [problem for video in films for problem in (await cluster.app.inspector.verify(video)).problems]
        assert {problem.problem for problem in problems} == {ShardState.CORRUPT.value}
        assert {problem.server for problem in problems} == {"disk2", "disk5"}
        await cluster.settle()
        await cluster.assert_whole()
        for video in films:
            assert (await cluster.app.inspector.verify(video)).problems == ()


async def test_a_cluster_of_fragments_is_the_same_after_a_restart(tmp_path: Path) -> None:
    async with disk_cluster(tmp_path, servers=3, policy=fragments(2, 1)) as cluster:
        films = await store_films(cluster)
    async with disk_cluster(tmp_path, servers=3, seed=1, cache_bytes=0) as again:
        assert str(again.app.topology.present.policy(None)) == "erasure(2, 1)"
        await assert_identical(again, films)
        films |= await store_films(again)
        await again.settle()
        await again.assert_whole()
        await assert_identical(again, films)
