"""The pages of `docs/problems/`, which explain each problem type; the package carries them."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

_SLUG = re.compile(r"[a-z][a-z-]{0,63}")


@cache
def problem_page(slug: str) -> str | None:
    """Return the page of a problem type in Markdown, or None if there is no such type."""
    if not _SLUG.fullmatch(slug):
        return None
    page = _folder() / f"{slug}.md"
    return page.read_text(encoding="utf-8") if page.is_file() else None


@cache
def problem_slugs() -> tuple[str, ...]:
    """Return the problem types that have a page, in order."""
    names = (page.name for page in _folder().iterdir()) if _folder().is_dir() else ()
    return tuple(sorted(name.removesuffix(".md") for name in names if name.endswith(".md") and name != "README.md"))


@cache
def _folder() -> Traversable:
    """Return the folder in the installed package, or in the source tree where nothing is copied."""
    packaged = files("reelstore.web").joinpath("problem_pages")
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "docs" / "problems"
