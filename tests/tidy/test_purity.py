"""What the import contracts cannot see of the core's purity: calls that read a clock, chance or the outside."""

from __future__ import annotations

import ast

import pytest

from tests.tidy.inventory import Module, module_from, modules

# `datetime` and `uuid` are welcome as values; these of their functions are not.
IMPURE_METHODS = {"now", "utcnow", "today", "uuid1", "uuid4", "uuid6", "uuid7", "getnode"}
IMPURE_BUILTINS = {"__import__", "breakpoint", "hash", "input", "open", "print"}


def impure_calls(module: Module) -> list[str]:
    """List the calls whose answer depends on more than their arguments.

    `hash` is among them, since of text it differs from process to process; in a `__hash__` it is what is asked for.
    """
    allowed = {
        call
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef) and node.name == "__hash__"
        for call in ast.walk(node)
    }
    found = []
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call) or node in allowed:
            continue
        called = ast.unparse(node.func)
        owner, _, name = called.rpartition(".")
        is_impure = name in IMPURE_BUILTINS if not owner else name in IMPURE_METHODS
        if is_impure and owner.split(".")[0] in {"", "date", "datetime", "uuid"}:
            found.append(f"{module.path}:{node.lineno}: {called}")
    return found


def test_the_core_asks_nothing_of_the_outside() -> None:
    core = [m for m in modules("src") if m.path.startswith(("src/reelstore/domain/", "src/reelstore/placement/"))]
    assert core
    assert [call for module in core for call in impure_calls(module)] == []


@pytest.mark.parametrize(
    "call", ["datetime.now(UTC)", "datetime.datetime.now()", "uuid.uuid4()", "hash('a')", "open(p)"]
)
def test_an_impure_call_is_noticed(call: str) -> None:
    assert len(impure_calls(module_from(f"a = {call}\n"))) == 1


@pytest.mark.parametrize(
    "call", ["datetime.fromisoformat(text)", "uuid.UUID(int=1)", "clock.now()", "rows.hash(b'')", "Ring(bits=12)"]
)
def test_a_pure_call_passes(call: str) -> None:
    assert impure_calls(module_from(f"a = {call}\n")) == []
