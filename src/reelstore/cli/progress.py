"""Progress bars with rate and time left, on standard error, where there is a terminal to draw them on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column

from reelstore.cli.output import printable

_NAME_WIDTH = 32


class Bars:
    """Draw one bar for what is on its way, and one for everything when there are several."""

    def __init__(self, progress: Progress, *, count: int, total_bytes: int | None) -> None:
        self._progress = progress
        self._whole: TaskID | None = None
        if count > 1:
            self._whole = progress.add_task(f"all {count:,}", total=total_bytes)
        self._finished_bytes = 0

    @contextmanager
    def one(self, name: str) -> Iterator[_Bar]:
        """Draw a bar while one thing is on its way."""
        bar = _Bar(self._progress, self._progress.add_task(_short(printable(name)), total=None), self)
        try:
            yield bar
        finally:
            self._progress.remove_task(bar.task)
            self._finished_bytes += bar.done_bytes

    def advance(self, done_bytes: int) -> None:
        """Draw the bar for everything, given the bytes of the present thing."""
        if self._whole is not None:
            self._progress.update(self._whole, completed=self._finished_bytes + done_bytes)


class _Bar:
    """Be called by the client as bytes go by."""

    def __init__(self, progress: Progress, task: TaskID, bars: Bars) -> None:
        self._progress = progress
        self._bars = bars
        self.task = task
        self.done_bytes = 0

    def __call__(self, done_bytes: int, total_bytes: int | None) -> None:
        self.done_bytes = done_bytes
        self._progress.update(self.task, completed=done_bytes, total=total_bytes)
        self._bars.advance(done_bytes)


@contextmanager
def bars(*, count: int, total_bytes: int | None = None) -> Iterator[Bars]:
    """Show progress while the block runs; without a terminal nothing is drawn.

    Args:
        count: how many things there are.
        total_bytes: of all of them, when it is known.
    """
    progress = Progress(
        TextColumn("{task.description}", markup=False, table_column=Column(width=_NAME_WIDTH, no_wrap=True)),
        BarColumn(),
        TaskProgressColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True, highlight=False),
        transient=True,
        # Lines printed meanwhile go above the bars; but what goes into a file or a pipe is left alone.
        redirect_stdout=sys.stdout.isatty(),
        disable=not sys.stderr.isatty(),
    )
    with progress:
        yield Bars(progress, count=count, total_bytes=total_bytes)


class RebalanceBar:
    """Draw how far the cluster is."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)

    @property
    def is_drawn(self) -> bool:
        """Return whether there is a terminal to draw on."""
        return not self._progress.disable

    def show(self, moved_bytes: int, total_bytes: int, text: str) -> None:
        """Draw it anew."""
        self._progress.update(self._task, completed=moved_bytes, total=total_bytes or None, description=text)


@contextmanager
def rebalance_bar() -> Iterator[RebalanceBar]:
    """Show a bar while the block runs, with the rate and the time left that the gateway tells, and none of our own."""
    progress = Progress(
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.description}", markup=False),
        console=Console(stderr=True, highlight=False),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
        disable=not sys.stderr.isatty(),
    )
    with progress:
        yield RebalanceBar(progress)


def _short(name: str) -> str:
    """Keep a name's end, where files of one folder differ."""
    return name if len(name) <= _NAME_WIDTH else "…" + name[-(_NAME_WIDTH - 1) :]
