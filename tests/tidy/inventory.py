"""What the tidy tests look at: the repository's files, its modules and what they define."""

from __future__ import annotations

import ast
import functools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One Python file: its path from the root, its text and its syntax tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def is_public(self) -> bool:
        return not any(part.startswith("_") and not part.startswith("__") for part in self.path.split("/"))


def module_from(text: str, path: str = "src/reelstore/sample.py") -> Module:
    """Make a module of text, for the proof that a check can fail."""
    return Module(path=path, text=text, tree=ast.parse(text))


@functools.cache
def repository_files() -> tuple[Path, ...]:
    """List the files that are tracked, or would be by the next commit."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listing.returncode != 0:
        pytest.skip("this is not a git checkout: nothing says which files belong to the repository")
    paths = (ROOT / name for name in listing.stdout.decode().split("\0") if name)
    return tuple(sorted(path for path in paths if path.is_file()))


def text_files() -> Iterator[tuple[str, str]]:
    """Give path and text of each file of the repository that is text."""
    for path in repository_files():
        try:
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


@functools.cache
def all_modules() -> tuple[Module, ...]:
    """Parse every Python file of the repository, once."""
    return tuple(
        module_from(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT)))
        for path in repository_files()
        if path.suffix == ".py"
    )


def modules(*folders: str) -> tuple[Module, ...]:
    """Give the modules below these folders of the root."""
    return tuple(module for module in all_modules() if module.path.split("/")[0] in folders)


def functions(module: Module) -> Iterator[tuple[str, Function]]:
    """Give each function of a module, nested ones too, with its dotted name."""

    def walk(node: ast.AST, prefix: str) -> Iterator[tuple[str, Function]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function):
                yield prefix + child.name, child
            name = getattr(child, "name", "")
            is_scope = isinstance(child, Function | ast.ClassDef)
            yield from walk(child, f"{prefix}{name}." if is_scope else prefix)

    yield from walk(module.tree, "")
