"""Whoever dies at any step of what it does; `python -m tests.simulation --crash-points` tries all steps."""

from __future__ import annotations

import pytest

from tests.simulation.__main__ import report
from tests.simulation.crash_points import JOBS, attempt, steps_of

EVERY = 11
"""Of all steps, so many times fewer are tried here."""


@pytest.mark.parametrize("job", JOBS)
def test_whoever_dies_at_any_step_leaves_nothing_that_another_does_not_heal(job: str) -> None:
    for dies_after in range(0, steps_of(job), EVERY):
        result = attempt(job, dies_after)
        assert result.violation is None, f"killed after {dies_after} steps:\n{report(result, verbose=False)}"


def test_a_job_is_the_same_until_its_process_dies() -> None:
    whole, killed = attempt("move", None), attempt("move", 100)
    death = next(number for number, line in enumerate(killed.trace) if line[1] == "killed")
    assert whole.trace[:death] == killed.trace[:death]
    assert whole.trace[death] != killed.trace[death]
