"""Changing the servers from the command line: a plan is shown, somebody decides, and what comes next is said."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from reelstore.cli.app import app
from reelstore.cli.exit_codes import ExitCode
from tests.integration.cli_process import Served, lines, on_terminal, served

Reelstore = Callable[..., Result]


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served("--memory", env={"REELSTORE_PARTITION_BITS": "4", "REELSTORE_BACKGROUND": "false"}) as server:
        httpx.post(f"{server.url}/api/v1/videos", params={"name": "a.mp4"}, content=os.urandom(3_000_000))
        yield server


@pytest.fixture
def reelstore(server: Served, monkeypatch: pytest.MonkeyPatch) -> Reelstore:
    """Run a command in this process; nobody is there to be asked."""
    monkeypatch.setenv("REELSTORE_URL", server.url)
    return lambda *arguments: CliRunner().invoke(app, [str(word) for word in arguments])


def epoch(server: Served) -> int:
    return int(httpx.get(f"{server.url}/api/v1/ring").json()["epoch"])


def state(server: Served, name: str) -> str:
    return str(httpx.get(f"{server.url}/api/v1/servers/{name}").json()["state"])


def document(result: Result) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_a_plan_is_shown_as_tables_applied_listed_and_reverted(reelstore: Reelstore, server: Served) -> None:
    assert reelstore("rebalance", "pause").exit_code == 0  # so that nothing has moved when it is reverted
    began = epoch(server)
    planned = reelstore(
        "ring", "plan", "--add", "extra=memory:", "--set", "extra:zone=attic", "--set", "extra:capacity=8GiB",
        "--drain", "disk1",
    )  # fmt: skip
    assert planned.exit_code == 0, planned.stderr
    shown = planned.stdout
    (plan,) = re.findall(r"^plan +([0-9a-f]{32})$", shown, re.MULTILINE)
    assert re.search(r"^does +drain server disk1, add server extra$", shown, re.MULTILINE)
    assert re.search(r"^moves +[\d.]+ [KM]iB", shown, re.MULTILINE)
    assert re.search(r"^takes +about .* at an assumed 50 MB/s$", shown, re.MULTILINE)
    assert re.search(r"^disk\d +extra +[\d.]+ [KM]iB$", shown, re.MULTILINE)
    assert re.search(r"^disk1 +draining +.*> 0.0 %  memory$", shown, re.MULTILINE)
    assert re.search(r"^extra +active +0 B \(0%\) .* 8.00 GiB +0.0 % > [\d.]+ %  attic$", shown, re.MULTILINE)
    assert re.search(r"^attic +0 +\d+ +[\d.]+ [KM]iB$", shown, re.MULTILINE)
    assert "warning: copies of one chunk may lie on one disk" in shown
    assert lines(planned.stderr) == [f"nothing is changed yet; 'reelstore ring apply {plan}' applies it"]
    assert epoch(server) == began

    applied = reelstore("ring", "apply", plan, "--yes")
    assert lines(applied.stdout)[-1] == f"applied: epoch {began + 1}, drain server disk1, add server extra"
    assert "'reelstore rebalance status --watch' follows the moves" in applied.stderr
    assert state(server, "disk1") == "draining"

    again = reelstore("ring", "apply", plan, "--yes")
    assert (again.exit_code, again.stdout) == (1, "")
    assert f"applied already: it began epoch {began + 1}" in again.stderr

    listed = reelstore("ring", "plans").stdout
    assert re.search(rf"^{plan} .* +{began} +{began + 1} +[\d.]+ [KM]iB  drain server disk1", listed, re.MULTILINE)

    reverted = reelstore("ring", "revert", "--yes")
    assert reverted.exit_code == 0, reverted.stderr
    assert re.search(r"^moves +nothing$", reverted.stdout, re.MULTILINE)
    assert "nothing has to move" in reverted.stderr
    assert (state(server, "disk1"), state(server, "extra")) == ("active", "draining")
    assert reelstore("rebalance", "resume").exit_code == 0


def test_one_server_is_changed_in_one_command(reelstore: Reelstore, server: Served) -> None:
    began = epoch(server)
    for command, after in (
        (("set", "disk3", "--zone", "cellar", "--capacity", "5GiB"), "active"),
        (("drain", "disk3"), "draining"),
        (("activate", "disk3"), "active"),
    ):
        began += 1
        plan = document(reelstore("server", *command, "--yes", "--json"))
        assert (plan["applied_epoch"], state(server, "disk3")) == (began, after)
        assert document(reelstore("ring", "plans", "--limit", "1", "--json"))["items"] == [plan]


@pytest.mark.parametrize(
    "command",
    [
        ("server", "add", "more", "memory:"),
        ("server", "drain", "disk1"),
        ("server", "drain", "disk1", "--json"),
        ("ring", "revert"),
        ("ring", "apply", "0" * 32),
    ],
)
def test_without_anybody_to_ask_nothing_is_changed_or_even_planned(
    reelstore: Reelstore, server: Served, command: tuple[str, ...]
) -> None:
    before = epoch(server), document(reelstore("ring", "plans", "--json"))
    refused = reelstore(*command)
    assert (refused.exit_code, refused.stdout) == (ExitCode.WRONG_USE, "")
    assert "add --yes" in refused.stderr
    assert before == (epoch(server), document(reelstore("ring", "plans", "--json")))


@pytest.mark.parametrize(("typed", "code", "changed"), [(b"n\n", 1, False), (b"\x03", 130, False), (b"y\n", 0, True)])
def test_on_a_terminal_the_plan_is_shown_and_asked_for(server: Served, typed: bytes, code: int, changed: bool) -> None:
    began = epoch(server)
    ended, shown = on_terminal(
        "server", "add", f"asked-{code}", "memory:", prompt="[y/N]", typed=typed, env={"REELSTORE_URL": server.url}
    )
    assert f"does   add server asked-{code}" in shown
    assert "Apply it? [y/N]" in shown
    assert (ended, epoch(server)) == (code, began + changed)
    if code == 1:
        assert re.search(r"nothing was changed; 'reelstore ring apply [0-9a-f]{32}' applies it later", shown)


def test_what_must_be_accepted_is_refused_to_scripts_and_asked_of_people() -> None:
    with served("--memory", env={"REELSTORE_FIRST_SERVERS": "2", "REELSTORE_PARTITION_BITS": "4"}) as small:
        runner = CliRunner(env={"REELSTORE_URL": small.url})
        refused = runner.invoke(app, ["server", "drain", "disk1", "--yes"])
        assert refused.exit_code == ExitCode.FAILED
        assert "must be accepted: policy default = replicated(2): 1 of 2 shards" in refused.stdout
        assert re.search(r"not applied: .*'reelstore ring apply [0-9a-f]{32} --accept-warnings'", refused.stderr)
        assert epoch(small) == 1
        ended, shown = on_terminal(
            "server", "drain", "disk1", prompt="[y/N]", typed=b"y\n", env={"REELSTORE_URL": small.url}
        )
        assert "Apply it in spite of what must be accepted? [y/N]" in shown
        assert (ended, epoch(small)) == (0, 2)
        accepted = runner.invoke(app, ["ring", "revert", "--yes", "--accept-warnings"])
        assert (accepted.exit_code, state(small, "disk1")) == (0, "active")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("plan",), ExitCode.WRONG_USE, "say what to plan"),
        (("plan", "--add", "extra"), ExitCode.WRONG_USE, "write NAME=URL"),
        (("plan", "--add", "=memory:"), ExitCode.WRONG_USE, "write NAME=URL"),
        (("plan", "--set", "disk1"), ExitCode.WRONG_USE, "write NAME:capacity=SIZE"),
        (("plan", "--set", "disk1:colour=red"), ExitCode.WRONG_USE, "write NAME:capacity=SIZE"),
        (("plan", "--set", "disk1:capacity=much"), ExitCode.WRONG_USE, "is not a size"),
        (("plan", "--set", ":zone=x"), ExitCode.WRONG_USE, "write NAME:capacity=SIZE"),
        (("plan", "--drain", "disk1", "--remove", "disk1"), ExitCode.WRONG_USE, "named twice"),
        (("plan", "--drain", "absent"), ExitCode.NOT_FOUND, "no server 'absent'"),
        (("plan", "--activate", "disk1"), ExitCode.FAILED, "active already"),
        (("apply", "nonsense", "--yes"), ExitCode.NOT_FOUND, "no plan 'nonsense'"),
        (("apply", "", "--yes"), ExitCode.WRONG_USE, "must not be empty"),
        (("revert", "--to", "99", "--yes"), ExitCode.FAILED, "no epoch 99"),
    ],
)
def test_a_mistake_is_named(reelstore: Reelstore, arguments: tuple[str, ...], code: ExitCode, words: str) -> None:
    result = reelstore("ring", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert words in result.stderr


def test_a_set_that_sets_nothing_is_a_mistake(reelstore: Reelstore) -> None:
    result = reelstore("server", "set", "disk1", "--yes")
    assert (result.exit_code, "say what to set" in result.stderr) == (ExitCode.WRONG_USE, True)


def test_policies_are_added_listed_chosen_and_made_the_default(reelstore: Reelstore, tmp_path: Path) -> None:
    for wrong in (
        [],
        ["--copies", "2", "--erasure", "2+1"],
        ["--erasure", "two+1"],
        ["--copies", 2, "--chunk-size", "?"],
    ):
        assert reelstore("policy", "add", "p", *wrong).exit_code == ExitCode.WRONG_USE
    refused = reelstore("policy", "add", "wide", "--erasure", "20+4")
    assert refused.exit_code == ExitCode.FAILED
    assert "add servers first" in refused.stderr
    added = reelstore("policy", "add", "coded", "--erasure", "2+1", "--chunk-size", "64KiB")
    assert added.stdout == "coded = erasure(2, 1): 1 of 3 servers may be lost, 1.50 bytes are stored for each\n"
    again = reelstore("policy", "add", "coded", "--copies", "2")
    assert again.exit_code == ExitCode.FAILED
    assert "never edited" in again.stderr
    assert reelstore("policy", "default", "never").exit_code == ExitCode.NOT_FOUND
    assert document(reelstore("policy", "default", "coded", "--json"))["default"] is True
    kinds = {
        policy["name"]: policy["description"] for policy in document(reelstore("policy", "list", "--json"))["items"]
    }
    assert kinds == {"coded": "erasure(2, 1)", "default": "replicated(2)"}
    assert [line.split()[:2] for line in reelstore("policy", "list").stdout.splitlines()[1:]] == [
        ["coded", "erasure(2,"],
        ["default", "replicated(2)"],
    ]
    film = tmp_path / "film.mp4"
    film.write_bytes(os.urandom(200_000))
    (uploaded,) = document(reelstore("upload", film, "--json", "--policy", "default"))["items"]
    assert uploaded["policy"] == "default"
    assert document(reelstore("upload", film, "--json"))["items"][0]["policy"] == "coded"
    shown = reelstore("ring", "show").stdout
    assert "coded = erasure(2, 1)" in shown
    assert "default = replicated(2)" in shown
    assert reelstore("policy", "default", "default").exit_code == 0
    asked = reelstore("policy", "transfer", "coded", uploaded["id"], "never.mp4")
    assert asked.exit_code == ExitCode.NOT_FOUND
    assert asked.stdout == f"asked for  {uploaded['id']}  film.mp4\n"
    (transfer,) = document(reelstore("policy", "transfers", "--json"))["items"]
    assert (transfer["policy_before"], transfer["policy"], transfer["bytes_copied"]) == ("default", "coded", 0)
    assert "film.mp4" in reelstore("policy", "transfers").stdout
    assert (
        document(reelstore("policy", "transfer", "default", uploaded["id"], "--json"))["items"][0]["policy"]
        == "default"
    )
    assert document(reelstore("policy", "transfers", "--json"))["items"] == []
