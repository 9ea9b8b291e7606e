# ruff: noqa: T201 - a command prints
"""Plant every bug, one after the other, and print which test caught it: `python -m tests.planted --help`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.planted.bug import Bug
from tests.planted.bugs import BUGS
from tests.planted.planting import SOURCE, DoesNotApply, Result, run, try_bug


def main() -> int:
    """Return 0 when every bug was caught, and every test passes without them."""
    parser = argparse.ArgumentParser(prog="python -m tests.planted", description=__doc__)
    parser.add_argument("words", nargs="*", help="only bugs whose name or rule holds all of these words")
    parser.add_argument("--at-once", type=int, default=2, metavar="N", help="how many to try at the same time (2)")
    parser.add_argument("--output", action="store_true", help="print what the tests printed")
    options = parser.parse_args()
    bugs = [bug for bug in BUGS if all(word in f"{bug.rule} {bug.name}" for word in options.words)]
    failing = failing_without_bugs(bugs)
    if failing:
        print(f"these tests fail already without a bug:\n{failing}")
        return 1
    print("| Rule | Bug | File | Caught by | Seconds |\n| --- | --- | --- | --- | ---: |")
    with ThreadPoolExecutor(options.at_once) as pool:
        missed = [result for result in pool.map(attempt, bugs) if not report(result, output=options.output)]
    print(f"\n{len(bugs) - len(missed)} of {len(bugs)} planted bugs were caught.")
    return 1 if missed or not bugs else 0


def failing_without_bugs(bugs: list[Bug]) -> str:
    """Run all the tests on the source as it is: a test that fails anyway catches nothing."""
    for test in sorted({bug.test.split("::")[0] for bug in bugs}):
        status, output = run(test, SOURCE)
        if status:
            return output
    return ""


def attempt(bug: Bug) -> Result:
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        try:
            return try_bug(bug, Path(folder))
        except DoesNotApply as error:
            return Result(bug, caught=False, seconds=0.0, output=str(error))


def report(result: Result, *, output: bool) -> bool:
    """Print a line; return whether the bug was caught."""
    files = ", ".join(dict.fromkeys(edit.path for edit in result.bug.edits))
    caught_by = result.bug.test if result.caught else f"**NOT CAUGHT** by {result.bug.test}"
    print(f"| {result.bug.rule} | {result.bug.name} | {files} | {caught_by} | {result.seconds:.1f} |", flush=True)
    if output or not result.caught:
        print(result.output, file=sys.stderr, flush=True)
    return result.caught


if __name__ == "__main__":
    sys.exit(main())
