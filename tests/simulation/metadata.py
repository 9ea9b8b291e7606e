"""The metadata as a process sees it: a turn to be waited for, a database that may be away, a death in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from reelstore.domain.errors import MetadataUnavailable
from reelstore.repositories.interface import UnitOfWork
from reelstore.repositories.memory import InMemoryMetadata
from tests.simulation.places import finished

if TYPE_CHECKING:
    from tests.simulation.world import Process

T = TypeVar("T")


class Turns:
    """Let one unit of work write at a time, in an order that is drawn; what dies gives its turn back."""

    def __init__(self, draw: Callable[[], float]) -> None:
        self._draw = draw
        self._holder: Unit | None = None
        self._waiting: list[tuple[Unit, asyncio.Future[None]]] = []

    async def take(self, unit: Unit) -> None:
        if self._holder is None:
            self._holder = unit
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((unit, turn))
        await turn

    def give_back(self, unit: Unit) -> None:
        """End a unit's turn, or its waiting for one."""
        self._waiting = [each for each in self._waiting if each[0] is not unit]
        if self._holder is not unit:
            return
        self._holder = None
        while self._waiting and self._holder is None:
            nearest, turn = self._waiting.pop(int(self._draw() * len(self._waiting)))
            if not turn.done():
                self._holder = nearest
                turn.set_result(None)


class SimulatedMetadata:
    """Hand out units of work of one process over what all of them share."""

    def __init__(self, process: Process, inner: InMemoryMetadata, turns: Turns) -> None:
        self.process = process
        self.inner = inner
        self.turns = turns
        self.units: set[Unit] = set()

    def unit_of_work(self, *, frees: bool = False) -> UnitOfWork:
        return cast("UnitOfWork", Unit(self, self.inner.unit_of_work(frees=frees), writes=True))

    async def transact(self, work: Callable[[UnitOfWork], Awaitable[T]], *, frees: bool = False) -> T:
        async with self.unit_of_work(frees=frees) as uow:
            result = await work(uow)
            await uow.commit()
        return result

    def snapshot(self) -> UnitOfWork:
        return cast("UnitOfWork", Unit(self, self.inner.snapshot(), writes=False))

    async def close(self) -> None:
        """Leave it to the other processes."""

    def die(self) -> None:
        """Roll back what the process had begun, as a database does when the connection ends."""
        for unit in sorted(self.units, key=lambda unit: unit.number):
            unit.end()


class Unit:
    """A unit of work with steps around it: other processes come between, and the database may be away."""

    def __init__(self, metadata: SimulatedMetadata, inner: Any, *, writes: bool) -> None:
        self._metadata = metadata
        self._process = metadata.process
        self._world = metadata.process.world
        self._inner = inner
        self._writes = writes
        self._has_begun = False
        self.number = self._world.next_number()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def __aenter__(self) -> Self:
        await self._process.hesitate()
        if self._world.metadata_is_away(self._process):
            raise MetadataUnavailable("the database is away, says the simulation")
        if self._writes:
            self._metadata.units.add(self)
            try:
                await self._metadata.turns.take(self)
            except asyncio.CancelledError:
                self.end()
                raise
        await self._inner.__aenter__()
        self._has_begun = True
        return self

    async def commit(self) -> None:
        await self._process.hesitate()
        if self._world.metadata_is_away(self._process):
            raise MetadataUnavailable("the database went away before the commit, says the simulation")
        watched = self._metadata.inner is self._world.metadata
        changes = self._world.invariants.before_commit() if watched else None
        await self._inner.commit()
        self._has_begun = False
        self._metadata.turns.give_back(self)
        if changes is not None:
            self._world.note("commit", self._process.name, self.number, changes.told)
            self._world.invariants.after_commit(changes)
        await self._process.hesitate()
        if self._world.metadata_is_away(self._process):
            raise MetadataUnavailable("the database went away after the commit, says the simulation")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Roll back what is not committed, and let others write."""
        if self._has_begun:
            finished(self._inner.__aexit__(None, None, None))
            self._has_begun = False
        self._metadata.turns.give_back(self)
        self._metadata.units.discard(self)
