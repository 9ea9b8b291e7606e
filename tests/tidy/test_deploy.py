"""What is deployed fits what there is: commands are understood, variables are settings, and parts name each other."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from reelstore.cli.app import app
from reelstore.config import Settings
from tests.tidy.inventory import ROOT

DEPLOY = ROOT / "deploy"
SETTINGS = {f"REELSTORE_{name.upper()}" for name in Settings.model_fields} | {"REELSTORE_URL"}


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    return found


def commands() -> list[list[str]]:
    contained = [each["command"] for each in services().values() if "command" in each]
    units = [re.findall(r"^ExecStart=/opt/reelstore/bin/reelstore (.*)$", unit.read_text(), re.MULTILINE)
             for unit in (DEPLOY / "systemd").iterdir()]  # fmt: skip
    return contained + [line.split() for (line,) in units]


def understood(words: list[str]) -> bool:
    """Parse words as the program does, and run nothing."""
    command: Any = get_command(app)
    context = command.make_context("reelstore", list(words), resilient_parsing=False)
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        _, command, words = command.resolve_command(context, rest)
        context = command.make_context(command.name, words, parent=context)
    return True


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_is_understood(words: list[str]) -> None:
    assert understood(words)


def test_a_command_that_is_not_understood_is_noticed() -> None:
    with pytest.raises(Exception, match="No such option"):
        understood(["serve", "--no-such-option"])


def test_every_variable_is_a_setting() -> None:
    given = {name for each in services().values() for name in each.get("environment", {})}
    assert {name for name in given if name.startswith("REELSTORE_")} <= SETTINGS
    asked = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    assert asked == set(re.findall(r"^(\w+)=", (DEPLOY / "example.env").read_text(), re.MULTILINE))


def test_services_and_volumes_that_are_named_are_there() -> None:
    document = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    for each in document["services"].values():
        assert each.get("depends_on", {}).keys() <= document["services"].keys()
        for volume in each.get("volumes", ()):
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in document["volumes"]
    proxied = set(re.findall(r"server (\S+):5000", (DEPLOY / "nginx" / "reelstore.conf").read_text()))
    assert proxied == {name for name in document["services"] if name.startswith("gateway-")}
    added = (DEPLOY / "add-servers.sh").read_text()
    nodes = {f"node-{number}" for number in re.findall(r"\d", added.split("for number in ")[1].split(";")[0])}
    assert nodes == {name for name in document["services"] if name.startswith("node-")}


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed (Debian: nginx-light)")
def test_nginx_understands_its_configuration(tmp_path: Path) -> None:
    configured = (DEPLOY / "nginx" / "reelstore.conf").read_text()
    site = tmp_path / "site.conf"
    site.write_text(re.sub(r"gateway-(\d)", r"127.0.0.\1", configured))
    main = tmp_path / "nginx.conf"
    main.write_text(f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off; include {site}; }}")
    tried = subprocess.run(["nginx", "-t", "-c", main], capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("unit", sorted(path.name for path in (DEPLOY / "systemd").iterdir()))
def test_systemd_understands_its_units(unit: str, tmp_path: Path) -> None:
    text = (DEPLOY / "systemd" / unit).read_text().replace("/opt/reelstore/bin/reelstore", "/bin/true")
    copy = tmp_path / unit.replace("@.", "@disk1.")
    copy.write_text(text)
    tried = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)
    assert not [line for line in tried.stderr.splitlines() if tmp_path.name in line], tried.stderr
