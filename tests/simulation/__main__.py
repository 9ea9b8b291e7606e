# ruff: noqa: T201 - a command prints
"""Simulate many seeds, or show one: `python -m tests.simulation --help`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.crash_points import JOBS, attempt, steps_of
from tests.simulation.run import Result, run, shrink

REPORT_SECONDS = 10.0
SEEDS_IN_ONE_CALL = 20


def main() -> int:
    """Return 0 when no promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, metavar="N", help="how many (200)")
    parser.add_argument("--start", type=int, default=0, metavar="N", help="the first one (0)")
    parser.add_argument("--seed", type=int, metavar="N", help="only this one; when it breaks something, made short")
    parser.add_argument("--operations", type=int, default=40, metavar="N", help="of each seed (40)")
    parser.add_argument("--at-once", type=int, default=1, metavar="N", help="processes (1)")
    parser.add_argument("--crash-points", action="store_true", help="kill at each step of each job instead")
    parser.add_argument("--verbose", action="store_true", help="with --seed: print the whole trace")
    options = parser.parse_args()
    if options.crash_points:
        return try_crash_points()
    if options.seed is not None:
        return show(options.seed, operations=options.operations, verbose=options.verbose)
    began = reported = time.monotonic()
    broken: list[tuple[int, str]] = []
    done = 0
    for seeds, found in _results(range(options.start, options.start + options.seeds), options):
        done += seeds
        broken += found
        for seed, violation in found:
            print(f"seed {seed}: {violation}", flush=True)
        if time.monotonic() - reported > REPORT_SECONDS:
            reported = time.monotonic()
            print(f"{done} seeds, {done / (reported - began):.1f} a second, {len(broken)} broken", flush=True)
    seconds = time.monotonic() - began
    print(f"{done} seeds in {seconds:.0f} s, {done / seconds:.1f} a second: {len(broken)} broke a promise")
    for seed, _ in broken[:1]:
        show(seed, operations=options.operations, verbose=False)
    return 1 if broken else 0


def _results(seeds: range, options: argparse.Namespace) -> Iterator[tuple[int, list[tuple[int, str]]]]:
    pieces = [seeds[start : start + SEEDS_IN_ONE_CALL] for start in range(0, len(seeds), SEEDS_IN_ONE_CALL)]
    if options.at_once == 1:
        yield from ((len(piece), broken_in(piece, options.operations)) for piece in pieces)
        return
    with ProcessPoolExecutor(options.at_once) as pool:
        found = pool.map(broken_in, pieces, [options.operations] * len(pieces))
        yield from ((len(piece), broken) for piece, broken in zip(pieces, found, strict=True))


def broken_in(seeds: Iterable[int], operations: int) -> list[tuple[int, str]]:
    """Return those of the seeds that break a promise, each with what it breaks."""
    results = ((seed, run(seed, operations=operations)) for seed in seeds)
    return [(seed, str(result.violation)) for seed, result in results if result.violation is not None]


def show(seed: int, *, operations: int, verbose: bool) -> int:
    """Print what a seed does; return 1 if it breaks a promise."""
    result = run(seed, operations=operations)
    if result.violation is not None:
        print(f"seed {seed}: {result.violation}\nmaking it short …", file=sys.stderr)
        result = shrink(result)
    print(report(result, verbose=verbose))
    return 1 if result.violation is not None else 0


def try_crash_points() -> int:
    """Kill at each step of each job; return 1 if that ever breaks a promise."""
    broken = 0
    for job in JOBS:
        steps = steps_of(job)
        for dies_after in range(steps):
            violation = attempt(job, dies_after).violation
            if violation is not None:
                broken += 1
                print(f"{job}, killed after {dies_after} steps: {violation}", flush=True)
        print(f"{job}: killed at each of {steps} steps", flush=True)
    print(f"{broken} broke a promise")
    return 1 if broken else 0


def report(result: Result, *, verbose: bool) -> str:
    """Return a run in words: its operations, the end of its trace or all of it, and what it showed."""
    scenario = result.scenario
    shape = f"{scenario.servers} servers in {scenario.zones} zones, {1 << scenario.partition_bits} partitions"
    policies = f"replicated({scenario.copies}) and {scenario.second_policy}"
    lines = [f"seed {scenario.seed}: {shape}, {policies}, processes {scenario.works}"]
    for number, phase in enumerate(scenario.phases, 1):
        lines += [f"phase {number}:", *(f"  {operation}" for operation in phase)]
    shown = result.trace if verbose else result.trace[-60:]
    lines += ["trace:", *(" ".join(map(str, line)) for line in shown)]
    lines.append(f"{result.steps} steps, trace {result.digest}: {result.violation or 'every promise was kept'}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
