"""The lock files hold what pyproject.toml asks for, with hashes, and say nothing of where it comes from."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.tidy.inventory import ROOT

LOCKS = ("app.txt", "dev.txt", "install.txt")
PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;]+)")


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def lock_text(name: str) -> str:
    return (ROOT / "requirements" / name).read_text(encoding="utf-8")


def pins(text: str) -> dict[str, set[str]]:
    """Give the versions of each package; there may be several, for different platforms."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if match := PIN.match(line):
            found.setdefault(canonicalize_name(match[1]), set()).add(match[2])
    return found


def group(name: str) -> list[str]:
    """List the requirements of a dependency group, those of the groups that it includes too."""
    found: list[str] = []
    for entry in project()["dependency-groups"][name]:
        found += group(entry["include-group"]) if isinstance(entry, dict) else [entry]
    return found


def not_locked(requirements: list[str], lock: str) -> list[str]:
    """List the requirements that the lock does not satisfy."""
    locked = pins(lock)
    missing = []
    for text in requirements:
        requirement = Requirement(text)
        versions = locked.get(canonicalize_name(requirement.name), set())
        if not versions or not all(requirement.specifier.contains(version) for version in versions):
            missing.append(text)
    return missing


def without_hash(lock: str) -> list[str]:
    entries = re.split(r"\n(?=[A-Za-z0-9])", lock.strip())
    return [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry]


def test_the_locks_satisfy_the_project() -> None:
    dependencies = project()["project"]["dependencies"]
    assert not_locked(dependencies, lock_text("app.txt")) == []
    assert not_locked(dependencies + group("dev"), lock_text("dev.txt")) == []
    assert not_locked(project()["build-system"]["requires"] + group("install"), lock_text("install.txt")) == []


def test_every_group_is_in_a_lock() -> None:
    locked = set(group("dev")) | set(group("install"))
    assert {text for name in project()["dependency-groups"] for text in group(name)} - locked == set()


def test_what_is_tested_is_what_runs() -> None:
    tested = pins(lock_text("dev.txt"))
    assert {
        name: versions for name, versions in pins(lock_text("app.txt")).items() if tested.get(name) != versions
    } == {}


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_hashes(name: str) -> None:
    assert without_hash(lock_text(name)) == []


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_place(name: str) -> None:
    assert re.findall(r"\w+://\S+|^--?(?!hash)\w.*|\B/\w+/.*", lock_text(name), re.MULTILINE) == []


def test_a_lock_that_is_behind_is_noticed() -> None:
    lock = "av==16.0 \\\n    --hash=sha256:00\nrich==14.1\n"
    assert not_locked(["av>=16", "rich>=15", "typer"], lock) == ["rich>=15", "typer"]
    assert without_hash(lock) == ["rich==14.1"]
