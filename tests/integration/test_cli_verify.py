"""Verifying everything, and the quarantine, from the command line: against a real gateway that repairs."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from reelstore.cli import verify
from reelstore.cli.app import app
from reelstore.cli.exit_codes import ExitCode
from tests.integration.cli_process import lines, on_terminal, served

Reelstore = Callable[..., Result]
SETTINGS = {
    "REELSTORE_PARTITION_BITS": "4",
    "REELSTORE_CHUNK_SIZE_BYTES": "4096",
    "REELSTORE_SURVEY_SECONDS": "10000",  # so that nothing is found but by what the tests do
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with served("--data", str(folder), env=SETTINGS) as server:
        while not is_at_rest(server.url):
            time.sleep(0.1)
        yield server.url


def is_at_rest(url: str) -> bool:
    """Tell whether the first survey and the first scrub are over."""
    with httpx.Client(base_url=f"{url}/api/v1") as http:
        is_due = http.get("/health").json()["scrub"]["partitions_due"] > 0
        return not is_due and bool(http.get("/rebalance").json()["state"] == "idle")


@pytest.fixture
def reelstore(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reelstore]:
    """Run a command in this process, against a server without videos."""
    monkeypatch.setenv("REELSTORE_URL", url)
    yield lambda *arguments, **options: CliRunner().invoke(app, [str(word) for word in arguments], **options)
    with httpx.Client(base_url=f"{url}/api/v1") as http:
        for video in http.get("/videos", params={"limit": 1000}).json()["items"]:
            http.delete(f"/videos/{video['id']}", params={"purge": "true"}).raise_for_status()
    while any(shards(folder, server) for server in ("disk1", "disk2", "disk3")):
        time.sleep(0.1)


def store(url: str, name: str, chunks: int) -> None:
    httpx.post(f"{url}/api/v1/videos", params={"name": name}, content=os.urandom(4096 * chunks)).raise_for_status()


def shards(folder: Path, server: str) -> list[Path]:
    return sorted(path for path in (folder / "servers" / server / "shards").rglob("*") if path.is_file())


def spoil(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(bytes(4096))


def document(result: Result) -> Any:
    return json.loads(result.stdout)


def test_all_is_well(reelstore: Reelstore, url: str) -> None:
    store(url, "a.mp4", 10)
    result = reelstore("verify", "--all")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "verified 80.0 KiB: 20 of 20 shards as they should be" in result.stderr
    found = document(reelstore("verify", "--all", "--json"))
    assert found == {
        "shards_total": 20,
        "shards_ok": 20,
        "shards_moving": 0,
        "shards_bytes": 20 * 4096,
        "problems": [],
        "problems_truncated": False,
        "complete": True,
        "next_cursor": None,
    }


def test_what_is_wrong_is_listed_repaired_waited_for_and_looked_at_in_quarantine(
    reelstore: Reelstore, url: str, folder: Path
) -> None:
    store(url, "exe\u202e4pm.mp4", 10)
    bad, *_, gone = shards(folder, "disk1")  # of two partitions: one is repaired as soon as it is met
    spoil(bad)
    gone.unlink()

    first = reelstore("verify", "--all", "--repair-wait")

    assert first.exit_code == 0, first.stderr
    assert re.search(r"^corrupt      [0-9a-f]{16}  on disk1  exe\\u202e4pm.mp4$", first.stdout, re.MULTILINE)
    assert re.search(r"^missing      [0-9a-f]{16}  on disk1  exe\\u202e4pm.mp4$", first.stdout, re.MULTILINE)
    assert "18 of 20 shards" in first.stderr
    assert "20 of 20 shards" in first.stderr
    listed = reelstore("quarantine", "list")
    assert lines(listed.stdout)[0].split() == ["SET", "ASIDE", "SERVER", "SIZE", "CHUNK", "VIDEOS"]
    assert re.search(r"disk1 +4.00 KiB  [0-9a-f]{16}  exe\\u202e4pm.mp4$", listed.stdout, re.MULTILINE)
    (copy,) = document(reelstore("quarantine", "list", "--json"))["items"]
    assert (folder / "servers" / "disk1" / "quarantine" / copy["id"]).read_bytes() == bytes(4096)
    assert "dropped 0 copies" in reelstore("quarantine", "empty", "--older-than", "1h", "--yes").stdout
    assert "dropped 1 copy, 4.00 KiB" in reelstore("quarantine", "empty", "--yes").stdout
    assert "nothing is in quarantine" in reelstore("quarantine", "list").stderr


def test_a_cursor_that_is_none_is_refused_in_one_line(reelstore: Reelstore) -> None:
    result = reelstore("verify", "--all", "--cursor", "x", "--json")
    assert (result.exit_code, result.stdout) == (ExitCode.FAILED, "")
    (line,) = lines(result.stderr)
    assert line.startswith("reelstore: the cursor is not one")


def test_a_video_is_verified_once_more_after_its_repair(reelstore: Reelstore, url: str, folder: Path) -> None:
    store(url, "a.mp4", 4)
    spoil(shards(folder, "disk2")[0])
    result = reelstore("verify", "a.mp4", "--repair-wait")
    assert result.exit_code == 0, result.stderr
    assert "waiting for repair" in result.stderr
    assert "8/8 shards" in result.stdout


def test_more_problems_than_fit_are_counted_and_in_json_they_all_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "_PROBLEMS_SHOWN_MAX", 2)
    with served("--data", str(tmp_path), env=SETTINGS | {"REELSTORE_BACKGROUND": "false"}) as server:
        store(server.url, "a.mp4", 12)
        for path in shards(tmp_path, "disk1")[:5]:
            path.unlink()
        command = ["verify", "--all", "--url", server.url]
        found = CliRunner().invoke(app, command)
        assert (found.exit_code, len(lines(found.stdout))) == (ExitCode.PROBLEMS_FOUND, 2)
        assert "and 3 more problems" in found.stderr
        assert len(document(CliRunner().invoke(app, [*command, "--json"]))["problems"]) == 5


def test_a_terminal_shows_a_bar_and_another_command_goes_on_from_a_cursor(reelstore: Reelstore, url: str) -> None:
    store(url, "a.mp4", 600)
    total = document(reelstore("verify", "--all", "--json"))["shards_total"]
    with httpx.Client(base_url=f"{url}/api/v1") as http:
        first = http.post("/verify", json={"seconds": 1e-6}).json()
    assert first["next_cursor"]
    code, shown = on_terminal("verify", "--all", "--cursor", first["next_cursor"], env={"REELSTORE_URL": url})
    rest = int(re.search(r"of ([\d,]+) shards", shown)[1].replace(",", ""))  # type: ignore[index]  # else it fails
    assert (code, rest) == (0, total - first["shards_total"])


def test_ctrl_c_says_how_to_go_on(reelstore: Reelstore, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store(url, "a.mp4", 600)
    seen: list[object] = []
    add = verify._Findings.add

    def add_and_interrupt(findings: verify._Findings, found: Any) -> Any:
        seen.append(found)
        if len(seen) == 2:
            signal.raise_signal(signal.SIGINT)
        return add(findings, found)

    monkeypatch.setattr(verify._Findings, "add", add_and_interrupt)
    monkeypatch.setattr(verify, "_SLICE_SECONDS", 1e-6)
    result = reelstore("verify", "--all", "--json")
    assert result.exit_code == ExitCode.INTERRUPTED
    cursor = document(result)["next_cursor"]
    assert not document(result)["complete"]
    assert f"'reelstore verify --all --cursor {cursor}' goes on from there" in result.stderr


def test_a_repair_that_cannot_go_on_is_not_waited_for(reelstore: Reelstore, url: str, folder: Path) -> None:
    store(url, "a.mp4", 1)
    for server in ("disk1", "disk2", "disk3"):
        for shard in shards(folder, server):
            spoil(shard)
    result = reelstore("verify", "--all", "--repair-wait")
    assert result.exit_code == ExitCode.PROBLEMS_FOUND
    assert "repair is blocked: lost: 1 chunk on no server" in result.stderr
