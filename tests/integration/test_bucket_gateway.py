"""A gateway with buckets in its ring: added over HTTP, written to and read from, without a secret ever being shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.integration.live_gateway import live_gateway
from tests.live_bucket import LiveBuckets

SECRET = "wJalrXUtnFEMI"


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("B1", "B2"):
        monkeypatch.setenv(f"REELSTORE_SERVER_{name}_ACCESS_KEY_ID", "test")
        monkeypatch.setenv(f"REELSTORE_SERVER_{name}_SECRET_ACCESS_KEY", SECRET)


def test_buckets_join_a_ring_of_folders_and_hold_every_video(buckets: LiveBuckets, tmp_path: Path) -> None:
    with (
        live_gateway(memory=False, data=tmp_path / "data", first_servers=1, copies=1, background=True) as gateway,
        gateway.client() as client,
    ):
        url = f"s3://{buckets.make()}/reelstore?endpoint={buckets.endpoint}"
        for body, words in (
            ({"name": "b1", "url": url}, "capacity"),
            ({"name": "b1", "url": f"{url}&secret_access_key={SECRET}", "capacity_bytes": 10**9}, "environment"),
            ({"name": "b1", "url": url.replace("s3://", f"s3://k:{SECRET}@"), "capacity_bytes": 10**9}, "environment"),
            (
                {"name": "b1", "url": f"s3://nowhere/x?endpoint={buckets.endpoint}", "capacity_bytes": 10**9},
                "no such bucket",
            ),
            ({"name": "b3", "url": url, "capacity_bytes": 10**9}, "REELSTORE_SERVER_B3_ACCESS_KEY_ID"),
        ):
            answer = client.post("/api/v1/servers?accept_warnings=true", json=body)
            assert 400 <= answer.status_code < 500, answer.text
            assert words in answer.json()["detail"]
            assert SECRET not in answer.text
        places = [buckets.make(), buckets.make()]
        for name, place in zip(("b1", "b2"), places, strict=True):
            body = {
                "name": name,
                "url": f"s3://{place}/reelstore?endpoint={buckets.endpoint}",
                "capacity_bytes": 10**12,
            }
            added = client.post("/api/v1/servers?accept_warnings=true", json=body)
            assert added.status_code < 300, added.text
        data = os.urandom(9_000_000)
        stored = client.post("/api/v1/videos?name=film.bin", content=data)
        assert stored.status_code == 201, stored.text
        assert client.get(f"/api/v1/videos/{stored.json()['id']}/content").content == data
        kept = [key for place in places for key in buckets.backend.buckets[place].keys if "/shards/" in key]
        assert kept, "a copy of some chunk is in a bucket"
        assert SECRET not in client.get("/api/v1/servers").text
    assert all(SECRET.encode() not in path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())
