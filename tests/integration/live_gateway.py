"""A gateway that really listens: uvicorn on a loop of its own, in a thread of the tests' process."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
import uvloop

from reelstore.bootstrap import Application, running
from reelstore.config import Settings
from reelstore.web.app import create_app
from reelstore.web.server import uvicorn_config


@dataclass
class LiveGateway:
    """Where it listens, and what is behind it (which belongs to the loop of the other thread)."""

    port: int
    application: Application
    loop: asyncio.AbstractEventLoop
    server: uvicorn.Server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self, *, receive_buffer_bytes: int | None = None) -> socket.socket:
        """Open a plain connection, for requests that no HTTP client would send."""
        connection = socket.socket()
        if receive_buffer_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", self.port))
        return connection

    def client(self) -> httpx.Client:
        """Open an ordinary client."""
        return httpx.Client(base_url=self.url, timeout=30)


@contextmanager
def live_gateway(**settings: Any) -> Iterator[LiveGateway]:
    """Serve until the block ends; in memory, without background work, unless told otherwise."""
    chosen = {"memory": True, "background": False, "partition_bits": 4} | settings
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    started: Future[LiveGateway] = Future()
    servers: list[uvicorn.Server] = []

    async def serve() -> None:
        async with running(Settings(**chosen)) as application:
            server = uvicorn.Server(uvicorn_config(create_app(application), port=port, shutdown_timeout_seconds=1))
            servers.append(server)
            started.set_result(LiveGateway(port, application, asyncio.get_running_loop(), server))
            await server.serve(sockets=[listening])

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(serve())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run, name="gateway")
    thread.start()
    try:
        yield started.result(timeout=30)
    finally:
        for server in servers:
            server.should_exit = True
        thread.join(timeout=30)
        listening.close()
    assert not thread.is_alive()
