"""Promise 5: what was acknowledged outlives any one server, and heals so far that another one may go.

SQLite and directories, in this process, step by step; `tests/probe` does the same to real processes.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cluster import CHUNK, Cluster, content, disk_cluster

SERVERS = ("disk1", "disk2", "disk3")
SIZES = (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 20 * CHUNK + 7)


def flip_a_bit(shard: Path, _: Path) -> None:
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)


def cut_short(shard: Path, _: Path) -> None:
    shard.write_bytes(shard.read_bytes()[:-1])


def empty(shard: Path, _: Path) -> None:
    shard.write_bytes(b"")


def replace_by_another(shard: Path, other: Path) -> None:
    shard.write_bytes(bytes(reversed(other.read_bytes())) if shard == other else other.read_bytes())


def remove(shard: Path, _: Path) -> None:
    shard.unlink()


def make_a_folder_of_it(shard: Path, _: Path) -> None:
    shard.unlink()
    shard.mkdir()


HARMS = (flip_a_bit, cut_short, empty, replace_by_another, remove)


def folder(root: Path, server: str) -> Path:
    return root / "servers" / server


def shards(root: Path, server: str) -> list[Path]:
    return sorted((folder(root, server) / "shards").glob(f"*/*/{'[0-9a-f]' * 64}.*"))


async def store_films(cluster: Cluster) -> dict[str, bytes]:
    films = [content(size, seed=size) for size in SIZES]
    return {(await cluster.store(film, name=f"{len(film)}.mp4")).id: film for film in films}


async def assert_identical(cluster: Cluster, films: dict[str, bytes]) -> None:
    for video, film in films.items():
        assert await cluster.read(video) == film


@pytest.mark.parametrize("server", SERVERS)
async def test_everything_is_read_and_stored_on_after_any_one_folder_is_deleted(tmp_path: Path, server: str) -> None:
    async with disk_cluster(tmp_path, cache_bytes=0) as cluster:
        films = await store_films(cluster)
        shutil.rmtree(folder(tmp_path, server))
        await assert_identical(cluster, films)
        films[(await cluster.store(content(9 * CHUNK, seed=9))).id] = content(9 * CHUNK, seed=9)
        await cluster.probe()
        await assert_identical(cluster, films)
        status = await cluster.app.health.status()
        assert status.health == "degraded"
        assert f"server {server} does not answer" in status.reasons[0]


@pytest.mark.parametrize("server", SERVERS)
async def test_everything_is_read_after_every_shard_of_a_server_was_harmed_and_heals_so_that_another_may_go(
    tmp_path: Path, server: str
) -> None:
    async with disk_cluster(tmp_path, cache_bytes=0) as cluster:
        films = await store_films(cluster)
        await cluster.settle()
        harmed = shards(tmp_path, server)
        assert len(harmed) > 10
        for number, shard in enumerate(harmed):
            HARMS[number % len(HARMS)](shard, harmed[number - 1])
        await assert_identical(cluster, films)
        await cluster.settle()
        await cluster.assert_whole()
        for video in films:
            checked = await cluster.app.inspector.verify(video)
            assert (checked.shards_ok, checked.problems) == (checked.shards_total, ())
        shutil.rmtree(folder(tmp_path, next(other for other in SERVERS if other != server)))
        await assert_identical(cluster, films)


async def test_every_shard_of_one_server_may_be_harmed_after_the_other(tmp_path: Path) -> None:
    async with disk_cluster(tmp_path, cache_bytes=0) as cluster:
        films = await store_films(cluster)
        await cluster.settle()
        for number, server in enumerate((*SERVERS, *SERVERS[:2])):
            for shard in shards(tmp_path, server):
                HARMS[number % len(HARMS)](shard, shard)
            await assert_identical(cluster, films)
            await cluster.settle()
        await cluster.assert_whole()


async def test_a_folder_in_the_place_of_a_shard_hides_nothing(tmp_path: Path) -> None:
    async with disk_cluster(tmp_path, cache_bytes=0) as cluster:
        films = await store_films(cluster)
        await cluster.settle()
        for shard in shards(tmp_path, "disk1"):
            make_a_folder_of_it(shard, shard)
        await assert_identical(cluster, films)
        await cluster.settle()  # it cannot be put there, and says so
        status = await cluster.app.rebalancer.status()
        assert status.state == "blocked"
        await assert_identical(cluster, films)
