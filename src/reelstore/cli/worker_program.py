"""Running a worker: the application without its web, until a signal ends it."""

from __future__ import annotations

import asyncio

from reelstore import __version__
from reelstore.bootstrap import describe, is_shared, running
from reelstore.cli import output
from reelstore.cli.allocation import keep_freed_chunks
from reelstore.cli.serving import ENDING_SIGNALS, log_to_standard_error, new_loop
from reelstore.config import Settings
from reelstore.domain.errors import ConfigurationError


def run(settings: Settings) -> None:
    """Work until a signal ends it.

    Raises:
        ConfigurationError: the metadata is not shared: then the gateway does all of it by itself.
        ConfigurationError, MetadataUnavailable: see `reelstore.bootstrap.running`.
    """
    if not is_shared(settings):
        raise ConfigurationError(
            "a worker shares a PostgreSQL database with gateways (--database-url postgresql://…); with SQLite, "
            "`reelstore serve` does this work itself"
        )
    keep_freed_chunks()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        log_to_standard_error(settings.log_level)
        try:
            runner.run(_work(settings))
        except asyncio.CancelledError:
            output.say("ended")


async def _work(settings: Settings) -> None:
    task = asyncio.current_task()
    assert task is not None
    for number in ENDING_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    async with running(settings) as application:
        status = await application.health.status()
        lines = [
            f"Reelstore worker {__version__}",
            f"data: {output.printable(describe(settings))}",
            f"servers: {status.servers_up} of {status.servers_total} up",
        ]
        output.say("\n".join(lines))
        await asyncio.Event().wait()
