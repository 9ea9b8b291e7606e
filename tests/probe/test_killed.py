"""`kill -9` and SIGTERM at any moment: what was acknowledged is there, nothing else shows, and the space comes back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random, SystemRandom

import httpx
import pytest

from tests.probe.gateway import CHUNK, Gateway, a_gateway, film, slowly, wait_for

pytestmark = pytest.mark.probe

ROUNDS = 5


class Uploads(threading.Thread):
    """Store films, one after the other, until the gateway is gone; `sent` has all, by name, acknowledged or not."""

    def __init__(self, gateway: Gateway, seeds: Iterator[int]) -> None:
        super().__init__(daemon=True)
        self.gateway = gateway
        self.seeds = seeds
        self.sent: dict[str, bytes] = {}
        self.acknowledged = 0
        self.begun = threading.Event()

    def run(self) -> None:
        with httpx.Client(base_url=self.gateway.url, timeout=30) as http:
            for seed in self.seeds:
                name, data = f"{seed}.mp4", film(seed, CHUNK * (1 + seed % 40) + seed % 2)
                self.sent[name] = data
                try:
                    answer = http.post(f"/api/v1/videos?name={name}", content=slowly(data, self.begun))
                except httpx.TransportError:
                    return
                if answer.status_code == 201:
                    self.gateway.videos[answer.json()["id"]] = data
                    self.acknowledged += 1


def assert_nothing_is_half_visible(gateway: Gateway, sent: dict[str, bytes]) -> None:
    """Every acknowledged video is listed; every listed one is whole, also when its answer did not arrive."""
    listed = gateway.listed()
    assert gateway.videos.keys() <= listed.keys()
    for video, described in listed.items():
        assert gateway.read(video) == sent[described["name"]]
        gateway.videos[video] = sent[described["name"]]


def wait_for_the_space_of(gateway: Gateway) -> None:
    # Equal chunks are stored once: those of a film that was sent twice, and some that are one byte long.
    chunks = {data[start : start + CHUNK] for data in gateway.videos.values() for start in range(0, len(data), CHUNK)}
    expected = 2 * sum(map(len, chunks))
    wait_for(
        lambda: gateway.stored_bytes() == expected and gateway.health()["totals"]["open_files"] == 0,
        f"the disks do not hold the {expected} bytes of the videos and nothing else",
    )


def test_killing_it_at_random_moments_of_uploads_loses_and_leaves_nothing(tmp_path: Path) -> None:
    seed = SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    random = Random(seed)
    sent: dict[str, bytes] = {}
    seeds = iter(range(seed, seed + 10_000))
    with a_gateway(tmp_path) as gateway:
        gateway.store(film(0))
        sent["video.mp4"] = film(0)
        for _ in range(ROUNDS):
            uploads = [Uploads(gateway, seeds), Uploads(gateway, iter(range(next(seeds) + 10_000, seed + 30_000)))]
            for upload in uploads:
                upload.start()
            for upload in uploads:
                assert upload.begun.wait(30)
            time.sleep(random.uniform(0.0, 0.5))
            gateway.kill()
            for upload in uploads:
                upload.join(30)
                sent.update(upload.sent)
            gateway.start()
            assert_nothing_is_half_visible(gateway, sent)
        gateway.assert_all_whole()
        wait_for_the_space_of(gateway)


def test_an_upload_that_a_kill_cut_shows_nothing_and_its_space_comes_back(tmp_path: Path) -> None:
    with a_gateway(tmp_path) as gateway:
        kept = gateway.store(film(1))
        upload = Uploads(gateway, iter([39 + 40 * 2**20]))
        upload.start()
        wait_for(lambda: gateway.stored_bytes() > 2 * len(film(1)) + 4 * CHUNK, "no byte of the upload reached a disk")
        gateway.kill()
        upload.join(30)
        gateway.start()
        assert set(gateway.listed()) == {kept}
        wait_for_the_space_of(gateway)
        gateway.assert_all_identical()


def test_sigterm_lets_a_download_and_an_upload_end_well(tmp_path: Path) -> None:
    with a_gateway(tmp_path) as gateway:
        data = film(1, 400 * CHUNK)
        video = gateway.store(data)
        begun = threading.Event()
        received: list[bytes] = []

        def download() -> None:
            with httpx.stream("GET", f"{gateway.url}/api/v1/videos/{video}/content", timeout=30) as answer:
                for piece in answer.iter_raw():
                    received.append(piece)
                    begun.set()
                    time.sleep(0.001)

        downloading = threading.Thread(target=download, daemon=True)
        uploading = Uploads(gateway, iter([39 + 40 * 2**20]))
        downloading.start()
        uploading.start()
        assert begun.wait(30)
        assert uploading.begun.wait(30)
        assert gateway.terminate() == 0
        downloading.join(30)
        uploading.join(30)
        assert b"".join(received) == data
        assert uploading.acknowledged == 1
        gateway.start()
        gateway.assert_all_identical()
        assert set(gateway.listed()) == set(gateway.videos)


def test_a_second_sigterm_ends_it_at_once_and_an_upload_shows_nothing(tmp_path: Path) -> None:
    with a_gateway(tmp_path, REELSTORE_GRACEFUL_SECONDS="3600") as gateway:
        stopped = threading.Event()
        begun = threading.Event()
        stored: list[bool] = []

        def body() -> Iterator[bytes]:
            yield from slowly(film(1), begun)
            stopped.wait(60)  # a client that stays and sends nothing more

        def upload() -> None:
            try:
                answer = httpx.post(f"{gateway.url}/api/v1/videos?name=a", content=body(), timeout=60)
            except httpx.TransportError:
                stored.append(False)
            else:
                stored.append(answer.is_success)

        uploading = threading.Thread(target=upload, daemon=True)
        uploading.start()
        assert begun.wait(30)
        wait_for(lambda: gateway.stored_bytes() > 0, "no byte of the upload reached a disk")
        gateway.process.terminate()
        wait_for(lambda: not takes_connections(gateway), "it takes connections although it was told to end")
        gateway.terminate()
        stopped.set()
        uploading.join(30)
        assert stored == [False]
        gateway.start()
        assert gateway.listed() == {}
        wait_for_the_space_of(gateway)


def takes_connections(gateway: Gateway) -> bool:
    try:
        httpx.get(f"{gateway.url}/healthz", timeout=5)
    except httpx.TransportError:
        return False
    return True
