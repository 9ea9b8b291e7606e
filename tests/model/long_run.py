"""The long run: every ablation, every exhaustive configuration, and random schedules until the time is up."""

# ruff: noqa: T201 - a command prints

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

from tests.model import quarantine, upload_offset
from tests.model.configurations import ABLATIONS, LARGE, SMALL
from tests.model.exhaustive import explore
from tests.model.rules import ALL_RULES, RULE_NAMES, Rules
from tests.model.scenarios import HAND_MADE
from tests.model.schedules import Run, describe, run
from tests.model.state import Configuration

COPIES = (2, 3)
SCHEDULES_PER_BATCH = 200
PROGRESS_EVERY_SECONDS = 60


class Line(NamedTuple):
    """A line of the report."""

    what: str
    schedules: int = 0
    states: int = 0
    violations: int = 0
    remark: str = ""


def break_without(rule: str) -> tuple[Run, int]:
    """Find what breaks without the rule: by the schedule made by hand for it, or else by exploration.

    Returns:
        The shortest schedule known, without a violation if nothing breaks; and the number of states explored.
    """
    rules = ALL_RULES.without(rule)
    if rule in HAND_MADE:
        return HAND_MADE[rule](rules), 0
    ablation = ABLATIONS[rule]
    found = explore(rules, ablation.configuration)
    violation = found.violation if ablation.is_proved_by(found.violation) else None
    return Run(ablation.configuration, found.trace, violation), found.states


def check_everything(rules: Rules, *, seconds: float, first_seed: int) -> bool:
    """Print the report line by line; return whether no invariant broke and no missing rule went unnoticed.

    Args:
        rules: The rules that hold where none is taken away on purpose.
        seconds: How long to go on. The ablations and the small configurations take about ten seconds and are always
            done; a large one is begun only in the first half of the time.
        first_seed: Of the random schedules, which are numbered from there.
    """
    began = time.monotonic()
    print(f"{'what':52} {'schedules':>10} {'states':>10} {'violations':>10} {'seconds':>8}")
    is_sound = report_all(partial(_check_ablation, rule) for rule in RULE_NAMES)
    is_sound &= report_all([_check_upload_offset, _check_quarantine])
    is_sound &= report_all(partial(check_configuration, rules, *named) for named in SMALL.items())
    for named in LARGE.items():
        if time.monotonic() - began < seconds / 2:
            is_sound &= report_all([partial(check_configuration, rules, *named)])
        else:
            print(f"{named[0]:52} left out: needs more seconds")
    seeds = itertools.count(first_seed)
    while (seconds_left := began + seconds - time.monotonic()) > 0:
        end = time.monotonic() + min(seconds_left, PROGRESS_EVERY_SECONDS)
        is_sound &= report_all([partial(_check_random_schedules, rules, seeds, end)])
    print("sound" if is_sound else "NOT SOUND", f"after {time.monotonic() - began:.0f} seconds")
    return is_sound


def show(rules: Rules, outcome: Run) -> None:
    """Print a schedule, a step a line, and what it broke."""
    for number, words in enumerate(describe(rules, outcome.configuration, outcome.trace), 1):
        print(f"  {number:3} {words}")
    print(outcome.violation or "no violation")


def report_all(checks: Iterable[Callable[[], Line]]) -> bool:
    """Do each check and print its line; return whether no invariant broke."""
    is_sound = True
    for check in checks:
        began = time.monotonic()
        what, schedules, states, violations, remark = check()
        seconds = time.monotonic() - began
        print(f"{what:52} {schedules:10,} {states:10,} {violations:10,} {seconds:8.1f}  {remark}", flush=True)
        is_sound &= violations == 0
    return is_sound


def _check_ablation(rule: str) -> Line:
    what = "without " + rule.replace("_", " ")
    broken, states = break_without(rule)
    if broken.violation is None:
        return Line(what, states=states, violations=1, remark="NOTHING BREAKS, so the model has lost its sight")
    return Line(what, states=states, remark=f"breaks, as it must, in {len(broken.trace)} steps: {broken.violation}")


def check_configuration(rules: Rules, what: str, configuration: Configuration) -> Line:
    """Explore a configuration, and print the schedule that breaks it, if one does."""
    found = explore(rules, configuration)
    if found.violation is None:
        return Line(what, states=found.states, remark="" if found.is_complete else "CUT OFF")
    show(rules, Run(configuration, found.trace, found.violation))
    return Line(what, states=found.states, violations=1)


def _check_random_schedules(rules: Rules, seeds: Iterator[int], end: float) -> Line:
    schedules = violations = 0
    remark = ""
    while time.monotonic() < end:
        for seed in itertools.islice(seeds, SCHEDULES_PER_BATCH):
            for copies in COPIES:
                outcome = run(seed, rules, copies=copies)
                schedules += 1
                if outcome.violation is not None:
                    violations += 1
                    remark = remark or f"--seed {seed} --copies {copies} shows {outcome.violation}"
    return Line("random schedules, replicated(2) and replicated(3)", schedules, 0, violations, remark)


def _check_upload_offset() -> Line:
    found = upload_offset.explore(upload_offset.Transactions())
    return Line("upload offset", states=found.states, violations=len(found.violations))


def _check_quarantine() -> Line:
    found = quarantine.explore("overwrite")
    return Line("repair by overwriting", states=found.states, violations=int(found.violation is not None))
