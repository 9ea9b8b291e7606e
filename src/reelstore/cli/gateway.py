"""Running the gateway: the listening socket, signals, the application, uvicorn; joined here, for `reelstore serve`."""

from __future__ import annotations

import asyncio
import errno
import gc
import ipaddress
import logging
import math
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import uvicorn
from uvicorn.supervisors import ChangeReload

from reelstore import __version__
from reelstore.bootstrap import Application, running
from reelstore.cli import output
from reelstore.cli.allocation import keep_freed_chunks
from reelstore.cli.failures import CommandFailed
from reelstore.config import Settings
from reelstore.web.app import create_app
from reelstore.web.server import BACKLOG, uvicorn_config

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM)


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
    listening = nullcontext(sockets[0]) if sockets else _listener(settings.host, settings.port)
    with listening as listener, asyncio.Runner(loop_factory=_new_loop) as runner:
        _log(settings.log_level)
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
    with _listener(settings.host, settings.port) as listener:
        ChangeReload(watched, target=partial(run, settings), sockets=[listener]).run()


class _Server(uvicorn.Server):
    """Serve, leave signals to `_Ending`, and tell when answers are given."""

    def __init__(self, config: uvicorn.Config, *, on_listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing: uvicorn would raise the signal again afterwards, and so end the process before its cleanup."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        await super().startup(sockets)
        self._on_listening()


class _Ending:
    """Turn signals into an end: of the start, of the server after the requests in progress, of the server at once."""

    def __init__(self) -> None:
        self.server: uvicorn.Server | None = None
        self._starting = asyncio.current_task()
        for number in ENDING_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._ask)

    def _ask(self) -> None:
        if self.server is None:
            assert self._starting is not None
            self._starting.cancel()
        elif self.server.should_exit:
            self.server.force_exit = True
        else:
            self.server.should_exit = True
            output.say("ending: requests in progress are answered first; a second signal ends them")


async def _serve(settings: Settings, listener: socket.socket) -> None:
    ending = _Ending()
    async with running(settings) as application:
        announcement = await _announcement(application, listener)
        config = uvicorn_config(
            create_app(application),
            host=settings.host,
            port=settings.port,
            shutdown_timeout_seconds=math.ceil(settings.graceful_seconds),
        )
        ending.server = _Server(config, on_listening=lambda: output.say(announcement))
        gc.freeze()  # modules, routes and rings stay for good: a collection that looked at them took 70 ms of the loop
        await ending.server.serve(sockets=[listener])


async def _announcement(application: Application, listener: socket.socket) -> str:
    """Say where it listens, where the data is, and what is not as it should be."""
    settings, status = application.settings, await application.health.status()
    host, port = listener.getsockname()[:2]
    place = "in memory, gone when this ends" if settings.memory else str(settings.data.resolve())
    lines = [
        f"Reelstore {__version__} listens on http://{f'[{host}]' if ':' in host else host}:{port}",
        f"data: {output.printable(place)}",
        f"servers: {status.servers_up} of {status.servers_total} up",
    ]
    if status.health != "ok":
        lines += [f"{status.health}: {output.printable(reason)}" for reason in status.reasons]
    if not ipaddress.ip_address(host.split("%")[0]).is_loopback:
        lines.append("open: whoever reaches this address can read and delete everything")
    return "\n".join(lines)


@contextmanager
def _listener(host: str, port: int) -> Iterator[socket.socket]:
    """Listen, before the start is complete: who connects early waits.

    Raises:
        CommandFailed: the address is none of this machine, or taken, or not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CommandFailed(f"cannot listen on {host}: {error.strerror}") from error
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise CommandFailed(
                    f"port {port} of {host} is in use by another process; --port takes another (0: any free one)"
                ) from error
            raise CommandFailed(f"cannot listen on port {port} of {host}: {error.strerror}") from error
        yield listener


def _log(level: str) -> None:
    """Log to standard error: ours from this level on, of the libraries' only warnings and worse."""
    logging.basicConfig(format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", level=logging.WARNING)
    logging.getLogger("reelstore").setLevel(level.upper())


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - not there on every platform
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
