"""Events, fill and status from the command line, against real gateways."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from reelstore.cli.app import app
from reelstore.cli.exit_codes import ExitCode
from tests.integration.cli_process import lines, served, start

Reelstore = Callable[..., Result]
SETTINGS = {"REELSTORE_PARTITION_BITS": "4"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served("--memory", env=SETTINGS | {"REELSTORE_USAGE_SAMPLE_SECONDS": "0.2"}) as server:
        yield server.url


@pytest.fixture
def reelstore(url: str, monkeypatch: pytest.MonkeyPatch) -> Reelstore:
    monkeypatch.setenv("REELSTORE_URL", url)
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


def store(url: str, name: str, body: bytes = b"x") -> str:
    answer = httpx.post(f"{url}/api/v1/videos", params={"name": name}, content=body)
    return str(answer.raise_for_status().json()["id"])


def test_events_are_shown_the_latest_last_and_found_by_kind_and_subject(reelstore: Reelstore, url: str) -> None:
    first = store(url, "a\x1b[31m.mp4".replace("\x1b", "\u202e"))
    second = store(url, "b.mp4")
    httpx.delete(f"{url}/api/v1/videos/{second}", params={"purge": "true"}).raise_for_status()
    shown = lines(reelstore("events", "--limit", "3").stdout)
    assert [line.split("  ")[1].strip() for line in shown] == ["video.stored", "video.stored", "video.purged"]
    assert shown[0].endswith("stored a\\u202e[31m.mp4")
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  ", shown[0])
    assert len(lines(reelstore("events", "--subject", second).stdout)) == 2
    (only,) = lines(reelstore("events", "--subject", second, "--kind", "video.purged").stdout)
    assert only.endswith("purged b.mp4")
    document = json.loads(reelstore("events", "--json", "--subject", first).stdout)
    assert [(item["kind"], item["subject"]) for item in document["items"]] == [("video.stored", first)]


def test_nothing_of_a_kind_and_a_kind_that_is_none_are_told_apart(reelstore: Reelstore) -> None:
    nothing = reelstore("events", "--kind", "clock.jumped")
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert "nothing" in nothing.stderr
    wrong = reelstore("events", "--kind", "video.eaten")
    assert wrong.exit_code == 1
    assert "video.stored" in wrong.stderr  # it says which there are


def test_following_goes_on_over_a_restart_without_losing_or_repeating_an_event(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = str(reserved.getsockname()[1])
    arguments = ("--data", str(tmp_path), "--port", port)
    with served(*arguments, env=SETTINGS) as first:
        known = store(first.url, "0.mp4")
        follower = start("events", "--follow", "--json", "--kind", "video.stored", env={"REELSTORE_URL": first.url})
        with follower:
            assert follower.stdout is not None
            read = follower.stdout.readline
            subjects = [json.loads(read())["subject"]]
            expected = [known, store(first.url, "1.mp4")]
            subjects.append(json.loads(read())["subject"])
            first.end()
            with served(*arguments, env=SETTINGS) as second:
                expected += [store(second.url, f"{index}.mp4") for index in (2, 3)]
                subjects += [json.loads(read())["subject"] for _ in range(2)]
            follower.send_signal(signal.SIGINT)
            assert follower.wait() == ExitCode.INTERRUPTED
    assert subjects == expected


def test_the_fill_is_a_table_with_a_forecast(reelstore: Reelstore) -> None:
    shown = lines(reelstore("capacity").stdout)
    assert " ".join(shown[0].split()) == "SERVER USED CAPACITY FULL FREE HEADROOM A DAY DAYS LEFT STATE"
    assert [line.split()[0] for line in shown[1:5]] == ["disk1", "disk2", "disk3", "all"]
    assert "of video still fit" in shown[-1]
    document = json.loads(reelstore("capacity", "--json").stdout)
    assert document["usable_bytes"] > 0
    assert document["samples"]


def test_status_tells_what_was_freed_and_what_still_fits(reelstore: Reelstore, url: str) -> None:
    identifier = store(url, "gone.mp4", b"y" * 5000)
    httpx.delete(f"{url}/api/v1/videos/{identifier}", params={"purge": "true"}).raise_for_status()
    shown = reelstore("status").stdout
    assert re.search(r"^forecast +\S+ \S+ of video still fit; ", shown, re.MULTILINE)
    assert re.search(r"^freed .*\d+ purged videos?$", shown, re.MULTILINE)
    assert not re.search(r"^lost ", shown, re.MULTILINE)
