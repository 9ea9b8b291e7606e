"""Ours against a reference, run by run: how they take turns, how it is summed up, printed and written down."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.machine import memory_bytes

WIDTH = 118
QUICK_PART = 8


@dataclass(frozen=True)
class Effort:
    """How thoroughly to measure.

    Args:
        runs: of each comparison; the median counts.
        quick: an eighth of all sizes, to see that everything works.
    """

    runs: int
    quick: bool

    def scaled(self, amount: int) -> int:
        """Return the amount, or the part of it that a quick run does."""
        return amount // QUICK_PART if self.quick else amount


@dataclass(frozen=True)
class Comparison:
    """One line of a table.

    Args:
        what: was measured.
        unit: of both figures.
        ours: the median over the runs.
        reference: the same of the reference; None where there is none.
        ratio: the median of the runs' ratios, ours over the reference's.
        ratios: of each run, in order.
        bar: what the ratio (or ours, without a reference) must reach; None: no such promise.
        at_most: the bar is an upper one.
    """

    what: str
    unit: str
    ours: float
    reference: float | None = None
    ratio: float | None = None
    ratios: Sequence[float] = ()
    bar: float | None = None
    at_most: bool = False

    @property
    def kept(self) -> bool | None:
        """Return whether the bar is reached; None when there is none."""
        value = self.ours if self.ratio is None else self.ratio
        if self.bar is None:
            return None
        return value <= self.bar if self.at_most else value >= self.bar


def alternately(
    effort: Effort, ours: Callable[[], float], reference: Callable[[], float]
) -> tuple[list[float], list[float]]:
    """Measure both sides in each run, one and then the other leading, so that no side always finds the warmer machine.

    Returns:
        the figures of ours and of the reference, run by run.
    """
    found: tuple[list[float], list[float]] = ([], [])
    for run in range(effort.runs):
        if run % 2:
            found[1].append(reference())
            found[0].append(ours())
        else:
            found[0].append(ours())
            found[1].append(reference())
    return found


def compared(
    what: str,
    unit: str,
    ours: Sequence[float],
    reference: Sequence[float],
    *,
    bar: float | None = None,
    at_most: bool = False,
) -> Comparison:
    """Sum up the runs of both sides: the median of each, and the median of the runs' ratios."""
    ratios = [mine / theirs for mine, theirs in zip(ours, reference, strict=True)]
    return Comparison(
        what,
        unit,
        statistics.median(ours),
        statistics.median(reference),
        statistics.median(ratios),
        ratios,
        bar,
        at_most,
    )


def show(title: str, against: str | None, lines: Sequence[Comparison]) -> None:
    """Print one table; without a reference, there are no columns for it."""
    table = Table(title=title, title_justify="left")
    headings = ["", "unit", "Reelstore", *([against, "ratio", "lowest", "highest"] if against else []), "bar", "kept"]
    for heading in headings:
        table.add_column(heading, justify="left" if heading in {"", "unit"} else "right")
    for line in lines:
        ratios = [line.ratio, min(line.ratios), max(line.ratios)] if line.ratios else [None] * 3
        cells = [line.what, line.unit, _figure(line.ours)]
        cells += [_figure(line.reference), *(_ratio(value) for value in ratios)] if against else []
        sign = "≤" if line.at_most else "≥"
        cells += ["-" if line.bar is None else f"{sign} {line.bar:g}", {True: "yes", False: "NO", None: "-"}[line.kept]]
        table.add_row(*cells)
    Console(width=WIDTH).print(table)


def write(target: Path, effort: Effort, lines: Sequence[Comparison]) -> None:
    """Write the figures as JSON, with the machine and the day they are from."""
    document = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "system": platform.platform(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_bytes": memory_bytes(),
            "python": platform.python_version(),
        },
        **asdict(effort),
        "figures": [asdict(line) | {"kept": line.kept} for line in lines],
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(document, indent=2) + "\n")


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
