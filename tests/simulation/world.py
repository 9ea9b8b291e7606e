"""A whole cluster in one process: metadata, places, and the gateways and workers over them, each a real application."""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import logging
import random
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from reelstore.bootstrap import Application, assemble, background_of
from reelstore.chunkstore.redundancy import redundancy_of
from reelstore.config import Settings
from reelstore.domain.chunk import Chunk
from reelstore.domain.errors import ReelstoreError
from reelstore.domain.policy import Policy
from reelstore.repositories.memory import InMemoryMetadata
from reelstore.services.places import Drivers
from reelstore.storage.interface import StorageServer
from reelstore.storage.memory import MemoryServer
from tests.simulation.invariants import Invariants, Violation
from tests.simulation.ledger import Ledger
from tests.simulation.loop import OWNER, VirtualLoop
from tests.simulation.metadata import SimulatedMetadata, Turns
from tests.simulation.places import Network, Place, SimulatedServer

BEGAN = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request: a result, an error, or nothing at all because its gateway died."""

    result: Any = None
    error: ReelstoreError | None = None
    is_lost: bool = False

    @property
    def told(self) -> str:
        return "no answer" if self.is_lost else type(self.error).__name__ if self.error else "ok"


class World:
    """Everything that outlives a process, and the processes.

    Args:
        loop: where all of it runs.
        seed: of all chances but the order of steps.
        settings: of every process.
    """

    def __init__(self, loop: VirtualLoop, seed: int | str, settings: Settings) -> None:
        self.loop = loop
        self.seed = seed
        self.settings = settings
        self.began = loop.time()
        self.clock_offset_seconds = 0.0
        self.violation: Violation | None = None
        self.failure: BaseException | None = None
        self.is_over = False
        self.trace: list[tuple[object, ...]] = []
        self._numbers = 0
        self.chance = random.Random(f"chance of the world {seed}")
        self.network = Network(self, random.Random(f"network of {seed}"))
        self.metadata = InMemoryMetadata(clock=self.utc)
        self.turns = Turns(random.Random(f"turns of {seed}").random)
        self.metadata_away = 0.0
        self.paused_at: float | None = None
        self.disturbed_at = 0.0
        self.hesitation = 0.0
        self.places: dict[str, Place] = {}
        self.harmed: set[str] = set()
        self.harmed_at: dict[str, float] = {}
        self.policies: dict[str, Policy] = {}
        self.processes: list[Process] = []
        self.invariants = Invariants(self)
        self.ledger = Ledger()

    @property
    def harmed_max(self) -> int:
        """Return how many places may lose data between two quiet times, so that nothing may be lost."""
        return min(policy.copies_min - policy.needed for policy in self.policies.values())

    @property
    def servers_min(self) -> int:
        """Return how many servers all the redundancy needs."""
        return max(policy.width for policy in self.policies.values())

    def shard_size_bytes(self, chunk: Chunk) -> int:
        """Return what each server keeps of a chunk."""
        return redundancy_of(self.policies[chunk.policy]).shard_size_bytes(chunk.size_bytes)

    # ------------------------------------------------------------------ time and trace

    def utc(self) -> datetime:
        """Return the database's time."""
        return BEGAN + timedelta(seconds=self.loop.time() - self.began + self.clock_offset_seconds)

    def note(self, *what: object) -> None:
        """Add a line to the trace."""
        self.trace.append((round(self.loop.time() - self.began, 6), *what))

    def digest(self) -> str:
        """Return the trace as one value."""
        return hashlib.blake2b("\n".join(map(repr, self.trace)).encode(), digest_size=16).hexdigest()

    def next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def broken(self, kind: str, what: str) -> Violation:
        """Note the first broken promise, and end the run."""
        violation = Violation(kind, what)
        if self.violation is None and not self.is_over:
            self.violation = violation
            self.note("VIOLATION", str(violation))
            self.loop.stop()
        return violation

    # ------------------------------------------------------------------ places

    def place(self, name: str, capacity_bytes: int | None = None) -> Place:
        """Return the place of a server; make it at its first mention."""
        if name not in self.places:
            self.places[name] = Place(name, MemoryServer(name, capacity_bytes=capacity_bytes, clock=self.utc))
        return self.places[name]

    def harm(self, place: Place) -> None:
        """Note that a place loses data, or its bytes become others."""
        self.harmed.add(place.name)
        self.harmed_at[place.name] = self.loop.time()

    def lose(self, name: str) -> None:
        """Take a place and all that it has away for ever."""
        self.places[name].is_gone = True
        self.note("gone", name)

    def metadata_is_away(self, process: Process) -> bool:
        """Say whether a process's next transaction fails."""
        return self.metadata_away > 0 and process.chance.random() < self.metadata_away

    # ------------------------------------------------------------------ processes

    @property
    def alive(self) -> list[Process]:
        return [process for process in self.processes if process.is_alive and process.is_ready]

    async def start(self, *, metadata: InMemoryMetadata | None = None, works: bool = True) -> Process:
        """Start a process, and wait until it is ready."""
        process = Process(self, len(self.processes) + 1, metadata=metadata, works=works)
        self.processes.append(process)
        answer = await process.request(process.run())
        if answer.error is not None:
            self.note("did not start", process.name, answer.told)
            process.kill()
        return process


class Process:
    """A gateway, a worker, or both: a real application with its background.

    Args:
        world: what it runs in.
        number: which one.
        metadata: another than the world's, which makes it a clone.
        works: whether it has a background besides the probes.
    """

    def __init__(self, world: World, number: int, *, metadata: InMemoryMetadata | None, works: bool) -> None:
        self.world = world
        self.name = f"p{number}"
        self.is_alive = True
        self.is_ready = False
        self.is_clone = metadata is not None
        self.steps = 0
        self.steps_left: int | None = None
        self.put_bytes = 0
        self.chance = random.Random(f"process {number} of {world.seed}")
        self.entropy = random.Random(f"entropy {number} of {world.seed}").randbytes
        self.metadata = SimulatedMetadata(
            self, metadata or world.metadata, world.turns if metadata is None else Turns(self.chance.random)
        )
        self.settings = world.settings.model_copy(update={"background": works})
        self.context = contextvars.copy_context()
        self.context.run(OWNER.set, self)
        self._unanswered: dict[asyncio.Future[Answer], asyncio.Task[None]] = {}
        self.ended: asyncio.Future[None] = world.loop.create_future()
        self.app: Application

    async def run(self) -> None:
        """Be ready, and go on in the background."""
        drivers = Drivers(self._connect, lambda _url: "memory", lambda _a, _b: False, lambda _url: 2**32)
        self.app = await assemble(self.settings, self.metadata, entropy=self.entropy, drivers=drivers)
        self.app.clock_guard.clock = self.world.loop.time
        self.background = background_of(self.app)
        self.background.start()
        self.is_ready = True

    def _connect(self, url: str, name: str, capacity_bytes: int | None) -> StorageServer:
        assert url == "memory:"
        return SimulatedServer(self, self.world.place(name, capacity_bytes))

    async def hesitate(self) -> None:
        """Let others come between; now and then for long, as a process does that swaps or is stopped."""
        if self.world.hesitation and self.chance.random() < self.world.hesitation:
            await asyncio.sleep(10 ** self.chance.uniform(-2, 1.5))
        else:
            await asyncio.sleep(0)

    def request(self, work: Coroutine[Any, Any, Any]) -> asyncio.Future[Answer]:
        """Have the process do something for somebody outside, who also learns when it dies."""
        answer: asyncio.Future[Answer] = self.world.loop.create_future()
        if not self.is_alive:
            work.close()
            answer.set_result(Answer(is_lost=True))
            return answer
        self._unanswered[answer] = self.world.loop.create_task(self._serve(work, answer), context=self.context)
        return answer

    def leave(self, answer: asyncio.Future[Answer]) -> None:
        """Have a client leave that waits for this answer."""
        task = self._unanswered.get(answer)
        if task is not None:
            task.cancel()

    async def _serve(self, work: Awaitable[Any], answer: asyncio.Future[Answer]) -> None:
        try:
            told = Answer(await work)
        except ReelstoreError as error:
            told = Answer(error=error)
        except asyncio.CancelledError:
            told = Answer(is_lost=True)
        except Violation:
            raise
        except Exception as error:  # noqa: BLE001 - a user would see a traceback
            self.world.failure = error
            self.world.broken("traceback", f"{type(error).__name__}: {error}")
            return
        self._unanswered.pop(answer, None)
        if not answer.done():
            answer.set_result(told)

    def kill(self) -> None:
        """End it as by `kill -9`: nothing of it runs again, and only what it has sent lives on."""
        if not self.is_alive:
            return
        self.is_alive = False
        self.world.note("killed", self.name)
        self.ended.set_result(None)
        self.world.loop.bury(self)
        self.metadata.die()
        for answer in self._unanswered:
            if not answer.done():
                answer.set_result(Answer(is_lost=True))
        self._unanswered.clear()

    async def stop(self) -> None:
        """End it as by SIGTERM; call it by `request`."""
        await self.background.stop()
        await self.app.store.close()
        await self.app.fleet.close()
        self.is_ready = False


class Watching(logging.Handler):
    """Take a logged traceback of anything but our own errors for what it is: a defect."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.WARNING)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        self._world.note("log", record.getMessage())
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, ReelstoreError | Violation):
            self._world.failure = error
            self._world.broken("traceback", f"{record.getMessage()}: {type(error).__name__}: {error}")
