"""Storage servers behind a network that fails: where shards lie, and what becomes of the requests for them.

| Fault | What it does | Why it is possible |
| --- | --- | --- |
| lost request, lost answer | nobody is told anything | networks; a machine that hangs |
| late, once more | it arrives after its sender gave up or died; or a put or delete twice | retries, proxies, threads |
| refused | `ServerUnavailable` at once | a process that restarts |
| stale listing | what the place held at an earlier listing | buckets, caches |
| corrupt on the way | a get whose bytes are others | a cable, a bit of memory; not twice in a row |
| rot, cut short, gone, older | what lies at rest is other, less, or what it was once | disks, restored snapshots |
| a lie | an acknowledged put of which nothing is kept | a disk that loses its cache |
| full | `ServerFull` | it is |

The last four rows but one harm data: no more places may be harmed between two quiet times than the policies survive.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from reelstore.domain.chunk import Chunk, ShardName
from reelstore.domain.errors import ServerFull, ServerUnavailable
from reelstore.storage.interface import ByteString, Marker, QuarantinedCopy, ShardEntry, Usage
from reelstore.storage.memory import MemoryServer

if TYPE_CHECKING:
    from tests.simulation.world import Process, World

T = TypeVar("T")
Act = Callable[[MemoryServer], Coroutine[Any, Any, Any]]

CORRUPT_AGAIN_SECONDS = 120.0
DIGESTS_STOP = 1 << 256
LISTED_IN_HALVES = 0.3


@dataclass(frozen=True, slots=True)
class Weather:
    """How likely a request meets which fault, and how long it travels: up to 10 to the power of `slowest` seconds."""

    refused: float = 0.0
    lost: float = 0.0
    unanswered: float = 0.0
    late: float = 0.0
    twice: float = 0.0
    stale: float = 0.0
    corrupt: float = 0.0
    slowest: float = -2.0


CALM = Weather()


@dataclass(eq=False)
class Place:
    """A machine with a disk; it outlives the processes that talk to it."""

    name: str
    disk: MemoryServer
    weather: Weather = CALM
    is_up: bool = True
    is_gone: bool = False
    is_full: bool = False
    lies: int = 0
    rotten: set[ShardName] = field(default_factory=set)
    listings: dict[tuple[str, bytes, bytes | None], list[ShardEntry]] = field(default_factory=dict)
    corrupted_at: dict[ShardName, float] = field(default_factory=dict)

    @property
    def answers(self) -> bool:
        return self.is_up and not self.is_gone

    def answer(self, act: Act) -> Any:
        """Do what is asked for, if anybody is there."""
        if not self.answers:
            raise ServerUnavailable("down, says the simulation", server=self.name)
        return finished(act(self.disk))

    def shards(self, policy: str, digest: bytes) -> list[ShardName]:
        """Return the names of all shards of a digest."""
        return [entry.name for entry in self.listing(policy, digest, digest + b"\0")]

    def has(self, chunk: Chunk, shard_size_bytes: int) -> bool:
        """Say whether there is a shard of a chunk that looks right without being read."""
        if self.is_gone:
            return False
        entries = self.listing(chunk.policy, chunk.digest, chunk.digest + b"\0")
        return any(entry.name.chunk == chunk.id and entry.size_bytes == shard_size_bytes for entry in entries)

    def listing(self, policy: str, start: bytes = bytes(32), stop: bytes | None = None) -> list[ShardEntry]:
        """Return what is really there; nothing on a disk that nobody has claimed."""
        if self.disk._marker is None:
            return []
        return finished(_collected(self.disk.list(policy, start, stop)))

    def content(self, policies: Sequence[str]) -> dict[ShardName, bytes]:
        """Return every shard with its bytes."""
        return {
            entry.name: finished(self.disk.get(entry.name)) for policy in policies for entry in self.listing(policy)
        }

    def replace(self, content: dict[ShardName, bytes], rotten: set[ShardName], policies: Sequence[str]) -> None:
        """Have other content, some of it rotten, as after a disk was restored."""
        for name in self.content(policies).keys() - content.keys():
            finished(self.disk.delete(name))
        for name, data in content.items():
            finished(self.disk.put(name, data))
        self.rotten = rotten & content.keys()


def finished(work: Awaitable[T]) -> T:
    """Return what a coroutine gives that waits for nothing."""
    assert isinstance(work, Coroutine)
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("it waits for something")


async def _collected(entries: AsyncIterator[ShardEntry]) -> list[ShardEntry]:
    return [entry async for entry in entries]


class Network:
    """Carry requests to places, and answers back; what is under way is nobody's any more."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world = world
        self._rng = rng
        self.sent = 0

    def send(self, sender: Process, place: Place, operation: str, what: object, act: Act) -> asyncio.Future[Any]:
        """Send a request off; the answer, if one comes, is the future's."""
        answer: asyncio.Future[Any] = self._world.loop.create_future()
        weather, rng = place.weather, self._rng
        self.sent += 1
        self._world.invariants.before_sending(sender, place, operation)
        chance = rng.random()
        seconds = 10 ** rng.uniform(-3.5, weather.slowest)
        number = self.sent
        arrive = self._arrival(number, sender, place, operation, what, act)
        if weather is CALM:
            self._later(seconds, arrive, answer)
        elif chance < weather.refused:
            error = ServerUnavailable("refused, says the simulation", server=place.name)
            self._later(seconds, _answer, answer, error)
        elif chance < (weather.refused + weather.lost):
            self._world.note("lost", number, sender.name, place.name, operation)
        else:
            chance -= weather.refused + weather.lost
            if chance < weather.late:
                seconds = 10 ** rng.uniform(1.0, 2.5)
            unanswered = weather.late <= chance < weather.late + weather.unanswered
            self._later(seconds, arrive, None if unanswered else answer)
            if operation in {"put", "delete"} and rng.random() < weather.twice:
                self._later(seconds + 10 ** rng.uniform(-2, 2), arrive, None)
        return answer

    def _later(self, seconds: float, act: Callable[..., None], *arguments: object) -> None:
        self._world.loop.call_later(seconds, act, *arguments, context=self._world.loop.world_context)

    def _arrival(
        self, number: int, sender: Process, place: Place, operation: str, what: object, act: Act
    ) -> Callable[[asyncio.Future[Any] | None], None]:
        is_refused = False

        def arrive(answer: asyncio.Future[Any] | None) -> None:
            nonlocal is_refused
            world = self._world
            if is_refused:
                return  # its sender was told so, and has no such bytes any more
            is_refused = not place.answers
            result: Any
            try:
                result = place.answer(act)
            except Exception as error:  # noqa: BLE001 - it is the answer
                result = error
            told = type(result).__name__ if isinstance(result, Exception) else ""
            world.note(operation, number, sender.name, place.name, what, told)
            if answer is not None:
                self._later(10 ** self._rng.uniform(-3.5, -2), _answer, answer, result)

        return arrive

    def is_corrupted(self, place: Place, name: ShardName) -> bool:
        """Say whether a get's bytes are to be others; never twice in a row, which checksums see to."""
        now = self._world.loop.time()
        if self._rng.random() >= place.weather.corrupt:
            return False
        if now - place.corrupted_at.get(name, 0.0) < CORRUPT_AGAIN_SECONDS:
            return False
        place.corrupted_at[name] = now
        return True

    def is_stale(self, place: Place) -> bool:
        """Say whether a listing shows an earlier state."""
        return self._rng.random() < place.weather.stale


def _answer(answer: asyncio.Future[Any], result: object) -> None:
    if answer.done():
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)


class SimulatedServer:
    """A place as one process sees it. See `StorageServer`, `Quarantining`, `Adopting`, `Releasing`, `Verifying`."""

    def __init__(self, process: Process, place: Place) -> None:
        self._process = process
        self._world = process.world
        self.place = place
        self._is_attached = False

    @property
    def name(self) -> str:
        return self.place.name

    async def _ask(self, operation: str, what: object, act: Act) -> Any:
        if not self._is_attached:
            raise ServerUnavailable("the server is not attached", server=self.name)
        return await self._world.network.send(self._process, self.place, operation, what, act)

    async def attach(self, marker: Marker, *, claim: bool) -> Marker:
        send = self._world.network.send
        found = await send(self._process, self.place, "attach", claim, lambda disk: disk.attach(marker, claim=claim))
        self._is_attached = True
        assert isinstance(found, Marker)
        return found

    async def check(self) -> Marker:
        marker = await self._ask("check", "", lambda disk: disk.check())
        assert isinstance(marker, Marker)
        return marker

    async def record_delete_rounds(self, rounds: int, *, generation: str | None = None) -> None:
        await self._ask("record", rounds, lambda disk: disk.record_delete_rounds(rounds, generation=generation))

    async def put(self, name: ShardName, data: ByteString) -> None:
        arrived: list[bytes] = []

        async def act(disk: MemoryServer) -> None:
            if not arrived:  # as a thread reads it, so late: the sender must not have used its memory for other bytes
                arrived.append(bytes(data))
            content = arrived[0]
            self._world.invariants.before_put(self.place, name, content)
            if self.place.is_full:
                raise ServerFull("full, says the simulation", server=self.name)
            if self.place.lies:
                self.place.lies -= 1
                self._world.harm(self.place)
                return
            await disk.put(name, content)
            self._world.invariants.after_put(self._process, self.place, name, content)

        await self._ask("put", name.leaf, act)

    async def get(self, name: ShardName, start: int = 0, stop: int | None = None) -> bytes:
        data = await self._ask("get", name.leaf, lambda disk: disk.get(name, start, stop))
        assert isinstance(data, bytes)
        if data and self._world.network.is_corrupted(self.place, name):
            return bytes([data[0] ^ 1]) + data[1:]
        return data

    async def stat(self, name: ShardName) -> ShardEntry | None:
        entry = await self._ask("stat", name.leaf, lambda disk: disk.stat(name))
        assert entry is None or isinstance(entry, ShardEntry)
        return entry

    async def delete(self, name: ShardName) -> bool:
        async def act(disk: MemoryServer) -> bool:
            was_there = await disk.delete(name)
            if was_there:
                self._world.invariants.after_delete(self._process, self.place, name)
            return was_there

        return bool(await self._ask("delete", name.leaf, act))

    async def list(self, policy: str, start: bytes, stop: bytes | None) -> AsyncIterator[ShardEntry]:
        """List at once, or in two halves, between which things happen."""
        first = int.from_bytes(start.ljust(32, b"\0"))
        middle = ((first + (DIGESTS_STOP if stop is None else int.from_bytes(stop.ljust(32, b"\0")))) // 2).to_bytes(32)
        in_halves = self._process.chance.random() < LISTED_IN_HALVES
        for begin, end in ((start, middle), (middle, stop)) if in_halves else ((start, stop),):
            for entry in await self._list(policy, begin, end):
                yield entry

    async def _list(self, policy: str, start: bytes, stop: bytes | None) -> Sequence[ShardEntry]:
        key = (policy, start, stop)

        async def act(disk: MemoryServer) -> Sequence[ShardEntry]:
            del disk
            earlier = self.place.listings.get(key)
            if earlier is not None and self._world.network.is_stale(self.place):
                return earlier
            entries = self.place.listing(policy, start, stop)
            self.place.listings[key] = entries
            return entries

        entries: Sequence[ShardEntry] = await self._ask("list", policy, act)
        return entries

    async def find(self, policy: str, digest: bytes) -> Sequence[ShardEntry]:
        found: Sequence[ShardEntry] = await self._ask("find", digest.hex()[:8], lambda disk: disk.find(policy, digest))
        return found

    async def usage(self) -> Usage:
        usage = await self._ask("usage", "", lambda disk: disk.usage())
        assert isinstance(usage, Usage)
        return usage

    async def close(self) -> None:
        """Leave the place to the other processes."""
        self._is_attached = False

    async def set_aside(self, name: ShardName) -> None:
        await self._ask("set_aside", name.leaf, lambda disk: disk.set_aside(name))

    async def quarantined(self, limit: int) -> Sequence[QuarantinedCopy]:
        copies: Sequence[QuarantinedCopy] = await self._ask("quarantined", limit, lambda disk: disk.quarantined(limit))
        return copies

    async def drop_quarantined(self, before: datetime) -> Sequence[QuarantinedCopy]:
        copies: Sequence[QuarantinedCopy] = await self._ask(
            "drop_quarantined", before, lambda disk: disk.drop_quarantined(before)
        )
        return copies

    async def adopt(self, old: ShardName, new: ShardName) -> bool:
        async def act(disk: MemoryServer) -> bool:
            was_there = await disk.adopt(old, new)
            if was_there:
                self._world.invariants.after_adopt(self.place, old, new)
            return was_there

        return bool(await self._ask("adopt", f"{old.leaf} as {new.leaf}", act))

    async def release(self) -> bool:
        return bool(await self._ask("release", "", lambda disk: disk.release()))

    async def digest(self, name: ShardName) -> bytes:
        digest = await self._ask("digest", name.leaf, lambda disk: disk.digest(name))
        assert isinstance(digest, bytes)
        return digest
