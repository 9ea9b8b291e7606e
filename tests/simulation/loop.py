"""An event loop whose time is invented, whose order is drawn, and whose processes can be killed.

- Time stands still while anything can run, and then jumps to the next timer: an hour of a cluster takes as long as its
  steps.
- Of the steps that can be taken, the next one is drawn: asyncio takes the oldest, and a program may not rely on that.
- What would run in a thread runs as a step of its own.
- Each step belongs to the process in whose context it was begun. A dead process's steps are dropped: its coroutines
  stop where they are, as by `kill -9`, and no `finally` of theirs is ever run while the simulation goes on.

Everything that happens follows from the seed, so that a run repeats exactly.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import logging
import random
import time
import warnings
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, Protocol, TypeVar
from unittest.mock import patch

T = TypeVar("T")
STEPS_MAX = 3_000_000
CLOSINGS_MAX = 100
IDLE_SECONDS = 15.0
"""How often a process without work looks for some: each second of that would be most of what is simulated."""


class Owner(Protocol):
    """A process, as the loop sees it: it dies by itself when the steps that are left to it are used up."""

    is_alive: bool
    steps: int
    steps_left: int | None

    def kill(self) -> None: ...


OWNER: ContextVar[Owner | None] = ContextVar("OWNER", default=None)


class SimulatedTask(asyncio.Task[Any]):
    """A task that knows its process, and whose place in a set is the same in each run."""

    def __init__(self, coro: Coroutine[Any, Any, Any], *, number: int, owner: Owner | None, **more: Any) -> None:
        self.number = number
        self.owner = owner
        super().__init__(coro, **more)

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


class StuckError(Exception):
    """Say that nothing can ever happen any more, or that things go on for ever without time passing."""


class VirtualLoop(asyncio.BaseEventLoop):
    """See the module.

    Args:
        rng: draws the order of steps.
        started: the virtual time at which it begins, in seconds; what looks an hour back must find one.
    """

    _ready: list[asyncio.Handle]
    _stopping: bool

    def __init__(self, rng: random.Random, *, started: float = 1e6) -> None:
        super().__init__()
        self._ready = []
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timers_made = 0
        self._draw = rng.random
        self._now = started
        self._tasks_made = 0
        self.steps = 0
        self._steps_here = 0
        self.buried: list[SimulatedTask] = []
        self.world_context = copy_context()
        """What the world itself does, such as the arrival of a message, belongs to no process."""

    def time(self) -> float:
        return self._now

    def create_task(self, coro: Any, *, name: object = None, context: Context | None = None) -> SimulatedTask:
        self._tasks_made += 1
        owner = OWNER.get() if context is None else context.get(OWNER)
        return SimulatedTask(coro, number=self._tasks_made, owner=owner, loop=self, name=name, context=context)

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override] # wider
        future: asyncio.Future[T] = self.create_future()
        self.call_soon(_call, future, func, args)
        return future

    def _run_once(self) -> None:
        ready = self._ready
        if not ready:
            self._let_time_pass()
        self.steps += 1
        self._steps_here += 1
        if self._steps_here > STEPS_MAX:
            raise StuckError(f"{STEPS_MAX} steps without any time passing")
        handle = ready.pop()
        index = int(self._draw() * (len(ready) + 1))
        if index < len(ready):
            ready[index], handle = handle, ready[index]
        owner = handle._context.get(OWNER)  # type: ignore[attr-defined] # the loop's own business
        if owner is not None:
            if owner.is_alive and owner.steps_left is not None:
                if owner.steps_left == 0:
                    owner.kill()
                else:
                    owner.steps_left -= 1
            if not owner.is_alive:
                return
            owner.steps += 1
        if not handle._cancelled:
            handle._run()

    def call_at(  # type: ignore[override] # wider
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._timers_made += 1
        heapq.heappush(self._timers, (when, self._timers_made, timer))
        return timer

    def _let_time_pass(self) -> None:
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        if not timers:
            raise StuckError("everything waits, and nothing will ever come")
        if timers[0][0] > self._now:
            self._now = timers[0][0]
            self._steps_here = 0
        while timers and timers[0][0] <= self._now:
            self._ready.append(heapq.heappop(timers)[2])

    def _write_to_self(self) -> None:
        """There is no other thread to be woken by."""

    def bury(self, owner: Owner) -> None:
        """Keep what a killed process was doing from being closed before the end: that would run its `finally`s."""
        self.buried += [task for task in _tasks_of(self) if task.owner is owner]


def _tasks_of(loop: VirtualLoop) -> list[SimulatedTask]:
    tasks = [task for task in asyncio.all_tasks(loop) if isinstance(task, SimulatedTask)]
    return sorted(tasks, key=lambda task: task.number)


def _call(future: asyncio.Future[T], func: Callable[..., T], arguments: tuple[Any, ...]) -> None:
    if future.cancelled():
        return  # a thread would go on; what is called here only computes
    try:
        result = func(*arguments)
    except Exception as error:  # noqa: BLE001 - it is handed on
        future.set_exception(error)
    else:
        future.set_result(result)


def simulate(seed: int | str, main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine on a new loop, with every clock and source of chance replaced; return its result."""
    loop = VirtualLoop(random.Random(f"schedule of {seed}"))
    state = random.getstate()
    was_collecting = gc.isenabled()
    gc.disable()  # when it runs depends on what else the interpreter did
    try:
        random.seed(f"chance of {seed}")
        with (
            patch.multiple(time, monotonic=loop.time, perf_counter=loop.time, time=loop.time),
            patch("reelstore.background.loops.IDLE_SECONDS", IDLE_SECONDS),
            patch.multiple("reelstore.bootstrap.lifetime", REMOVAL_SECONDS=IDLE_SECONDS, EVICTION_SECONDS=IDLE_SECONDS),
        ):
            return loop.run_until_complete(main(loop))
    finally:
        random.setstate(state)
        _close(loop)
        if was_collecting:
            gc.enable()


def _close(loop: VirtualLoop) -> None:
    """End what was left hanging, in silence: nobody is there any more to whom it would matter."""
    loop.set_exception_handler(lambda _loop, _context: None)
    logging.disable()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        asyncio._set_running_loop(loop)  # tasks begun in a `finally` are its own: asyncio's default loop keeps them
        try:
            _end_all(loop)
            loop._ready.clear()
            loop._timers.clear()
            gc.collect(0)  # what is left of them: later, it would complain in another test
        finally:
            asyncio._set_running_loop(None)
            loop._ready.clear()
            loop.close()
    logging.disable(logging.NOTSET)


def _end_all(loop: VirtualLoop) -> None:
    ended: set[SimulatedTask] = set()
    while left := [task for task in (*loop.buried, *_tasks_of(loop)) if task not in ended]:
        for task in left:
            _end(task)
        ended.update(left)  # what they began in their `finally`s is next
    loop.buried.clear()


def _end(task: SimulatedTask) -> None:
    task._log_destroy_pending = False  # type: ignore[attr-defined] # it is known
    coroutine = task.get_coro()
    for _ in range(CLOSINGS_MAX):
        try:
            coroutine.close()
        except BaseException:  # noqa: BLE001 - its `finally` waits for something: close that too
            continue
        return
