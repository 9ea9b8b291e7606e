"""Running the gateway: the listening socket, signals, the application, uvicorn; joined here, for `reelstore serve`."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import math
import socket
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import uvicorn
from uvicorn.supervisors import ChangeReload

from reelstore import __version__
from reelstore.bootstrap import Application, describe, running
from reelstore.cli import output
from reelstore.cli.allocation import keep_freed_chunks
from reelstore.cli.serving import Ending, Server, listening_socket, log_to_standard_error, new_loop
from reelstore.config import Settings
from reelstore.web.app import create_app
from reelstore.web.server import uvicorn_config


def run(settings: Settings, sockets: Sequence[socket.socket] = ()) -> None:
    """Serve until a signal ends it: the first one gracefully, the second one at once.

    Args:
        settings: see there.
        sockets: one that listens already; else one is made as the settings say.

    Raises:
        CommandFailed: the address cannot be listened on.
        ConfigurationError, MetadataUnavailable: see `reelstore.bootstrap.running`.
    """
    keep_freed_chunks()
    # Before anything is touched: a second server on one port should change nothing.
    listening = nullcontext(sockets[0]) if sockets else listening_socket(settings.host, settings.port)
    with listening as listener, asyncio.Runner(loop_factory=new_loop) as runner:
        log_to_standard_error(settings.log_level)
        try:
            runner.run(_serve(settings, listener))
        except asyncio.CancelledError:
            output.say("ended while starting")


def run_reloading(settings: Settings) -> None:
    """Serve in a process of its own, which starts anew whenever the code changes, on a socket that stays.

    Raises:
        CommandFailed: the address cannot be listened on.
    """
    watched = uvicorn.Config("reelstore", reload=True, reload_dirs=[str(Path(__file__).parents[1])])
    with listening_socket(settings.host, settings.port) as listener:
        ChangeReload(watched, target=partial(run, settings), sockets=[listener]).run()


async def _serve(settings: Settings, listener: socket.socket) -> None:
    ending = Ending()
    async with running(settings) as application:
        announcement = await _announcement(application, listener)
        config = uvicorn_config(
            create_app(application),
            host=settings.host,
            port=settings.port,
            shutdown_timeout_seconds=math.ceil(settings.graceful_seconds),
        )
        ending.drain_seconds, ending.leaving = settings.drain_seconds, application.leaving
        ending.server = Server(config, on_listening=lambda: output.say(announcement))
        gc.freeze()  # modules, routes and rings stay for good: a collection that looked at them took 70 ms of the loop
        await ending.server.serve(sockets=[listener])


async def _announcement(application: Application, listener: socket.socket) -> str:
    """Say where it listens, where the data is, and what is not as it should be."""
    settings, status = application.settings, await application.health.status()
    host, port = listener.getsockname()[:2]
    lines = [
        f"Reelstore {__version__} listens on http://{f'[{host}]' if ':' in host else host}:{port}",
        f"data: {output.printable(describe(settings))}",
        f"servers: {status.servers_up} of {status.servers_total} up",
    ]
    if status.health != "ok":
        lines += [f"{status.health}: {output.printable(reason)}" for reason in status.reasons]
    if not ipaddress.ip_address(host.split("%")[0]).is_loopback:
        lines.append("open: whoever reaches this address can read and delete everything")
    return "\n".join(lines)
