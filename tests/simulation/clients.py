"""What clients do, and what they check in each answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from reelstore.chunkstore.body import PiecedBody
from reelstore.domain.errors import (
    ChunkLost,
    IncompleteBody,
    MetadataUnavailable,
    ReelstoreError,
    StoredFileNotFound,
    VideoNotFound,
)
from reelstore.services.video_requests import StoreRequest
from tests.simulation.ledger import Fate, Known
from tests.simulation.scenario import CHUNK

if TYPE_CHECKING:
    from tests.simulation.world import Process, World

AGAIN = 0.25


def draw_content(world: World, rng: random.Random) -> bytes:
    """Make a body out of chunks that others may have too, with a tail of its own or none; or take one that was before.

    Where there are few different chunks most are shared; where there are many, most go with their video, and come
    back with the next of the same bytes.
    """
    known = list(world.ledger.videos.values())
    if known and rng.random() < AGAIN:
        return rng.choice(known).content
    pool = random.Random(f"pool of {world.seed}").choice((3, 10, 40))
    chunks = rng.choices(range(pool), k=rng.choice((1, 1, 2, 3, 5, 10)))
    body = b"".join(random.Random(f"chunk {index} of {world.seed}").randbytes(CHUNK) for index in chunks)
    return body + rng.randbytes(rng.choice((0, 0, 1, 1000)))


def _a_process(world: World, rng: random.Random) -> Process | None:
    return rng.choice(world.alive) if world.alive else None


async def store(world: World, rng: random.Random) -> None:
    """Store a video; some clients send slowly, some break off, some leave."""
    process = _a_process(world, rng)
    if process is None:
        return
    known = world.ledger.new(draw_content(world, rng))
    pause = rng.choice((0.0, 0.0, 0.0, 0.1, 3.0, 20.0))
    stop_at = rng.randrange(len(known.content)) if rng.random() < 0.1 else None
    request = StoreRequest(known.name, policy=rng.choice(sorted(world.policies)))
    known.begin(Fate.STORED)
    answer = process.request(process.app.videos.store(request, PiecedBody(body_of(known.content, pause, stop_at))))
    if rng.random() < 0.05:
        await asyncio.sleep(rng.expovariate(1))
        process.leave(answer)
    answered = await answer
    world.note("store", known.name, process.name, answered.told)
    if answered.is_lost or isinstance(answered.error, MetadataUnavailable):
        known.unanswered()
    elif answered.error is not None:
        known.answer(Fate.ABSENT)
    else:
        known.answer(Fate.STORED, answered.result.video.id)


async def body_of(content: bytes, pause: float = 0.0, stop_at: int | None = None) -> AsyncIterator[bytes]:
    """Send a body, with pauses, and break it off there."""
    for start in range(0, len(content), CHUNK):
        if stop_at is not None and start >= stop_at:
            raise IncompleteBody("the client broke off, says the simulation")
        if pause:
            await asyncio.sleep(pause)
        yield content[start : start + CHUNK]
    if stop_at is not None:
        raise IncompleteBody("the client broke off, says the simulation")


async def read(world: World, rng: random.Random) -> None:
    """Read a range of a video: the right bytes, or an error that a retry can help against."""
    process, known = _a_process(world, rng), _a_video(world, rng, Fate.STORED)
    if process is None or known is None:
        return
    start = rng.randrange(len(known.content))
    stop = rng.randint(start + 1, len(known.content)) if rng.random() < 0.5 else len(known.content)
    pause = rng.choice((0.0, 0.0, 0.0, 1.0, 15.0))
    await _read(world, process, known, start, stop, pause)


async def _read(world: World, process: Process, known: Known, start: int, stop: int, pause: float) -> None:
    certain = known.is_certain
    changes = known.changes

    async def work() -> bytes:
        assert known.video_id is not None
        content = await process.app.videos.open(known.video_id)
        reader = await process.app.videos.read(content, start, stop)
        pieces = []
        async for piece in reader:
            pieces.append(bytes(piece))
            if pause:
                await asyncio.sleep(pause)
        return b"".join(pieces)

    answered = await process.request(work())
    world.note("read", known.name, process.name, start, stop, answered.told)
    if answered.is_lost:
        return
    if isinstance(answered.error, ChunkLost):
        raise world.broken("false loss", f"{known.name} [{start}, {stop}): {answered.error}")
    if isinstance(answered.error, VideoNotFound | StoredFileNotFound):
        if certain and changes == known.changes:
            raise world.broken("unreadable", f"{known.name}: {answered.error}")
    elif answered.error is not None:
        _check_retryable(world, "a read", answered.error)
    elif answered.result != known.content[start:stop]:
        raise world.broken("wrong bytes", f"{known.name} [{start}, {stop})")


def _check_retryable(world: World, what: str, error: ReelstoreError) -> None:
    if not error.retryable:
        raise world.broken("final error", f"{what}: {type(error).__name__}: {error}")


def _a_video(world: World, rng: random.Random, *fates: Fate) -> Known | None:
    candidates = world.ledger.having(*fates)
    return rng.choice(candidates) if candidates else None


async def trash(world: World, rng: random.Random) -> None:
    await _change(world, rng, "trash", Fate.STORED, Fate.TRASHED)


async def restore(world: World, rng: random.Random) -> None:
    await _change(world, rng, "restore", Fate.TRASHED, Fate.STORED)


async def purge(world: World, rng: random.Random) -> None:
    await _change(world, rng, "purge", Fate.STORED, Fate.ABSENT)


async def _change(world: World, rng: random.Random, verb: str, having: Fate, becoming: Fate) -> None:
    process, known = _a_process(world, rng), _a_video(world, rng, having)
    if process is None or known is None:
        return
    known.begin(becoming)
    answered = await process.request(getattr(process.app.videos, verb)(known.video_id, expected_version=None))
    world.note(verb, known.name, process.name, answered.told)
    if answered.is_lost or answered.error is not None:
        known.unanswered()
    else:
        known.answer(becoming)


async def transfer(world: World, rng: random.Random) -> None:
    """Have a video stored under some policy, which calls off what was asked for before."""
    process, known = _a_process(world, rng), _a_video(world, rng, Fate.STORED)
    if process is None or known is None or known.video_id is None:
        return
    policy = rng.choice(sorted(world.policies))
    request = process.app.transfers.request(known.video_id, policy, expected_version=None)
    answered = await process.request(request)
    world.note("transfer", known.name, policy, process.name, answered.told)


async def verify(world: World, rng: random.Random) -> None:
    """Have every shard of a video read."""
    process, known = _a_process(world, rng), _a_video(world, rng, Fate.STORED)
    if process is None or known is None or known.video_id is None:
        return
    answered = await process.request(process.app.inspector.verify(known.video_id))
    world.note("verify", known.name, process.name, answered.told)
    if answered.error is not None and not isinstance(answered.error, VideoNotFound):
        _check_retryable(world, "verify", answered.error)


IDLE = "idle"


async def status(world: World, rng: random.Random) -> None:
    """Ask whether all is done: it may be called idle only if it was, at some moment since the question."""
    process = _a_process(world, rng)
    if process is None:
        return
    asked = world.invariants.commits
    answered = await process.request(process.app.rebalancer.status())
    if answered.is_lost or answered.error is not None:
        return
    world.note("status", process.name, str(answered.result.state))
    if answered.result.state == IDLE and world.invariants.was_unclean_since(asked, answered.result.epoch):
        raise world.broken("lie", f"{process.name} calls itself idle, and {sorted(world.invariants.unclean)} are not")


async def read_everything(world: World) -> None:
    """Read every video that there must be, whole, through every gateway."""
    for process in world.alive:
        for known in world.ledger.having(Fate.STORED):
            for _ in range(2):  # the answer of a gateway that learns only now of a change may be an error, once
                before = len(world.trace)
                await _read(world, process, known, 0, len(known.content), 0.0)
                if "ok" in world.trace[-1] and len(world.trace) > before:
                    break
            else:
                raise world.broken("unreadable", f"{known.name} through {process.name}, with every fault over")
