"""Where servers are: ask about places in time, and claim those of new servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from reelstore.chunkstore.fleet import Fleet
from reelstore.domain.change import ChangeAction, ServerChange
from reelstore.domain.errors import InvalidInput, ServerExists, ServerUnavailable
from reelstore.domain.server import Server, ServerState
from reelstore.storage.interface import StorageServer, Usage

ASKING_THREADS = 4
PLACE_SECONDS = 5.0
CLAIM_SECONDS = 30.0
"""A disk that hangs must not keep another server from being added: it may be the one that is to stand in."""

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Drivers:
    """What is needed of the storage drivers, handed over by the composition root.

    Args:
        connect: makes a driver of a URL, name and capacity; raises `InvalidServerUrl`.
        default_zone: the zone of a URL when none is given: what it surely fails together with.
        same_place: whether two URLs name one place, or one inside the other.
        default_capacity: the capacity of a URL's place, in bytes, when none is given; 0 if it has none of its own.
    """

    connect: Callable[[str, str, int | None], StorageServer]
    default_zone: Callable[[str], str]
    same_place: Callable[[str, str], bool]
    default_capacity: Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Claimed:
    """A place that is ours, and how full it was."""

    driver: StorageServer
    usage: Usage


class Places:
    """Ask about places, in threads and not for ever, and claim them.

    Args:
        drivers: how places are reached.
        fleet: writes the markers.
    """

    def __init__(self, drivers: Drivers, fleet: Fleet) -> None:
        self._drivers = drivers
        self._fleet = fleet
        # Apart from the pool that everything else uses: a disk that hangs holds the threads that ask for it.
        self._asking = ThreadPoolExecutor(ASKING_THREADS, thread_name_prefix="places")

    async def filled_in(self, changes: Sequence[ServerChange], servers: Iterable[Server]) -> list[ServerChange]:
        """Return changes in which every added server has a zone and a capacity: what its place has, if none was given.

        Args:
            changes: any; those that add no server come back as they are.
            servers: those whose places are taken.

        Raises:
            InvalidServerUrl, ServerExists, InvalidInput: a retry does not help.
            ServerUnavailable: the place does not answer; a retry can help.
        """
        taken = [(server.name, server.url) for server in servers if server.state is not ServerState.REMOVED]
        filled = []
        for change in changes:
            if change.action is not ChangeAction.ADD or change.url is None:
                filled.append(change)
                continue
            await _close(self._drivers.connect(change.url, change.name, change.capacity_bytes))  # is it a place at all?
            for name, url in taken:
                if await self._is_same_place(url, change.url):
                    raise ServerExists(f"server {name} is at that place already, or one would be inside the other")
            taken.append((change.name, change.url))
            filled.append(await self._of_its_place(change, change.url))
        return filled

    async def _of_its_place(self, change: ServerChange, url: str) -> ServerChange:
        zone, capacity_bytes = change.zone, change.capacity_bytes
        if zone is None:
            zone = await self._ask_of(change.name, self._drivers.default_zone, url)
        if capacity_bytes is None:
            capacity_bytes = await self._ask_of(change.name, self._drivers.default_capacity, url)
            if capacity_bytes < 1:
                raise InvalidInput("the place has no capacity of its own; give one", field="capacity_bytes")
        return replace(change, zone=zone, capacity_bytes=capacity_bytes)

    async def disks(self, urls: Iterable[str]) -> dict[str, str]:
        """Return what each URL's place surely fails together with; places that do not answer are left out."""
        found = {}
        for url in urls:
            with suppress(TimeoutError):
                found[url] = await self._ask(self._drivers.default_zone, url)
        return found

    @asynccontextmanager
    async def claimed(self, changes: Sequence[ServerChange]) -> AsyncIterator[dict[str, Claimed]]:
        """Claim the places of the servers that are added; when the block fails, their drivers are closed again.

        A crash before the block's end leaves at most claimed places, which the same change finds its own.

        Yields:
            what was claimed, by the server's name. When the block succeeds, the drivers are the caller's.

        Raises:
            ServerRefused: the place is another's; a retry does not help.
            ServerUnavailable: it cannot be opened; a retry can help.
            ServerFull: there is no room for a marker.
        """
        async with AsyncExitStack() as drivers:
            claimed = {}
            for change in changes:
                if change.action is ChangeAction.ADD and change.url is not None:
                    driver = self._drivers.connect(change.url, change.name, change.capacity_bytes)
                    drivers.push_async_callback(_close, driver)
                    claimed[change.name] = Claimed(driver, await self._claim(driver, change.name))
            yield claimed
            drivers.pop_all()

    async def _claim(self, driver: StorageServer, name: str) -> Usage:
        try:
            async with asyncio.timeout(CLAIM_SECONDS):
                await self._fleet.attach(driver, name, claim=True)
                return await driver.usage()
        except TimeoutError:
            raise ServerUnavailable(f"the place did not answer within {CLAIM_SECONDS:g} s", server=name) from None

    async def _is_same_place(self, url_a: str, url_b: str) -> bool:
        """Compare two places; one that does not answer is not waited for: its marker and its lock guard it too."""
        try:
            return await self._ask(self._drivers.same_place, url_a, url_b)
        except TimeoutError:
            return False

    async def _ask_of(self, name: str, question: Callable[[str], Answer], url: str) -> Answer:
        try:
            return await self._ask(question, url)
        except TimeoutError:
            raise ServerUnavailable(f"the place did not answer within {PLACE_SECONDS:g} s", server=name) from None

    async def _ask(self, question: Callable[..., Answer], *urls: str) -> Answer:
        """Ask a driver about places, in a thread; raise `TimeoutError` when that takes too long."""
        async with asyncio.timeout(PLACE_SECONDS):
            return await asyncio.get_running_loop().run_in_executor(self._asking, question, *urls)


async def _close(driver: StorageServer) -> None:
    with suppress(TimeoutError):  # what hangs there closes when it returns
        async with asyncio.timeout(PLACE_SECONDS):
            await driver.close()
