"""A verification over a real socket: it takes long, and ends when nobody waits for it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tests.integration.live_gateway import live_gateway

BODY = bytes(1000)


def test_a_verification_ends_when_its_client_leaves() -> None:
    begun, ended = threading.Event(), threading.Event()

    async def verify_for_ever(_: str) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with live_gateway() as gateway, gateway.client() as client:
        video = client.post("/api/v1/videos", params={"name": "a.mp4"}, content=BODY).json()
        url = f"/api/v1/videos/{video['id']}/verify"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gateway.application.inspector, "verify", verify_for_ever)
            with gateway.connect() as connection:
                connection.sendall(f"POST {url} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
                assert begun.wait(60)
            assert ended.wait(60)
        assert client.post(url).json()["shards_ok"] == 2
