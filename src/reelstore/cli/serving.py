"""What the programs that serve share: the listening socket, signals, logs, the loop."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from reelstore.cli import output
from reelstore.cli.failures import CommandFailed
from reelstore.web.server import BACKLOG

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Server(uvicorn.Server):
    """Serve, leave signals to `Ending`, and tell when answers are given."""

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


class Ending:
    """Turn signals into an end: of the start, of the server after the requests in progress, of the server at once.

    A server that drains first goes on for a while, so that whoever asks it whether it is ready can turn elsewhere.
    """

    def __init__(self) -> None:
        self.server: uvicorn.Server | None = None
        self.drain_seconds = 0.0
        self.leaving = asyncio.Event()
        self._starting = asyncio.current_task()
        for number in ENDING_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._ask)

    def _ask(self) -> None:
        if self.server is None:
            assert self._starting is not None
            self._starting.cancel()
        elif self.server.should_exit:
            self.server.force_exit = True
        elif self.drain_seconds and not self.leaving.is_set():
            self.leaving.set()
            asyncio.get_running_loop().call_later(self.drain_seconds, self._end, self.server)
            output.say(f"not ready any more; ending in {self.drain_seconds:g} s, or at the next signal")
        else:
            self._end(self.server)

    def _end(self, server: uvicorn.Server) -> None:
        if not server.should_exit:
            self.leaving.set()
            server.should_exit = True
            output.say("ending: requests in progress are answered first; a second signal ends them")


@contextmanager
def listening_socket(host: str, port: int, *, option: str = "--port") -> Iterator[socket.socket]:
    """Listen, before the start is complete: who connects early waits.

    Args:
        host: an address of this machine.
        port: 0 for a free one.
        option: of the command line that chooses another port.

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
                    f"port {port} of {host} is in use by another process; {option} takes another (0: any free one)"
                ) from error
            raise CommandFailed(f"cannot listen on port {port} of {host}: {error.strerror}") from error
        yield listener


def log_to_standard_error(level: str) -> None:
    """Log to standard error: ours from this level on, of the libraries' only warnings and worse."""
    logging.basicConfig(format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", level=logging.WARNING)
    logging.getLogger("reelstore").setLevel(level.upper())


def new_loop() -> asyncio.AbstractEventLoop:
    """Make an event loop: uvloop's, where that is installed."""
    try:
        import uvloop  # noqa: PLC0415 - not there on every platform
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
