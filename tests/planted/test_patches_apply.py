"""Each planted bug still fits the source and still makes a program, and its test still exists."""

from __future__ import annotations

import re

import pytest

from tests.planted.bug import Bug, Edit
from tests.planted.bugs import BUGS
from tests.planted.planting import ROOT, DoesNotApply, altered, changed_files


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_fits_the_source_and_compiles(bug: Bug) -> None:
    for path, text in changed_files(bug).items():
        compile(text, str(path), "exec")


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_the_test_named_for_a_planted_bug_exists(bug: Bug) -> None:
    path, _, name = bug.test.partition("::")
    assert re.search(rf"^(async )?def {re.escape(name.partition('[')[0])}\(", (ROOT / path).read_text(), re.MULTILINE)


def test_a_bug_that_fits_no_more_is_an_error() -> None:
    for text in ("nothing of it", "twice: old\nold"):
        with pytest.raises(DoesNotApply):
            altered(text, Edit("a.py", "old", "new"))


def test_no_two_bugs_have_one_name() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS)
