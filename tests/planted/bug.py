"""What a planted bug is: a few exact replacements in the source, small enough that a tired person might make them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """Replace `old`, which occurs exactly once, in a file below `src/reelstore`."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Bug:
    """A bug, and the test that must fail with it.

    Args:
        name: what was done wrong.
        rule: of the protocol, or a promise of the design.
        test: `file::test`, as pytest names it.
        edits: all of them together are the bug.
    """

    name: str
    rule: str
    test: str
    edits: tuple[Edit, ...]


def bug(name: str, rule: str, test: str, *edits: tuple[str, str, str]) -> Bug:
    return Bug(name, rule, test, tuple(Edit(*edit) for edit in edits))
