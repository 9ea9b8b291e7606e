"""The size of modules and functions, and the words that names are made of."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.tidy.inventory import ROOT, Function, Module, functions, module_from, modules, repository_files

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60

# A path, and the reason why the module is better in one piece.
LONG_MODULES: dict[str, str] = {}

# "path:dotted name", and the reason why the function is better in one piece.
LONG_FUNCTIONS: dict[str, str] = {
    "src/reelstore/cli/node.py:node": "mostly its signature, the same",
    "src/reelstore/cli/serve.py:serve": "mostly its signature: each option with its variable and its help",
}

FORBIDDEN_WORDS = {"blob", "common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}
# What the mission names, in the forms of a class, a variable and a module.
ALLOWED_NAMES = {"ServerManager", "server_manager", "_server_manager", "servermanager"}


def function_lines(function: Function) -> int:
    """Count a function's lines without its docstring: documenting more must not cost anything."""
    end = function.end_lineno or function.lineno
    lines = end - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def long_modules(candidates: tuple[Module, ...]) -> set[str]:
    return {module.path for module in candidates if len(module.text.splitlines()) > MODULE_LINES_MAX}


def long_functions(candidates: tuple[Module, ...]) -> set[str]:
    return {
        f"{module.path}:{name}"
        for module in candidates
        for name, function in functions(module)
        if function_lines(function) > FUNCTION_LINES_MAX
    }


def words(name: str) -> set[str]:
    """Split a snake_case or CamelCase name."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def is_forbidden(name: str) -> bool:
    return name not in ALLOWED_NAMES and (name == "object" or bool(words(name) & FORBIDDEN_WORDS))


def defined_names(module: Module) -> Iterator[tuple[int, str]]:
    """Give the names that a module makes itself; what it imports is named by others."""
    for node in ast.walk(module.tree):
        if isinstance(node, Function | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
        elif isinstance(node, ast.alias) and node.asname:
            yield node.lineno, node.asname


def test_modules_are_short_or_say_why_not() -> None:
    assert long_modules(modules("src", "tests", "benchmarks")) == set(LONG_MODULES)


def test_functions_are_short_or_say_why_not() -> None:
    assert long_functions(modules("src", "benchmarks")) == set(LONG_FUNCTIONS)


def test_names_are_of_the_glossary() -> None:
    found = [
        f"{module.path}:{line}: {name}"
        for module in modules("src", "tests", "benchmarks")
        for line, name in defined_names(module)
        if is_forbidden(name)
    ]
    assert found == []


def test_no_file_or_folder_has_a_name_that_says_nothing() -> None:
    paths = [path.relative_to(ROOT) for path in repository_files()]
    assert [str(path) for path in paths if any(is_forbidden(part.split(".")[0]) for part in path.parts)] == []


def test_a_long_module_and_a_long_function_are_noticed() -> None:
    line = "    pass\n"
    assert long_modules((module_from("pass\n" * 401),)) == {"src/reelstore/sample.py"}
    assert long_modules((module_from("pass\n" * 400),)) == set()
    assert long_functions((module_from("class A:\n  def f():\n" + line * 60),)) == {"src/reelstore/sample.py:A.f"}
    assert long_functions((module_from('def f():\n    """One.\n    Two."""\n' + line * 59),)) == set()


@pytest.mark.parametrize(
    "text",
    ["def helper(): ...", "class CacheManager: ...", "def f(blob): ...", "my_utils = 1", "for object in (): ..."],
)
def test_a_name_that_says_nothing_is_noticed(text: str) -> None:
    assert any(is_forbidden(name) for _, name in defined_names(module_from(text)))


@pytest.mark.parametrize("text", ["class ServerManager: ...", "with contextmanager() as commonly: ..."])
def test_a_name_that_only_looks_like_one_passes(text: str) -> None:
    assert not any(is_forbidden(name) for _, name in defined_names(module_from(text)))
