"""The scripts that people run first: they parse, choose Docker or not, and fail with one clear line."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.tidy.inventory import ROOT, repository_files

# All that the scripts may count on besides Python and Docker.
SYSTEM_PROGRAMS = ("basename", "bash", "cat", "cmp", "dirname", "flock", "id", "mkdir", "env", "uname")

FAKE_DOCKER = """#!/usr/bin/env bash
# Do as the files beside say, and write down every call.
here="$(dirname "$0")"
case "$1 $2" in
"info "*) [ -e "$here/engine" ] && cat "$here/engine" ;;
"image inspect") [ -e "$here/image" ] ;;
"container inspect") [ -e "$here/container" ] ;;
*) printf '%s\\n' "$*" >>"$here/calls" ;;
esac
"""

FAKE_REELSTORE = """#!/usr/bin/env bash
echo "pid $$"
printf '%s\\n' "$@"
"""


def executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


class Checkout:
    """A copy of the scripts, alone on a machine with nothing but the programs that the test gives it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "checkout"
        self.programs = folder / "programs"
        self.programs.mkdir(parents=True)
        for name in ("run_app.sh", "run_tests.sh", "pyproject.toml", "scripts", "requirements"):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
            (self.root / name).parent.mkdir(exist_ok=True, parents=True)
            copy(ROOT / name, self.root / name)
        for name in SYSTEM_PROGRAMS:
            if found := shutil.which(name):
                (self.programs / name).symlink_to(found)

    def install(self) -> None:
        """Pretend that an installation has ended."""
        venv = self.root / ".cache/app-venv"
        executable(venv / "bin/python", "")
        executable(venv / "bin/reelstore", FAKE_REELSTORE)
        made_from = [f"# {self.root}\n"]
        made_from += [(self.root / name).read_text() for name in ("requirements/app.txt", "pyproject.toml")]
        (venv / "recipe.txt").write_text("".join(made_from), encoding="utf-8")

    def give_docker(self, *, engine: str | None = "[]", image: bool = False, container: bool = False) -> None:
        executable(self.programs / "docker", FAKE_DOCKER)
        if engine is not None:
            (self.programs / "engine").write_text(engine + "\n", encoding="utf-8")
        for name, wanted in (("image", image), ("container", container)):
            if wanted:
                (self.programs / name).touch()

    def docker_calls(self) -> list[str]:
        calls = self.programs / "calls"
        return calls.read_text(encoding="utf-8").splitlines() if calls.exists() else []

    def run(self, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.root / script, *arguments],
            cwd=self.root.parent,
            env={"PATH": str(self.programs), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def shell_scripts() -> list[str]:
    found = []
    for path in repository_files():
        with path.open("rb") as file:
            if file.readline().rstrip() in {b"#!/usr/bin/env bash", b"#!/bin/bash", b"#!/bin/sh"}:
                found.append(str(path.relative_to(ROOT)))
    return found


def test_the_scripts_that_people_are_told_of_can_be_run() -> None:
    expected = {"run_app.sh", "run_tests.sh", ".ci/run", "scripts/environment.sh", "scripts/lock.sh"}
    assert expected <= set(shell_scripts())
    assert [name for name in shell_scripts() if not os.access(ROOT / name, os.X_OK)] == []


@pytest.mark.parametrize("name", shell_scripts())
def test_shell_scripts_parse(name: str) -> None:
    subprocess.run(["bash", "-n", ROOT / name], check=True)


def test_docker_builds_the_image_once_and_publishes_on_loopback_only(checkout: Checkout) -> None:
    checkout.give_docker()
    result = checkout.run("run_app.sh", "--log-level", "debug")
    assert result.returncode == 0, result.stderr
    build, run = checkout.docker_calls()
    assert build == f"build --tag reelstore {checkout.root}"
    assert "--publish 127.0.0.1:5000:5000" in run
    assert "--name reelstore" in run
    assert "--rm" in run
    assert "--tty" not in run
    assert "--mount type=volume,source=reelstore-data,target=/data" in run
    assert run.endswith("reelstore serve --host 0.0.0.0 --port 5000 --data /data --log-level debug")
    assert "running in Docker" in result.stderr


def test_docker_does_not_build_an_image_that_exists_unless_asked(checkout: Checkout) -> None:
    checkout.give_docker(image=True)
    checkout.run("run_app.sh")
    assert [call.split()[0] for call in checkout.docker_calls()] == ["run"]
    checkout.run("run_app.sh", "--build")
    assert [call.split()[0] for call in checkout.docker_calls()] == ["run", "build", "run"]


@pytest.mark.parametrize(
    ("engine", "user"), [("[name=seccomp]", f"{os.getuid()}:{os.getgid()}"), ("[name=rootless]", "0:0")]
)
def test_docker_mounts_a_data_folder_for_whoever_owns_it(checkout: Checkout, engine: str, user: str) -> None:
    checkout.give_docker(engine=engine, image=True)
    checkout.run("run_app.sh", "--data", "my videos", "--port=5099")
    (run,) = checkout.docker_calls()
    folder = checkout.root.parent / "my videos"
    assert folder.is_dir()
    assert f"--mount type=bind,source={folder},target=/data" in run
    assert f"--user {user}" in run
    assert "--publish 127.0.0.1:5099:5000" in run


def test_docker_hands_settings_on_and_nothing_else(checkout: Checkout) -> None:
    checkout.give_docker(image=True)
    checkout.run("run_app.sh", REELSTORE_LOG="x", REELSTORE_IMAGE="reelstore:2", REELSTORE_PORT="5001", OTHER="x")
    (run,) = checkout.docker_calls()
    assert run.count("--env") == 1
    assert "--env REELSTORE_LOG " in run
    assert " reelstore:2 serve " in run
    assert "--publish 127.0.0.1:5001:5000" in run


def test_docker_mounts_the_settings_file(checkout: Checkout) -> None:
    checkout.give_docker(image=True)
    checkout.run("run_app.sh", "--config", "settings.toml")
    checkout.run("run_app.sh", REELSTORE_CONFIG=str(checkout.root.parent / "settings.toml"))
    by_option, by_variable = checkout.docker_calls()
    mount = f"--mount type=bind,source={checkout.root.parent}/settings.toml,target=/etc/reelstore.toml,readonly"
    assert f"{mount} --env REELSTORE_CONFIG=/etc/reelstore.toml " in by_option
    assert by_option == by_variable


def test_docker_leaves_a_container_that_exists_alone(checkout: Checkout) -> None:
    checkout.give_docker(image=True, container=True)
    result = checkout.run("run_app.sh")
    assert result.returncode != 0
    assert "there is a container named reelstore already" in result.stderr
    assert checkout.docker_calls() == []


def test_without_an_engine_the_server_runs_locally(checkout: Checkout) -> None:
    checkout.install()
    checkout.give_docker(engine=None)
    result = checkout.run("run_app.sh")
    assert "no Docker engine answers" in result.stderr
    assert result.stdout.splitlines()[1:] == ["serve", "--data", str(checkout.root / "data")]


def test_asked_for_docker_without_an_engine_it_fails(checkout: Checkout) -> None:
    checkout.install()
    result = checkout.run("run_app.sh", "--docker")
    assert result.returncode != 0
    assert result.stdout == ""


def test_asked_for_a_local_run_it_does_not_touch_docker(checkout: Checkout) -> None:
    checkout.install()
    checkout.give_docker()
    result = checkout.run("run_app.sh", "--local", "--port", "5099", "--data", "my videos", "--", "--port", "1 2")
    assert result.stdout.splitlines()[1:] == [
        *("serve", "--port", "5099", "--data", str(checkout.root.parent / "my videos")),
        *("--port", "1 2"),
    ]
    assert checkout.docker_calls() == []
    assert "--local" in result.stderr


def test_the_server_takes_the_place_of_the_script_so_that_signals_reach_it(checkout: Checkout) -> None:
    checkout.install()
    process = subprocess.Popen(
        [checkout.root / "run_app.sh", "--local"],
        env={"PATH": str(checkout.programs)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    output, _ = process.communicate()
    assert output.startswith(f"pid {process.pid}\n")


@pytest.mark.parametrize("changed", ["requirements/app.txt", "pyproject.toml"])
def test_an_environment_made_from_something_else_is_made_anew(checkout: Checkout, changed: str) -> None:
    checkout.install()
    with (checkout.root / changed).open("a") as file:
        file.write("# changed\n")
    result = checkout.run("run_app.sh", "--local")
    assert result.returncode != 0
    assert "there is no Python 3.11 or newer" in result.stderr


@pytest.mark.parametrize("script", ["run_app.sh", "run_tests.sh"])
def test_an_old_python_is_refused_in_one_line(checkout: Checkout, script: str) -> None:
    executable(checkout.programs / "python3", '#!/usr/bin/env bash\ncase "$2" in *exit*) exit 1 ;; esac\necho 3.9\n')
    result = checkout.run(script)
    assert result.returncode != 0
    assert result.stderr.splitlines()[-1].startswith("reelstore: there is no Python 3.11 or newer")


def test_a_python_that_cannot_make_environments_names_the_package_to_install(checkout: Checkout) -> None:
    executable(
        checkout.programs / "python3", '#!/usr/bin/env bash\ncase "$2" in *ensurepip*) exit 1 ;; esac\necho 3.12\n'
    )
    result = checkout.run("run_app.sh", "--local")
    assert result.returncode != 0
    assert result.stderr.splitlines()[-1].endswith("install the system package python3.12-venv")


@pytest.mark.parametrize("arguments", [("--port",), ("--port", "x"), ("--port=5 5",), ("--data",)])
def test_a_wrong_option_is_refused_before_anything_runs(checkout: Checkout, arguments: tuple[str, ...]) -> None:
    checkout.install()
    result = checkout.run("run_app.sh", "--local", *arguments)
    assert result.returncode != 0
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


@pytest.mark.parametrize("script", ["run_app.sh", "run_tests.sh"])
def test_help_needs_nothing(checkout: Checkout, script: str) -> None:
    result = checkout.run(script, "--help")
    assert result.returncode == 0
    assert result.stdout.startswith(f"Usage: ./{script}")
