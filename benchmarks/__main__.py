"""Measure Reelstore: `python -m benchmarks [--quick] [--runs N] [--json DIR] [NAME …]`; README.md explains."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import erasure, first_byte, ingest, memory, placement, read, rebalance
from benchmarks.comparison import Comparison, Effort, show, write

RUNS, QUICK_RUNS = 5, 1
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Benchmark:
    """One that is measured by runs.

    Args:
        title: of its table.
        measure: returns nothing where its reference is missing.
        against: the reference, None where there is none.
    """

    title: str
    measure: Callable[[Effort], Sequence[Comparison]]
    against: str | None = None


BENCHMARKS = {
    "ingest": Benchmark(
        "Durable ingest of 1 GiB over HTTP (ratio: our rate over the raw writers')", ingest.measure, "raw writers"
    ),
    "erasure": Benchmark(
        "Ingest of 1 GiB under erasure coding on six servers (ratio: its rate over that of two copies); coding itself",
        erasure.measure,
        "2 copies",
    ),
    "read": Benchmark("Reading (ratio: our rate over nginx's)", read.measure, "nginx"),
    "first_byte": Benchmark(
        "Time to the first byte of a random range (ratio: our time over nginx's)", first_byte.measure, "nginx"
    ),
    "rebalance": Benchmark(
        "Moving 1 GiB to a new server (ratio: our rate over the copier's; for reads: our time over that at rest)",
        rebalance.measure,
        "raw copier",
    ),
    "memory": Benchmark("Resident memory of the gateway", memory.measure),
}


def main() -> None:
    """Measure what is named, one after the other, and print and write each as it is done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure Reelstore against references.")
    names = ["placement", *BENCHMARKS]
    parser.add_argument("names", nargs="*", choices=[*names, []], metavar="NAME", help=f"all, or: {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="small sizes and one run: does it work? no figure of use")
    parser.add_argument("--runs", type=int, metavar="N", help=f"of each comparison ({RUNS})")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="DIR", help="where NAME.json is written")
    chosen = parser.parse_args()
    effort = Effort(chosen.runs or (QUICK_RUNS if chosen.quick else RUNS), chosen.quick)
    for name in chosen.names or names:
        target = chosen.json / f"{name}.json"
        if name == "placement":
            placement.main(["--json", str(target)])
            continue
        benchmark = BENCHMARKS[name]
        lines = benchmark.measure(effort)
        if not lines:
            print(f"{name}: skipped, {benchmark.against} is not installed")
            continue
        show(benchmark.title, benchmark.against, lines)
        write(target, effort, lines)


if __name__ == "__main__":
    main()
