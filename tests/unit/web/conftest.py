"""The API over the dictionary repository and memory servers, called without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from reelstore.bootstrap import Application, running
from reelstore.config import Settings
from reelstore.web.app import create_app
from tests.unit.web.answers import assert_video

CHUNK = 4096


@dataclass
class Gateway:
    """A gateway and a client of it."""

    application: Application
    http: httpx.AsyncClient

    async def store(self, content: bytes = b"content", *, name: str = "a.mp4", **params: Any) -> dict[str, Any]:
        """Store a video and return it."""
        answer = await self.http.post("/api/v1/videos", params={"name": name, **params}, content=content)
        return assert_video(answer, 201)

    async def pages(self, path: str, **params: Any) -> list[dict[str, Any]]:
        """Return the items of all pages of a listing."""
        items: list[dict[str, Any]] = []
        for _ in range(100):
            page = (await self.http.get(path, params=params)).json()
            items += page["items"]
            if page["next_cursor"] is None:
                return items
            params["cursor"] = page["next_cursor"]
        raise AssertionError("the pages do not end")

    async def content(self, video: dict[str, Any], **headers: str) -> httpx.Response:
        """Read a video's content."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.get(f"/api/v1/videos/{video['id']}/content", headers=named)


@asynccontextmanager
async def gateway_in_memory(**settings: Any) -> AsyncIterator[Gateway]:
    """Run a gateway with small chunks and without background work."""
    chosen = {"memory": True, "background": False, "chunk_size_bytes": CHUNK, "partition_bits": 4} | settings
    async with running(Settings(**chosen)) as application:
        transport = httpx.ASGITransport(create_app(application))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            yield Gateway(application, http)


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    """Provide a fresh gateway."""
    async with gateway_in_memory() as it:
        yield it
