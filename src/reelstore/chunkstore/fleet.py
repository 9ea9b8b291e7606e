"""The fleet: the drivers of all registered servers, and what recent calls taught about each."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

from reelstore.domain.errors import ServerFull, ServerRefused, ServerUnauthorized, ServerUnavailable
from reelstore.domain.server import Server, ServerState
from reelstore.storage.interface import Marker, Resizable, StorageServer, Usage

LATENCY_WEIGHT = 0.2
"""How much the newest reading counts in the running mean."""
ANSWER_SECONDS = 30.0
"""After which a server that lists, deletes or writes its marker counts as not answering."""
CLOSE_SECONDS = 5.0
ROUNDS_AHEAD = 1 << 32
"""By how many delete rounds a copy of the metadata puts a marker ahead: the original, which may be counting one at this
moment, must never come to be level with it."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class FleetMember:
    """One server as this process sees it: its driver, and whether it answered lately.

    `obstacles` are what is still between a drain and its end: none when a listing proved that the server is empty,
    and None when nobody has looked. `not_evicted` is why a server that is silent for long is not evicted.
    """

    server: Server
    driver: StorageServer
    attached: bool = False
    problem: str | None = "not probed yet"
    failure: ServerUnavailable | None = None
    latency_seconds: float = 0.0
    free_bytes: int | None = None
    disk_free_bytes: int | None = None
    obstacles: tuple[str, ...] | None = None
    not_evicted: str | None = None

    def saw(self, usage: Usage) -> None:
        """Note how full the server says it is."""
        self.server = replace(self.server, used_bytes=usage.used_bytes)
        self.free_bytes = usage.free_bytes
        self.disk_free_bytes = usage.disk_free_bytes

    @property
    def is_up(self) -> bool:
        """Return whether the last call that counts succeeded."""
        return self.problem is None

    @property
    def is_empty(self) -> bool:
        """Return whether a listing proved that nothing needs what is there, after a drain."""
        return self.server.state is ServerState.DRAINING and self.obstacles == ()

    @property
    def is_refused(self) -> bool:
        """Return whether the place answered, and is not the one that it should be or does not let us in."""
        return isinstance(self.failure, ServerRefused)

    @property
    def is_unauthorized(self) -> bool:
        """Return whether the server answered, and does not accept our credentials."""
        return isinstance(self.failure, ServerUnauthorized)

    @property
    def takes_writes(self) -> bool:
        """Return whether new shards may go here."""
        return self.server.state is ServerState.ACTIVE

    @asynccontextmanager
    async def answering(self, seconds: float, doing: str) -> AsyncIterator[asyncio.Timeout]:
        """Bound how long the server may take in a block: a disk or a mount that hangs returns from no call.

        Raises:
            ServerUnavailable: it took longer; a retry can help.
        """
        try:
            async with asyncio.timeout(seconds) as limit:
                yield limit
        except TimeoutError:
            raise ServerUnavailable(f"no answer to {doing} within {seconds:g} s", server=self.server.name) from None

    def succeeded(self, seconds: float) -> None:
        """Note how long a read took."""
        if self.latency_seconds:
            self.latency_seconds += LATENCY_WEIGHT * (seconds - self.latency_seconds)
        else:
            self.latency_seconds = seconds

    def failed(self, error: ServerUnavailable) -> None:
        """Note that the server does not answer; a probe takes it back."""
        if self.problem is None:
            log.warning("server %s does not answer: %s", self.server.name, error)
        self.problem, self.failure = str(error), error


class Fleet:
    """Keep a driver for each server that is not removed.

    Args:
        connect: makes the driver of a server, without touching its place.
        cluster_id, generation: what markers are written with, and compared to.
        is_copy: the metadata may be a copy of another one that is in use: each marker is put ahead of both before the
            server is used, so that neither deletes (see `services.ownership`).
    """

    def __init__(
        self,
        connect: Callable[[Server], StorageServer],
        *,
        cluster_id: str,
        generation: str,
        is_copy: bool = False,
    ) -> None:
        self._connect = connect
        self._cluster_id = cluster_id
        self._generation = generation
        self._is_copy = is_copy
        self._members: dict[int, FleetMember] = {}

    def __iter__(self) -> Iterator[FleetMember]:
        return iter(tuple(self._members.values()))

    def __getitem__(self, number: int) -> FleetMember:
        return self._members[number]

    def get(self, number: int) -> FleetMember | None:
        """Return the member of that number, or None when it is removed or not known yet."""
        return self._members.get(number)

    def numbers(self) -> frozenset[int]:
        """Return the numbers of all members."""
        return frozenset(self._members)

    def expected_marker(self, server_name: str) -> Marker:
        """Return whose a server's place should be."""
        return Marker(self._cluster_id, server_name, self._generation, 0)

    async def attach(self, driver: StorageServer, server_name: str, *, claim: bool) -> Marker:
        """Open a driver's place; see `StorageServer.attach`."""
        return await driver.attach(self.expected_marker(server_name), claim=claim)

    def adopt(self, server: Server, driver: StorageServer) -> None:
        """Take in a server whose driver is attached already."""
        self._members[server.number] = FleetMember(server, driver, attached=True, problem=None)

    async def refresh(self, servers: Iterable[Server]) -> None:
        """Follow the registered servers: connect new ones, close removed ones. Attaching is the probe's work.

        A member that is not among them is newer than they are, and stays.
        """
        for server in servers:
            member = self._members.get(server.number)
            if server.state is ServerState.REMOVED:
                await self._drop(server.number)
            elif member is None:
                self._members[server.number] = FleetMember(server, self._connect(server))
            else:
                if isinstance(member.driver, Resizable) and server.capacity_bytes != member.server.capacity_bytes:
                    member.driver.resize(server.capacity_bytes)
                if server.state is not member.server.state:
                    member.obstacles = None
                member.server = replace(
                    server, used_bytes=member.server.used_bytes if member.is_up else server.used_bytes
                )

    async def _drop(self, number: int) -> None:
        member = self._members.pop(number, None)
        if member is not None:
            with suppress(TimeoutError):  # a disk that hangs closes when it returns
                async with asyncio.timeout(CLOSE_SECONDS):
                    await member.driver.close()

    async def probe(self, member: FleetMember) -> bool:
        """Ask a server whether it is there and ours.

        Returns:
            whether it has just come back: it was not up, and is now.
        """
        was_up = member.is_up
        try:
            if member.attached:
                await member.driver.check()
            else:
                marker = await self.attach(member.driver, member.server.name, claim=False)
                if self._is_copy:
                    await member.driver.record_delete_rounds(marker.delete_rounds + ROUNDS_AHEAD)
                member.attached = True
            usage = await member.driver.usage()
        except ServerUnavailable as error:
            member.failed(error)
            return False
        except ServerFull as error:  # of its marker
            member.failed(ServerUnavailable(str(error), server=member.server.name))
            return False
        member.problem = member.failure = None
        member.saw(usage)
        return not was_up

    def by_preference(self, numbers: Iterable[int]) -> list[FleetMember]:
        """Order servers for reading: those that answer first, then the quicker ones.

        A little chance spreads readers, and has a slow server tried again.
        """
        members = [self._members[number] for number in numbers if number in self._members]
        members.sort(key=lambda member: (not member.is_up, member.latency_seconds * random.uniform(0.5, 1.5)))  # noqa: S311 - spreads load, guards nothing
        return members

    async def close(self) -> None:
        """Close all drivers."""
        for member in self._members.values():
            await member.driver.close()
        self._members.clear()
