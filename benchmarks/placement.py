"""Measure placement against `uhashring`, the usual ring with virtual nodes. `benchmarks/placement.md` explains it.

python benchmarks/placement.py [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from uhashring import HashRing

from reelstore.placement.builder import first_ring, next_ring
from reelstore.placement.plan import lower_bound, moved_shards
from reelstore.placement.quota import fair_shares, shards_held
from reelstore.placement.ring import Member, Ring

RUNS = 5
WIDTH = 3
VIRTUAL_NODES = 160
SINGLE_LOOKUPS, BATCH_LOOKUPS, THEIR_LOOKUPS, SLOW_LOOKUPS = 1_000_000, 1_000_000, 100_000, 2_000
RESULTS = Path(__file__).parent / "results" / "placement.json"


@dataclass(frozen=True)
class Figure:
    """One line of a table: what we reach, what uhashring reaches, and what the design promises.

    `ratio` is how many times better ours is for speeds (above 1 is better), ours over theirs otherwise.
    """

    what: str
    unit: str
    ours: float
    theirs: float | None
    ratio: float | None
    promised: float | None = None
    more_is_better: bool = False

    @property
    def kept(self) -> bool | None:
        """Return whether the promise is kept; None when there is none."""
        if self.promised is None:
            return None
        return self.ours >= self.promised if self.more_is_better else self.ours <= self.promised


def members_of(count: int, *, weights: Iterable[int] = (1,), zones: int | None = None) -> list[Member]:
    """Make servers of the given weights in turn, each in a zone of its own unless told otherwise."""
    return [
        Member(number, f"zone-{number % (zones or count)}", weight)
        for number, weight in enumerate(islice(cycle(weights), count))
    ]


def tenures(count: int) -> NDArray[np.uint64]:
    return np.arange(1, count + 1, dtype=np.uint64)


def ours(members: list[Member], bits: int, width: int = WIDTH) -> Ring:
    return first_ring("default", members, partition_bits=bits, width=width, draw=tenures)


def theirs(members: list[Member]) -> HashRing:
    return HashRing({f"server-{m.number}": {"weight": m.weight, "vnodes": VIRTUAL_NODES} for m in members})


def seconds(action: Callable[[], object]) -> float:
    start = time.process_time()  # of this process alone: others on the machine do not count
    action()
    return time.process_time() - start


def alternately(first: Callable[[], object], second: Callable[[], object]) -> tuple[float, float, float]:
    """Time two actions `RUNS` times, each leading in every other run.

    Returns:
        The median seconds of each, and the median over the runs of second / first.
    """
    first()
    second()  # once each uncounted: fresh memory costs more than lookups do
    times: list[tuple[float, float]] = []
    for run in range(RUNS):
        if run % 2:
            late, early = seconds(second), seconds(first)
            times.append((early, late))
        else:
            times.append((seconds(first), seconds(second)))
    return (
        statistics.median(one for one, _ in times),
        statistics.median(two for _, two in times),
        statistics.median(two / one for one, two in times),
    )


def arcs(ring: HashRing) -> list[tuple[int, frozenset[str]]]:
    """Return the ends of the arcs between virtual nodes, in order, and the first servers met from each."""
    points: list[tuple[int, str]] = ring.get_points()
    found: list[tuple[int, frozenset[str]]] = []
    for index, (end, _) in enumerate(points):
        servers: set[str] = set()
        at = index
        while len(servers) < WIDTH:
            servers.add(points[at % len(points)][1])
            at += 1
        found.append((end, frozenset(servers)))
    return found


def their_loads(ring: HashRing, members: list[Member]) -> list[float]:
    """Return each server's load over the fair one, exactly: the lengths of its arcs."""
    loads = dict.fromkeys((f"server-{m.number}" for m in members), 0.0)
    found = arcs(ring)
    before = found[-1][0] - 2**128
    for end, servers in found:
        for server in servers:
            loads[server] += (end - before) / 2**128
        before = end
    fair = fair_shares(members, partitions=1, width=WIDTH)
    return [loads[f"server-{m.number}"] / float(fair[m.number]) for m in members]


def our_loads(ring: Ring) -> list[float]:
    held, fair = shards_held(ring.slots), fair_shares(ring.members, partitions=ring.partitions, width=ring.width)
    return [held[m.number] / float(fair[m.number]) for m in ring.members]


def their_moves(old: HashRing, new: HashRing) -> float:
    """Return how many shards of each key move, exactly: over the arcs of both rings laid upon each other."""
    before, after = arcs(old), arcs(new)
    ends = sorted({end for end, _ in before} | {end for end, _ in after})
    moved, last = 0.0, ends[-1] - 2**128
    positions = [end for end, _ in before], [end for end, _ in after]
    for end in ends:
        middle = (last + end) // 2
        was = before[bisect_right(positions[0], middle) % len(before)][1]
        now = after[bisect_right(positions[1], middle) % len(after)][1]
        moved += len(now - was) * (end - last) / 2**128
        last = end
    return moved


CLUSTERS: list[tuple[str, list[Member], int, float, float, float]] = [
    # name, servers, partition bits; promised: build seconds, largest load, smallest load
    ("10 servers", members_of(10), 12, 0.04, 1.000, 0.999),
    ("10, weights 1..10", members_of(10, weights=range(1, 11)), 12, 0.04, 1.000, 0.998),
    ("100", members_of(100), 14, 0.14, 1.001, 0.999),
    ("1,000", members_of(1000), 16, 0.68, 1.002, 0.997),
]


def balance() -> list[Figure]:
    """Compare the largest and the smallest load with the fair one; promised to three digits after the point."""
    figures = []
    for name, members, bits, _, most, least in CLUSTERS:
        mine, others = our_loads(ours(members, bits)), their_loads(theirs(members), members)
        for what, pick, promised in (("largest", max, most), ("smallest", min, least)):
            value = round(pick(mine), 3)
            more = what == "smallest"
            figures.append(
                Figure(f"{name}: {what}", "of fair", value, pick(others), value / pick(others), promised, more)
            )
    return figures


def movement() -> list[Figure]:
    """Compare what moves with the least that could; for zones and weights the lower bound stands for it."""
    ten, hundred, zoned, tight = (
        members_of(10),
        members_of(100),
        members_of(12, weights=(1, 2, 3, 4), zones=5),
        members_of(12, zones=4),
    )
    doubled = [Member(0, "zone-0", 2), *ten[1:]]
    cases: list[tuple[str, list[Member], list[Member], int, int, float | None, float | None]] = [
        # name, before, after, bits, width, least part of all shards where it has a formula, promised
        ("add 1 to 10", ten, [*ten, Member(10, "zone-10", 1)], 12, WIDTH, 1 / 11, 1.000),
        ("double one of 10", ten, doubled, 12, WIDTH, 2 / 11 - 1 / 10, 1.000),
        ("add 1 to 100", hundred, [*hundred, Member(100, "zone-100", 1)], 14, WIDTH, 1 / 101, 1.000),
        ("add 1 to 12 in 5 zones, weights 1..4", zoned, [*zoned, Member(12, "zone-0", 4)], 12, WIDTH, None, 1.016),
        ("erasure(4, 2), 4 zones x 3, add 1", tight, [*tight, Member(12, "zone-0", 1)], 12, 6, None, 1.06),
        ("erasure(4, 2), 4 zones x 3, double 1", tight, [Member(0, "zone-0", 2), *tight[1:]], 12, 6, None, None),
    ]
    figures = []
    for name, before, after, bits, width, least_part, promised in cases:
        old = ours(before, bits, width)
        new = next_ring(old, None, after, draw=tenures)
        mine = round(moved_shards(old, new) / lower_bound(old, new), 3)
        others = None if least_part is None else their_moves(theirs(before), theirs(after)) / (WIDTH * least_part)
        figures.append(Figure(name, "of minimum", mine, others, others and mine / others, promised))
    return figures


def building() -> list[Figure]:
    """Time the first build, and the update when one server is added."""
    figures = []
    for name, members, bits, promised, _, _ in CLUSTERS:
        mine, others, ratio = alternately(partial(ours, members, bits), partial(theirs, members))
        figures.append(Figure(f"{name}: build", "s", mine, others, ratio, promised))
        old, grown = ours(members, bits), [*members, Member(5000, "zone-new", 1)]
        usual = theirs(members)

        def add_to_theirs(ring: HashRing = usual) -> None:
            ring.remove_node("server-5000")
            ring.add_node("server-5000", {"weight": 1, "vnodes": VIRTUAL_NODES})

        usual.add_node("server-5000", {"weight": 1, "vnodes": VIRTUAL_NODES})
        mine, others, ratio = alternately(partial(next_ring, old, None, grown, draw=tenures), add_to_theirs)
        figures.append(Figure(f"{name}: add one", "s", mine, others, ratio, 0.10))
    return figures


def lookups() -> list[Figure]:
    """Time lookups on 1,000 servers."""
    members = members_of(1000)
    ring, usual = ours(members, 16), theirs(members)
    digests = np.random.default_rng(1).integers(0, 256, (BATCH_LOOKUPS, 32), np.uint8)
    keys = [digest.tobytes() for digest in digests[:SINGLE_LOOKUPS]]
    texts = [key.hex() for key in keys[:THEIR_LOOKUPS]]

    def one_by_one() -> None:
        for key in keys:
            ring.lookup(key)

    figures = []
    for what, count, action, their_count, their_action, promised in (
        (
            "one at a time, a row of 3",
            SINGLE_LOOKUPS,
            one_by_one,
            SLOW_LOOKUPS,
            lambda: [list(usual.range(text, WIDTH)) for text in texts[:SLOW_LOOKUPS]],
            5.0,
        ),
        (
            "one at a time, against 1 server",
            SINGLE_LOOKUPS,
            one_by_one,
            THEIR_LOOKUPS,
            lambda: [usual.get_node(text) for text in texts],
            None,
        ),
        (
            "in a batch, rows of 3",
            BATCH_LOOKUPS,
            lambda: ring.lookup_many(digests),
            SLOW_LOOKUPS,
            lambda: [list(usual.range(text, WIDTH)) for text in texts[:SLOW_LOOKUPS]],
            70.0,
        ),
    ):
        mine, others, ratio = alternately(action, their_action)
        scale = count / their_count
        figures.append(
            Figure(
                what,
                "M/s",
                count / mine / 1e6,
                their_count / others / 1e6,
                ratio * scale,
                promised,
                more_is_better=True,
            )
        )
    return figures


def show(title: str, figures: list[Figure], console: Console) -> None:
    """Print one table."""
    table = Table(title=title, title_justify="left")
    for heading in ("", "unit", "Reelstore", "uhashring", "ratio", "promised", "kept"):
        table.add_column(heading, justify="left" if heading in {"", "unit"} else "right")
    for figure in figures:
        table.add_row(
            figure.what,
            figure.unit,
            f"{figure.ours:.3f}",
            "-" if figure.theirs is None else f"{figure.theirs:.3f}",
            "-" if figure.ratio is None else f"{figure.ratio:.2f}",
            "-" if figure.promised is None else f"{figure.promised:.3f}",
            {True: "yes", False: "no", None: "-"}[figure.kept],
        )
    console.print(table)


def main(arguments: list[str] | None = None) -> None:
    """Measure everything, print it, and write it as JSON."""
    parser = argparse.ArgumentParser(description="Measure placement against uhashring.")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="where the figures are written")
    target: Path = parser.parse_args(arguments).json
    console = Console(width=110)
    results: dict[str, list[dict[str, object]]] = {}
    for title, measure in (
        ("Load over the fair one", balance),
        ("Shards moved over the minimum", movement),
        ("Building (ratio: uhashring's time over ours)", building),
        ("Lookups, 1,000 servers (ratio: our rate over uhashring's)", lookups),
    ):
        figures = measure()
        show(title, figures, console)
        results[measure.__name__] = [asdict(figure) | {"kept": figure.kept} for figure in figures]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"runs": RUNS, "width": WIDTH, "figures": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
