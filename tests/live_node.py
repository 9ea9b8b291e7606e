"""Nodes that really listen: each with a folder, all on one loop in a thread of the tests' process."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from starlette.types import ASGIApp

from reelstore.cli.node_program import node_asgi
from reelstore.node.folder import NodeFolder
from reelstore.node.gate import Gate
from reelstore.storage.node import NodeAccess, NodeServer
from reelstore.storage.node.access import node_access
from reelstore.storage.node.connection import NodeConnection
from reelstore.storage.node.secret import ClusterSecret
from reelstore.web.server import uvicorn_config

SECRET = ClusterSecret(b"a secret of the tests alone")
ACCESS = node_access(SECRET)

Wrap = Callable[[ASGIApp], ASGIApp]


@dataclass
class LiveNode:
    """One node: where it listens, and what it serves."""

    folder: NodeFolder
    url: str
    server: uvicorn.Server
    serving: Future[None]
    ending: asyncio.Event
    loop: asyncio.AbstractEventLoop

    def driver(
        self, name: str = "a", *, capacity_bytes: int | None = None, access: NodeAccess = ACCESS, **options: Any
    ) -> NodeServer:
        return NodeServer(name, NodeConnection(name, self.url, access, **options), capacity_bytes=capacity_bytes)

    def stop(self, *, wait: bool = True) -> None:
        self.loop.call_soon_threadsafe(self.ending.set)
        if wait:
            self.serving.result(timeout=30)


@dataclass
class LiveNodes:
    """Start nodes, and stop them all together; `close` waits until they have ended."""

    nodes: list[LiveNode] = field(default_factory=list)
    _loop: asyncio.AbstractEventLoop | None = None
    _thread: threading.Thread | None = None

    def start(
        self,
        path: Path,
        *,
        secret: ClusterSecret = SECRET,
        certificate: Path | None = None,
        key: Path | None = None,
        wrap: Wrap = lambda app: app,
    ) -> LiveNode:
        """Serve a folder.

        Args:
            path: the folder.
            secret: the cluster's.
            certificate, key: for https.
            wrap: puts something between the socket and the node.
        """
        if self._loop is None:
            self._loop = uvloop.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="nodes")
            self._thread.start()
        listening = socket.create_server(("127.0.0.1", 0))
        ready: Future[LiveNode] = Future()
        scheme = "http" if certificate is None else "https"
        url = f"{scheme}://127.0.0.1:{listening.getsockname()[1]}"

        async def serve() -> None:
            folder = NodeFolder(path, reserve_bytes=0)
            try:
                await folder.open()
                config = uvicorn_config(
                    wrap(node_asgi(folder, Gate(secret))),
                    shutdown_timeout_seconds=1,
                    tls_certificate=certificate,
                    tls_key=key,
                )
                config.load()
                server = uvicorn.Server(config)
                server.lifespan = config.lifespan_class(config)
                # Not `serve`, which looks only ten times a second whether it is to end.
                await server.startup(sockets=[listening])
                node = LiveNode(folder, url, server, serving, asyncio.Event(), asyncio.get_running_loop())
                ready.set_result(node)
                await node.ending.wait()
                await server.shutdown(sockets=[listening])
            except BaseException as error:
                if ready.done():
                    raise
                ready.set_exception(error)
            finally:
                listening.close()
                await folder.close()

        begin = threading.Event()

        async def begun() -> None:
            await asyncio.get_running_loop().run_in_executor(None, begin.wait)  # until `serving` is known
            await serve()

        serving = asyncio.run_coroutine_threadsafe(begun(), self._loop)
        begin.set()
        node = ready.result(timeout=30)
        self.nodes.append(node)
        return node

    def stop(self) -> None:
        for node in self.nodes:
            node.stop(wait=False)

    def close(self) -> None:
        self.stop()
        for node in self.nodes:
            node.serving.result(timeout=30)
        self.nodes.clear()
        loop, self._loop = self._loop, None
        if loop is not None and self._thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join(30)
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
