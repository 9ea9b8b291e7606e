"""The model's command: the long run, the schedule behind a rule, and a random schedule played again."""

# ruff: noqa: T201 - a command prints

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Sequence

from tests.model.first_design import ASSUMPTIONS, run_first_design
from tests.model.long_run import break_without, check_everything, show
from tests.model.rules import ALL_RULES, RULE_NAMES
from tests.model.schedules import run, shrink

DESCRIPTION = """\
Check the executable model of the storage protocol.

Takes away each rule and demands that something breaks, explores small configurations exhaustively,
and runs random schedules until the time is up. Prints a table as it goes. Exits with 1 if an
invariant broke, or if nothing broke without a rule."""

EXAMPLES = (
    """\
examples:
  python -m tests.model --seconds 600             the long run
  python -m tests.model --without tenure_in_name  the shortest schedule that shows what a rule is for
  python -m tests.model --seed 4711 --copies 3    play a random schedule again; made short if it breaks something
  python -m tests.model --first-design            what the design that was not taken does

rules:
  """
    + "\n  ".join(RULE_NAMES)
    + """

figures:
  On one core, some 1,200 schedules and 12,000 states a second. All the large
  configurations are explored with --seconds 300 or more, in 300 MB of memory."""
)

FIRST_DESIGN_SCHEDULES = 2_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    options = _parser().parse_args(arguments)
    if options.without is not None:
        return _show_ablation(options.without)
    if options.first_design:
        return _show_first_design()
    if options.seed is not None:
        return _show_schedule(options.seed, options.copies)
    first_seed = options.first_seed if options.first_seed is not None else random.SystemRandom().randrange(10**9)
    print(f"random schedules from --first-seed {first_seed}")
    return 0 if check_everything(ALL_RULES, seconds=options.seconds, first_seed=first_seed) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.model",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=60, help="how long to go on (60)")
    parser.add_argument("--first-seed", type=int, help="of the random schedules (drawn, and printed)")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--without", choices=RULE_NAMES, metavar="RULE", help="show what breaks without the rule")
    instead.add_argument("--seed", type=int, help="play this random schedule only")
    instead.add_argument("--first-design", action="store_true", help="show the design that was not taken")
    parser.add_argument("--copies", type=int, choices=(2, 3), default=2, help="of the policy, with --seed (2)")
    return parser


def _show_ablation(rule: str) -> int:
    broken, states = break_without(rule)
    print(f"without {rule} ({states:,} states explored):")
    show(ALL_RULES.without(rule), broken)
    return 0 if broken.violation is not None else 1


def _show_schedule(seed: int, copies: int) -> int:
    outcome = run(seed, ALL_RULES, copies=copies)
    if outcome.violation is not None:
        outcome = shrink(ALL_RULES, outcome)
    print(outcome.configuration)
    show(ALL_RULES, outcome)
    return 0 if outcome.violation is None else 1


def _show_first_design() -> int:
    print(f"{FIRST_DESIGN_SCHEDULES:,} random schedules each, assuming")
    for what, assumed in ASSUMPTIONS.items():
        outcomes = [run_first_design(seed, assumed).violation for seed in range(FIRST_DESIGN_SCHEDULES)]
        kinds = Counter(violation.kind for violation in outcomes if violation is not None)
        print(f"  {what:34} {', '.join(f'{kind}: {count}' for kind, count in kinds.most_common())}", flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped before the end")
