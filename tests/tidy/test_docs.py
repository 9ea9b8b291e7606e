"""The documentation is complete: whatever a user can meet has its place in docs/."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from typer.core import TyperGroup, TyperOption

import reelstore.cli.app
from reelstore.config import Settings
from reelstore.domain.errors import ReelstoreError
from tests.tidy.inventory import ROOT, Module, module_from, modules

HTTP_METHODS = {"get", "head", "post", "put", "patch", "delete", "options"}
# What Typer adds by itself to every command line.
GIVEN_OPTIONS = {"--help", "--install-completion", "--show-completion"}


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def error_types(root: type[ReelstoreError] = ReelstoreError) -> Iterator[type[ReelstoreError]]:
    yield root
    for child in root.__subclasses__():
        yield from error_types(child)


def string_literals() -> set[str]:
    return {
        node.value
        for module in modules("src")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def routes(module: Module) -> list[tuple[str, str]]:
    """List method and path of each route that a module decorates a function with, its router's prefix included."""
    prefixes: dict[str, str] = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            given = [word.value for word in node.value.keywords if word.arg == "prefix"]
            if given and isinstance(given[0], ast.Constant) and isinstance(node.targets[0], ast.Name):
                prefixes[node.targets[0].id] = str(given[0].value)
    found = []
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for decorator in node.decorator_list:
            if not (isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Attribute) and decorator.args):
                continue
            router, path = ast.unparse(decorator.func.value), decorator.args[0]
            if decorator.func.attr in HTTP_METHODS and isinstance(path, ast.Constant):
                found.append((decorator.func.attr.upper(), prefixes.get(router, "") + str(path.value)))
    return found


def without_parameter_names(text: str) -> str:
    """Make `/videos/{video_id}` and `/videos/{id}` the same."""
    return re.sub(r"\{[^{}\s]*\}", "{}", text)


def commands(command: Any, name: str = "reelstore") -> Iterator[tuple[str, Any]]:
    """Give each visible command that does something, with the words that call it."""
    if not isinstance(command, TyperGroup):
        yield name, command
        return
    for word, child in command.commands.items():
        if not child.hidden:
            yield from commands(child, f"{name} {word}")


def options(command: Any) -> set[str]:
    visible = [parameter for parameter in command.params if isinstance(parameter, TyperOption) and not parameter.hidden]
    return {name for option in visible for name in option.opts if name.startswith("--")} - GIVEN_OPTIONS


def test_every_problem_has_a_page_that_says_its_title() -> None:
    missing = [
        f"{error.__name__}: {error.problem}"
        for error in error_types()
        if not (ROOT / f"docs/problems/{error.problem}.md").is_file()
        or error.title not in page(f"problems/{error.problem}.md")
    ]
    assert missing == []


def test_every_problem_page_is_about_a_problem_that_exists() -> None:
    pages = {path.stem for path in (ROOT / "docs/problems").glob("*.md")} - {"README", "index"}
    assert pages - string_literals() == set()


def test_every_setting_is_documented() -> None:
    text = page("settings.md")
    assert [name for name in Settings.model_fields if f"REELSTORE_{name.upper()}" not in text] == []


def test_every_command_and_option_is_documented() -> None:
    text = page("cli.md")
    known = dict(commands(typer.main.get_command(reelstore.cli.app.app)))
    assert len(known) > 1
    assert [name for name in known if name not in text] == []
    words = set(re.findall(r"--[a-z][a-z-]*", text))
    assert {f"{name} {option}" for name, it in known.items() for option in options(it) - words} == set()


def test_every_route_is_documented() -> None:
    text = without_parameter_names(page("api.md"))
    known = [route for module in modules("src") for route in routes(module)]
    assert known
    assert [f"{method} {path}" for method, path in known if without_parameter_names(path) not in text] == []


def test_decisions_are_numbered_listed_and_whole() -> None:
    folder = ROOT / "docs/decisions"
    records = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert [name[:4] for name in records] == [f"{number:04}" for number in range(1, len(records) + 1)]
    assert [name for name in records if f"({name})" not in page("decisions/README.md")] == []
    sections = re.findall(r"^## .*$", page("decisions/template.md"), re.MULTILINE)
    assert [
        (name, section) for name in records for section in sections if section not in page(f"decisions/{name}")
    ] == []


def test_links_between_pages_lead_somewhere() -> None:
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "tests").rglob("*.md")]
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in files
        if path.name != "template.md"
        for target in re.findall(r"\]\(([^)#\s:]+)(?:#[^)\s]*)?\)", path.read_text(encoding="utf-8"))
        if not (path.parent / target).exists()
    ]
    assert broken == []


def test_routes_are_found_with_the_prefix_of_their_router() -> None:
    text = "router = APIRouter(prefix='/videos')\n@router.get('/{video_id}')\nasync def show(): ...\n"
    assert routes(module_from(text)) == [("GET", "/videos/{video_id}")]


def test_commands_and_options_are_found_except_hidden_ones() -> None:
    app, group = typer.Typer(), typer.Typer()

    @app.command()
    def show(
        how: Annotated[str, typer.Option("--how", "-h")] = "", secret: Annotated[str, typer.Option(hidden=True)] = ""
    ) -> None: ...

    @group.command(hidden=True)
    def inner() -> None: ...

    @group.command("add-all")
    def add() -> None: ...

    app.add_typer(group, name="server")
    known = dict(commands(typer.main.get_command(app)))
    assert set(known) == {"reelstore show", "reelstore server add-all"}
    assert options(known["reelstore show"]) == {"--how"}
