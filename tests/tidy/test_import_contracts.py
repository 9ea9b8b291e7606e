"""The import contracts of pyproject.toml refuse what they are there to refuse, shown on a toy of the project."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tidy.inventory import ROOT

PACKAGES = [
    "background",
    "bootstrap",
    "chunkstore",
    "cli",
    "client",
    "config",
    "domain",
    "node",
    "placement",
    "repositories",
    "services",
    "storage",
    "web",
]
MODULES = (
    *("repositories/interface", "repositories/memory", "repositories/sql"),
    *("storage/bucket", "storage/directory", "storage/interface", "storage/memory", "storage/node", "storage/registry"),
)


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """Make a package with the project's modules, all of them empty."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    package = tmp_path / "reelstore"
    for name in ("", *PACKAGES):
        (package / name).mkdir()
        (package / name / "__init__.py").touch()
    for name in MODULES:
        (package / f"{name}.py").touch()
    return package


def broken_contracts(package: Path) -> list[str]:
    result = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=package.parent,
        env={"PYTHONPATH": str(package.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Contracts:" in result.stdout, result.stdout + result.stderr
    return [line.removesuffix(" BROKEN") for line in result.stdout.splitlines() if line.endswith(" BROKEN")]


def test_what_the_layers_are_made_for_passes(toy: Path) -> None:
    (toy / "bootstrap/__init__.py").write_text(
        "import reelstore.storage.memory, reelstore.repositories.sql, reelstore.web"
    )
    (toy / "cli/__init__.py").write_text("import reelstore.bootstrap, reelstore.client")
    (toy / "web/__init__.py").write_text("import reelstore.services, reelstore.config")
    (toy / "services/__init__.py").write_text("import reelstore.chunkstore, reelstore.repositories.interface")
    assert broken_contracts(toy) == []


@pytest.mark.parametrize(
    ("module", "imported", "contract"),
    [
        ("web", "reelstore.background", "Imports point one way"),
        ("storage/interface", "reelstore.repositories.interface", "Imports point one way"),
        ("web", "reelstore.client", "Imports point one way"),
        ("a_new_package", "asyncio", "Imports point one way"),
        ("client", "reelstore.domain", "The client knows only HTTP"),
        ("services", "reelstore.repositories.sql", "Only bootstrap knows the adapters"),
        ("cli", "reelstore.storage.memory", "Commands get their adapters from bootstrap"),
        ("placement", "time", "The core does no I/O"),
    ],
)
def test_an_import_that_points_the_wrong_way_is_refused(toy: Path, module: str, imported: str, contract: str) -> None:
    path = toy / f"{module}.py" if "/" in module else toy / module / "__init__.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"import {imported}\n")
    (broken,) = broken_contracts(toy)
    assert broken.startswith(contract)
