"""Plant a bug in a copy of the source, and see whether its test notices."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.planted.bug import Bug, Edit

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
TIME_LIMIT_SECONDS = 300
TESTS_FAILED = 1
"""pytest's exit status; 2 to 5 mean that no test was run, which catches nothing."""
NO_END = -1
"""Catches nothing either: a slow machine would catch every bug."""


class DoesNotApply(Exception):
    """The text that a bug replaces is not, or not once, in the source any more: the bug must be written anew."""


@dataclass(frozen=True)
class Result:
    """What became of a planted bug: caught when its test failed, and nothing else went wrong."""

    bug: Bug
    caught: bool
    seconds: float
    output: str


def altered(text: str, edit: Edit) -> str:
    """Return a file's text with the bug in it.

    Raises:
        DoesNotApply: the old text is there a number of times that is not one.
    """
    count = text.count(edit.old)
    if count != 1:
        raise DoesNotApply(f"{edit.path}: {count} places instead of one are\n{edit.old}")
    return text.replace(edit.old, edit.new)


def changed_files(bug: Bug, source: Path = SOURCE) -> dict[Path, str]:
    """Return the text of each file that a bug changes, by its path below `source`, after all of its edits."""
    texts: dict[Path, str] = {}
    for edit in bug.edits:
        path = Path("reelstore", edit.path)
        texts[path] = altered(texts.get(path) or (source / path).read_text(), edit)
    return texts


def plant(bug: Bug, folder: Path) -> Path:
    """Copy the source below a folder, with the bug; return where the copy is."""
    copy = folder / "src"
    # With its byte code, so that only what the bug changes is compiled anew; but not with that of a moment ago, which
    # another process may be writing.
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("*.pyc.*"))
    for path, text in changed_files(bug).items():
        (copy / path).write_text(text)
    return copy


def run(test: str, source: Path) -> tuple[int, str]:
    """Run a test against a source tree; return pytest's exit status and what it printed."""
    # The installed package is found through a .pth file, which comes after this.
    environment = os.environ | {"PYTHONPATH": f"{source}{os.pathsep}{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "--tb=line", "--show-capture=no", "-p", "no:xdist", test]
    try:
        ended = subprocess.run(  # noqa: PLW1510 - the status is what is asked for
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIME_LIMIT_SECONDS
        )
    except subprocess.TimeoutExpired:
        return NO_END, f"{test} did not end within {TIME_LIMIT_SECONDS} s"
    return ended.returncode, ended.stdout + ended.stderr


def try_bug(bug: Bug, folder: Path) -> Result:
    """Plant a bug and run the test that must fail with it."""
    began = time.perf_counter()
    status, output = run(bug.test, plant(bug, folder))
    return Result(bug, status == TESTS_FAILED, time.perf_counter() - began, output)
