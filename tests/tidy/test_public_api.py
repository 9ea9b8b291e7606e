"""The public API is documented and typed to the last name."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.tidy.inventory import Function, Module, module_from, modules


def public_definitions(node: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[tuple[str, ast.stmt]]:
    """Give the public classes, functions and methods; what is nested in a function is nobody else's."""
    for child in node.body:
        if isinstance(child, Function | ast.ClassDef) and not child.name.startswith("_"):
            yield prefix + child.name, child
            if isinstance(child, ast.ClassDef):
                yield from public_definitions(child, f"{prefix}{child.name}.")


def is_described_elsewhere(function: Function) -> bool:
    """Say whether a decorator tells that the documentation is at another place."""
    names = {ast.unparse(decorator).split("(")[0].split(".")[-1] for decorator in function.decorator_list}
    return bool(names & {"override", "overload", "setter", "deleter"})


def undocumented(module: Module) -> list[str]:
    missing = [] if ast.get_docstring(module.tree) else [module.path]
    for name, node in public_definitions(module.tree):
        if isinstance(node, Function) and is_described_elsewhere(node):
            continue
        if isinstance(node, Function | ast.ClassDef) and not ast.get_docstring(node):
            missing.append(f"{module.path}:{node.lineno}: {name}")
    return missing


def untyped(module: Module) -> list[str]:
    missing = []
    for name, node in public_definitions(module.tree):
        if not isinstance(node, Function):
            continue
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        arguments += [argument for argument in (node.args.vararg, node.args.kwarg) if argument]
        bare = [argument.arg for argument in arguments if argument.annotation is None]
        if "." in name and bare[:1] in (["self"], ["cls"]):
            bare = bare[1:]
        if bare or node.returns is None:
            missing.append(f"{module.path}:{node.lineno}: {name}")
    return missing


def test_every_public_name_has_a_docstring() -> None:
    assert [name for module in modules("src") if module.is_public for name in undocumented(module)] == []


def test_every_public_function_is_typed() -> None:
    assert [name for module in modules("src") if module.is_public for name in untyped(module)] == []


@pytest.mark.parametrize("text", ["", "'''M.'''\ndef f(): ...", "'''M.'''\nclass A:\n  '''A.'''\n  def f(self): ..."])
def test_a_missing_docstring_is_noticed(text: str) -> None:
    assert len(undocumented(module_from(text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "def f(a: int): ...",
        "def f(a) -> None: ...",
        "class A:\n  def f(self, **b) -> None: ...",
        "def f(self) -> int: ...",
    ],
)
def test_a_missing_type_is_noticed(text: str) -> None:
    assert len(untyped(module_from(text))) == 1


def test_what_is_private_or_described_elsewhere_passes() -> None:
    text = "'''M.'''\ndef _f(a): ...\nclass A:\n  '''A.'''\n  @override\n  def f(self, a: int) -> int: ..."
    assert undocumented(module_from(text)) == []
    assert untyped(module_from(text)) == []
