"""Moving and mending from the command line: how far they are, paused, resumed, limited, and used in a wrong way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import httpx
import pytest
from typer.testing import CliRunner, Result

from reelstore.cli.app import app
from reelstore.cli.exit_codes import ExitCode
from tests.integration.cli_process import lines, run, served

Reelstore = Callable[..., Result]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served("--memory", env={"REELSTORE_PARTITION_BITS": "4"}) as server:
        yield server.url


@pytest.fixture
def reelstore(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reelstore]:
    monkeypatch.setenv("REELSTORE_URL", url)
    yield lambda *arguments: CliRunner().invoke(app, ["rebalance", *arguments])
    nothing = {"paused": False, "bytes_per_second": None, "concurrency": None}
    httpx.patch(f"{url}/api/v1/rebalance", json=nothing).raise_for_status()


def fields(result: Result) -> dict[str, str]:
    """Return what is shown, by its label; more lines of a field are left out."""
    shown = (line.split(maxsplit=1) for line in lines(result.stdout) if not line.startswith(" "))
    return {words[0]: words[1] for words in shown if len(words) == 2}


def test_a_pause_shows_and_holds_until_it_is_resumed(reelstore: Reelstore) -> None:
    paused = reelstore("pause")
    assert paused.exit_code == 0
    assert fields(paused)["state"] == "paused"
    status = reelstore("status")
    assert status.exit_code == ExitCode.HELD_UP
    assert fields(status)["reasons"].startswith("paused since 20")
    watched = reelstore("status", "--watch")
    assert (watched.exit_code, len(lines(watched.stdout))) == (ExitCode.HELD_UP, 1)
    resumed = reelstore("resume", "--json")
    assert (resumed.exit_code, json.loads(resumed.stdout)["paused"]) == (0, False)
    assert reelstore("status").exit_code == 0


def test_limits_show_and_what_is_not_given_stays(reelstore: Reelstore) -> None:
    shown = fields(reelstore("limit", "--bandwidth", "50MiB/s", "--concurrency", "1"))
    assert "50.0 MiB/s" in shown.values()
    assert any(value.endswith("1 shard") for value in shown.values())
    document = json.loads(reelstore("limit", "--bandwidth", "1GB", "--json").stdout)
    assert (document["bytes_per_second"], document["concurrency"]) == (10**9, 1)
    document = json.loads(reelstore("limit", "--no-limit", "--concurrency", "3", "--json").stdout)
    assert (document["bytes_per_second"], document["concurrency"]) == (None, 3)
    assert json.loads(reelstore("limit", "--no-limit", "--json").stdout)["concurrency"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--no-limit"),
        (("--concurrency", "0"), "--concurrency"),
        (("--concurrency", "-1"), "--concurrency"),
        (("--concurrency", "many"), "--concurrency"),
        (("--concurrency", "65"), "concurrency"),
        (("--bandwidth", "fast"), "--bandwidth"),
        (("--bandwidth", "-5MiB"), "--bandwidth"),
        (("--bandwidth", "1KiB"), "bytes_per_second"),
        (("--bandwidth", "9999EiB"), "bytes_per_second"),
    ],
)
def test_a_limit_that_is_none_is_a_wrong_use_and_changes_nothing(
    reelstore: Reelstore, url: str, arguments: tuple[str, ...], said: str
) -> None:
    before = httpx.get(f"{url}/api/v1/rebalance").json()
    wrong = reelstore("limit", *arguments)
    assert (wrong.exit_code, wrong.stdout) == (ExitCode.WRONG_USE, "")
    assert said in wrong.stderr
    assert "Traceback" not in wrong.stderr
    after = httpx.get(f"{url}/api/v1/rebalance").json()
    assert all(after[key] == before[key] for key in ("paused", "bytes_per_second", "concurrency"))


def test_without_a_server_there_is_one_line_that_says_so() -> None:
    for arguments in (("status",), ("pause",), ("limit", "--no-limit")):
        ended = run("rebalance", *arguments, "--url", "http://127.0.0.1:1")
        assert (ended.returncode, ended.stdout) == (ExitCode.UNREACHABLE, "")
        assert "reelstore serve" in ended.stderr
