"""Folders that go, disks that rot and fill up, under a gateway that serves all the while."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import httpx
import pytest

from tests.integration.disks import small_disk
from tests.probe.gateway import CHUNK, REELSTORE, Gateway, a_gateway, film, wait_for

pytestmark = pytest.mark.probe


def store_some(gateway: Gateway, count: int = 6) -> None:
    for seed in range(count):
        gateway.store(film(seed, CHUNK * 5 * seed + seed), name=f"{seed}.mp4")


def test_reads_and_writes_go_on_when_a_servers_folder_is_deleted(tmp_path: Path) -> None:
    with a_gateway(tmp_path) as gateway:
        store_some(gateway)
        big = film(100, 300 * CHUNK)
        video = gateway.store(big)
        with httpx.stream("GET", f"{gateway.url}/api/v1/videos/{video}/content", timeout=30) as answer:
            pieces = answer.iter_raw()
            received = [next(pieces)]
            shutil.rmtree(gateway.folder(2))
            received += pieces
        assert b"".join(received) == big
        gateway.assert_all_identical()
        for seed in range(200, 206):
            gateway.store(film(seed))
        gateway.assert_all_identical()
        wait_for(lambda: gateway.health()["health"] == "degraded", "nobody noticed that the folder is gone")
        gateway.store(film(300))
        gateway.assert_all_identical()
        assert "disk2" in " ".join(gateway.health()["reasons"])
        assert not gateway.folder(2).exists()  # an empty folder in its place would be taken for the server


def test_a_start_with_a_folder_missing_serves_and_says_so(tmp_path: Path) -> None:
    with a_gateway(tmp_path) as gateway:
        store_some(gateway)
        gateway.terminate()
        away = tmp_path / "unplugged"
        gateway.folder(3).rename(away)
        gateway.start()
        gateway.assert_all_identical()
        gateway.store(film(50))
        assert gateway.health()["health"] == "degraded"
        assert gateway.http.get("/readyz").status_code == 200
        told = subprocess.run([*REELSTORE, "status", "--url", gateway.url], capture_output=True, text=True, check=False)
        assert "degraded" in told.stdout
        assert "disk3" in told.stdout
        as_json = [*REELSTORE, "status", "--json", "--url", gateway.url]
        told = subprocess.run(as_json, capture_output=True, text=True, check=False)
        assert "degraded" in json.dumps(json.loads(told.stdout))

        away.rename(gateway.folder(3))
        wait_for(lambda: gateway.health()["health"] == "ok", "the server that came back is not up")
        gateway.assert_all_whole()


def harm(shards: list[Path]) -> None:
    """Spoil every one of some shards: flip a bit, cut it short, empty it, or put another one's bytes there."""
    for number, shard in enumerate(shards):
        data = bytearray(shard.read_bytes())
        match number % 4:
            case 0:
                data[len(data) // 2] ^= 0x10
            case 1:
                del data[len(data) * 2 // 3 :]
            case 2:
                data = bytearray(shards[number - 1].read_bytes()[::-1])
            case 3:
                data.clear()
        shard.write_bytes(data)


def test_a_server_whose_every_shard_is_corrupt_heals_within_a_minute_so_that_another_may_go(tmp_path: Path) -> None:
    with a_gateway(tmp_path, REELSTORE_CACHE_BYTES="0") as gateway:
        store_some(gateway)
        shards = gateway.shards(1)
        assert len(shards) > 20
        harm(shards)
        gateway.assert_all_identical()
        gateway.assert_all_whole()
        wait_for(lambda: gateway.http.get("/api/v1/rebalance").json()["state"] == "idle", "it is not idle again")
        shutil.rmtree(gateway.folder(2))
        gateway.assert_all_identical()


def test_corruption_while_it_was_not_running_is_healed_too(tmp_path: Path) -> None:
    with a_gateway(tmp_path) as gateway:
        store_some(gateway)
        gateway.terminate()
        harm(gateway.shards(3))
        gateway.start()
        gateway.assert_all_identical()
        gateway.assert_all_whole()
        shutil.rmtree(gateway.folder(1))
        gateway.assert_all_identical()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_when_the_disk_is_full_storing_is_refused_reading_goes_on_and_a_purge_makes_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=64m"), a_gateway(tmp_path / "disk") as gateway:
        seeds = itertools.count()
        while True:
            data = film(next(seeds), 2 * 1024**2)
            answer = gateway.http.post("/api/v1/videos?name=film", content=data)
            if answer.status_code != 201:
                break
            gateway.videos[answer.json()["id"]] = data
        assert answer.status_code == 507, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert len(gateway.videos) > 4
        assert gateway.listed().keys() == gateway.videos.keys()
        gateway.assert_all_identical()
        for video in list(gateway.videos)[:4]:
            assert gateway.http.delete(f"/api/v1/videos/{video}?purge=true").status_code == 200
            del gateway.videos[video]
        wait_for(
            lambda: gateway.http.post("/api/v1/videos?name=again", content=film(0, 2 * 1024**2)).status_code == 201,
            "a purge made no room",
        )
        gateway.assert_all_identical()


def test_two_uploads_of_the_same_bytes_at_once_are_both_kept_and_take_the_space_of_one(tmp_path: Path) -> None:
    with a_gateway(tmp_path) as gateway:
        data = film(1, 100 * CHUNK)
        threads = [threading.Thread(target=gateway.store, args=[data], daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(gateway.videos) == 4
        gateway.assert_all_identical()
        assert gateway.stored_bytes() == 2 * len(data)
        first, *others = gateway.videos
        answer = gateway.http.delete(f"/api/v1/videos/{first}?purge=true")
        assert answer.json()["freed_bytes"] == 0
        del gateway.videos[first]
        gateway.assert_all_identical()
        assert len(others) == 3
        gateway.assert_all_whole()


def test_clients_that_leave_half_way_leave_nothing_behind(tmp_path: Path) -> None:
    with a_gateway(tmp_path) as gateway:
        kept = gateway.store(film(1, 300 * CHUNK))

        def body() -> object:
            yield film(2, 40 * CHUNK)
            wait_for(lambda: gateway.stored_bytes() > 2 * 300 * CHUNK, "no byte of the upload reached a disk")
            raise ConnectionAbortedError

        for _ in range(3):
            with pytest.raises(ConnectionAbortedError):
                gateway.http.post("/api/v1/videos?name=left", content=body())  # type: ignore[arg-type] # a generator
            with gateway.http.stream("GET", f"/api/v1/videos/{kept}/content") as answer:
                next(answer.iter_raw())
            wait_for(lambda: gateway.stored_bytes() == 2 * 300 * CHUNK, "the space of a broken upload does not return")
        assert set(gateway.listed()) == {kept}
        assert gateway.health()["totals"]["open_files"] == 0
        gateway.assert_all_identical()
