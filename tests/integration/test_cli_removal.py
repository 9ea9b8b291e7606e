"""`reelstore server remove` and `removal-check` against a real server with folders."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from reelstore.cli.app import app
from reelstore.cli.exit_codes import ExitCode
from tests.integration.cli_process import served

SETTINGS = {
    "REELSTORE_PARTITION_BITS": "4",
    "REELSTORE_CHUNK_SIZE_BYTES": "65536",
    "REELSTORE_FIRST_SERVERS": "4",
    "REELSTORE_PROBE_SECONDS": "0.2",
    "REELSTORE_SURVEY_SECONDS": "0.2",
}
BODY = os.urandom(2**21)
Reelstore = Callable[..., Result]


@pytest.fixture
def reelstore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reelstore]:
    with served("--data", str(tmp_path / "data"), env=SETTINGS) as server:
        monkeypatch.setenv("REELSTORE_URL", server.url)
        yield lambda *arguments, **options: CliRunner().invoke(app, [str(word) for word in arguments], **options)


def wait_until(condition: Callable[[], object]) -> None:
    while not condition():
        time.sleep(0.1)


def pull_out(folder: Path, name: str) -> None:
    """Take a server's folder away at once, whatever is being written to it."""
    (folder / "data" / "servers" / name).rename(folder / f"{name} on a shelf")


def test_a_server_is_removed_when_it_is_empty_and_a_dead_one_by_force(reelstore: Reelstore, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(BODY)
    assert reelstore("upload", film).exit_code == 0
    check = reelstore("server", "removal-check", "disk4")
    assert check.exit_code == ExitCode.PROBLEMS_FOUND
    assert re.search(r"^safe +no$", check.stdout, re.MULTILINE)
    assert "drain it first" in check.stdout

    unasked = reelstore("server", "remove", "disk4")
    assert unasked.exit_code == ExitCode.WRONG_USE
    removed = reelstore("server", "remove", "disk4", "--yes")
    assert removed.exit_code == 0, removed.stderr
    assert "applied: epoch 2, remove server disk4" in removed.stdout
    wait_until(lambda: reelstore("server", "show", "disk4").exit_code == ExitCode.NOT_FOUND)
    wait_until(lambda: not any((tmp_path / "data" / "servers" / "disk4").iterdir()))  # its place is given up at last
    assert reelstore("server", "removal-check", "disk4").exit_code == ExitCode.NOT_FOUND

    alive = reelstore("server", "remove", "disk3", "--force", "--yes")
    assert alive.exit_code == ExitCode.FAILED
    assert "answers" in alive.stderr
    pull_out(tmp_path, "disk3")
    wait_until(lambda: "server disk3 does not answer" in reelstore("server", "show", "disk3").stdout)
    forced = reelstore("server", "remove", "disk3", "--force", "--yes")
    assert forced.exit_code == 0, forced.stderr
    assert forced.stdout.splitlines()[-1] == "removed disk3, which did not answer"
    assert reelstore("download", "film.mp4", "-o", tmp_path / "back.mp4").exit_code == 0
    assert (tmp_path / "back.mp4").read_bytes() == film.read_bytes()


def test_a_loss_is_shown_and_must_be_accepted_by_name(reelstore: Reelstore, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(BODY)
    assert reelstore("upload", film).exit_code == 0
    for name in ("disk1", "disk2", "disk3"):
        pull_out(tmp_path, name)
    wait_until(lambda: reelstore("server", "list").stdout.count("unreachable") == 3)
    refused = reelstore("server", "remove", "disk1", "--force", "--yes")
    assert refused.exit_code == ExitCode.FAILED
    assert "film.mp4" in refused.stdout
    assert "add --accept-loss disk1" in refused.stderr
    assert reelstore("server", "remove", "disk1", "--accept-loss", "disk1", "--yes").exit_code == ExitCode.WRONG_USE
    assert (
        reelstore("server", "remove", "disk1", "--force", "--accept-loss", "disk2", "--yes").exit_code
        == ExitCode.WRONG_USE
    )
    accepted = reelstore(
        "server", "remove", "disk1", "--force", "--accept-loss", "disk1", "--accept-warnings", "--yes", "--json"
    )
    assert accepted.exit_code == 0, accepted.stderr
    assert json.loads(accepted.stdout)["videos_at_risk"][0]["name"] == "film.mp4"
