"""Programs that the tests of the directory driver start and kill. Run as `python directory_child.py WHAT PATH`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from blake3 import blake3

from reelstore.domain.chunk import ShardName
from reelstore.storage.directory import DirectoryServer
from reelstore.storage.interface import Marker

MARKER = Marker("c0ffee", "a", "g1", 0)
STEPS = ("open", "mkdir", "write", "fdatasync", "rename", "fsync", "close", "unlink")
DONE, CRASHED = 0, 9

OVERWRITTEN = ShardName("default", bytes(32), "0" * 32, 0, 1)
BODIES = (b"old" * 50_000, b"new" * 70_000)


def named(data: bytes, tenure: int = 1) -> ShardName:
    return ShardName("default", blake3(data).digest(), "0" * 32, 0, tenure)


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def hold(path: Path) -> None:
    server = DirectoryServer("a", path)
    await server.attach(MARKER, claim=True)
    say("held")
    await asyncio.to_thread(sys.stdin.read)


async def put_for_ever(path: Path) -> None:
    """Store shards named after their bytes, and overwrite one; print each name that was acknowledged."""
    server = DirectoryServer("a", path, reserve_bytes=0)
    await server.attach(MARKER, claim=True)

    async def store(worker: int) -> None:
        for number in count():
            data = f"{worker}.{number}.".encode() * (1 + number % 7 * 5000)
            await server.put(named(data), data)
            say(named(data))

    async def overwrite() -> None:
        for number in count():
            await server.put(OVERWRITTEN, BODIES[number % 2])

    await asyncio.gather(store(1), store(2), overwrite())


def crash_before_call(number: int) -> None:
    """End the process, with no chance to clean up, instead of making its n-th call that touches a file."""
    numbers = count()

    def crashing(call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            if next(numbers) == number:
                os._exit(CRASHED)
            return call(*args, **kwargs)

        return step

    for name in STEPS:
        setattr(os, name, crashing(getattr(os, name)))


async def crash_in_put(path: Path, number: int, data: bytes) -> None:
    server = DirectoryServer("a", path, reserve_bytes=0)
    await server.attach(MARKER, claim=True)
    crash_before_call(number)
    await server.put(OVERWRITTEN, data)
    os._exit(DONE)


async def prepare(path: Path) -> None:
    server = DirectoryServer("a", path, reserve_bytes=0)
    await server.attach(MARKER, claim=True)
    await server.put(OVERWRITTEN, BODIES[0])
    await server.close()


def crash_everywhere(root: Path) -> None:
    """Put once for each call that can be the last, new (`new-N`) and over old bytes (`over-N`); print how it ended."""
    for kind in ("new", "over"):
        for number in count():
            path = root / f"{kind}-{number}"
            child = os.fork()  # one thread here: nothing is left behind in the child
            if child == 0:
                if kind == "over":
                    asyncio.run(prepare(path))
                asyncio.run(crash_in_put(path, number, BODIES[1]))
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            say(path.name, status)
            if status != CRASHED:
                break


if __name__ == "__main__":
    what, where = sys.argv[1], Path(sys.argv[2])
    if what == "crash-everywhere":
        crash_everywhere(where)
    else:
        asyncio.run({"hold": hold, "put-for-ever": put_for_ever}[what](where))
