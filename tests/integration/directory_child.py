"""Programs that the tests of the directory driver start and kill. Run as `python directory_child.py WHAT PATH`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from itertools import count
from pathlib import Path
from typing import Any

from blake3 import blake3

from reelstore.domain.chunk import ShardName
from reelstore.storage.directory import DirectoryServer
from reelstore.storage.interface import Marker

MARKER = Marker("c0ffee", "a", "g1", 0)
STEPS = ("open", "mkdir", "write", "fdatasync", "link", "rename", "fsync", "close", "unlink", "rmdir")
DONE, CRASHED = 0, 9

OVERWRITTEN = ShardName("default", bytes(32), "0" * 32, 0, 1)
ADOPTED = ShardName("default", bytes(32), "0" * 32, 0, 2)
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


async def put_new(server: DirectoryServer) -> None:
    await server.put(OVERWRITTEN, BODIES[1])


async def put_old(server: DirectoryServer) -> None:
    await server.put(OVERWRITTEN, BODIES[0])


async def put_old_and_torn(server: DirectoryServer) -> None:
    await put_old(server)
    await server.put(ADOPTED, b"torn")


async def put_old_aside_and_delete_it(server: DirectoryServer) -> None:
    await put_old(server)
    await server.set_aside(OVERWRITTEN)
    await server.delete(OVERWRITTEN)


async def adopt_old(server: DirectoryServer) -> None:
    assert await server.adopt(OVERWRITTEN, ADOPTED)


async def give_up(server: DirectoryServer) -> None:
    assert await server.release()


async def nothing(_: DirectoryServer) -> None:
    """Leave the place as it is."""


Act = Callable[[DirectoryServer], Coroutine[Any, Any, None]]

KINDS: dict[str, tuple[Act, Act]] = {
    "new": (nothing, put_new),
    "over": (put_old, put_new),
    "adopt": (put_old, adopt_old),
    "adopt_over": (put_old_and_torn, adopt_old),
    "release": (put_old_aside_and_delete_it, give_up),
}
"""What is done before, and what is done until the process ends."""


async def prepare(path: Path, before: Act) -> None:
    server = DirectoryServer("a", path, reserve_bytes=0)
    await server.attach(MARKER, claim=True)
    await before(server)
    await server.close()


async def crash_in(path: Path, number: int, act: Act) -> None:
    server = DirectoryServer("a", path, reserve_bytes=0)
    await server.attach(MARKER, claim=True)
    crash_before_call(number)
    await act(server)
    os._exit(DONE)


def crash_everywhere(root: Path, kind: str) -> None:
    """Act once for each call that can be the last, in the folder `KIND-N`; print how it ended."""
    before, act = KINDS[kind]
    for number in count():
        path = root / f"{kind}-{number}"
        child = os.fork()  # one thread here: nothing is left behind in the child
        if child == 0:
            asyncio.run(prepare(path, before))
            asyncio.run(crash_in(path, number, act))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        say(path.name, status)
        if status != CRASHED:
            break


if __name__ == "__main__":
    what, where = sys.argv[1], Path(sys.argv[2])
    if what == "crash-everywhere":
        crash_everywhere(where, sys.argv[3])
    else:
        asyncio.run({"hold": hold, "put-for-ever": put_for_ever}[what](where))
