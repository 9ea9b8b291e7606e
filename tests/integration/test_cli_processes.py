"""What only whole processes show: signals, pipes, terminals, and `reelstore serve` itself."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from reelstore import __version__
from reelstore.cli.app import app
from reelstore.cli.exit_codes import ExitCode
from tests.integration.cli_process import COMMAND, Served, lines, on_terminal, run, served, start
from tests.unit.client import gateway as scripted

SMALL = {"REELSTORE_PARTITION_BITS": "4"}


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served("--memory", env=SMALL) as server:
        yield server


def store(url: str, name: str, body: bytes) -> str:
    answer = httpx.post(f"{url}/api/v1/videos", params={"name": name}, content=body)
    answer.raise_for_status()
    return str(answer.json()["id"])


# Client commands


def test_help_imports_nothing_that_takes_long() -> None:
    script = (
        "import sys; sys.argv = ['reelstore', '--help']\n"
        "from reelstore.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('httpx', 'pydantic', 'fastapi', 'numpy', 'av', 'sqlalchemy', 'rich') if m in sys.modules])"
    )

    out = subprocess.run([COMMAND[0], "-c", script], capture_output=True, text=True, check=True).stdout

    assert "Exit codes:" in out
    assert lines(out)[-1] == "[]"


def test_the_version_is_printed() -> None:
    assert run("--version").stdout == f"reelstore {__version__}\n"


def test_closed_outputs_are_no_error() -> None:
    closed = subprocess.run(["/bin/sh", "-c", '"$@" >&- 2>&-', "sh", *COMMAND, "--version"], check=False)
    assert closed.returncode == ExitCode.OK


def test_shells_get_their_completion() -> None:
    completed = run(env={"_REELSTORE_COMPLETE": "complete_bash", "COMP_WORDS": "reelstore ser", "COMP_CWORD": "1"})

    assert lines(completed.stdout) == ["serve", "server"]


def test_a_reader_that_leaves_is_no_error(server: Served) -> None:
    for index in range(3):
        store(server.url, f"{index}.mp4", b"x")
    reader, writer = os.pipe()
    os.close(reader)

    with os.fdopen(writer, "wb") as broken:
        result = run("ls", stdout=broken, env={"REELSTORE_URL": server.url})

    assert (result.returncode, result.stderr) == (ExitCode.BROKEN_PIPE, "")


def test_an_interrupted_upload_says_that_nothing_is_kept_and_nothing_is(server: Served) -> None:
    process = start("upload", "-", "--name", "endless.mkv", stdin=subprocess.PIPE, env={"REELSTORE_URL": server.url})
    assert process.stdin is not None
    process.stdin.write("x" * 3_000_000)
    process.stdin.flush()  # it has read most of it: more than the pipe holds
    process.send_signal(signal.SIGINT)
    with process:
        errors = process.communicate()[1]

    assert process.returncode == ExitCode.INTERRUPTED
    assert lines(errors) == ["reelstore: interrupted after 0 of 1 file; of the one that was on its way nothing is kept"]
    names = [item["name"] for item in httpx.get(f"{server.url}/api/v1/videos").json()["items"]]
    assert "endless.mkv" not in names


def test_an_interrupted_download_says_what_is_kept_and_goes_on_from_there(tmp_path: Path) -> None:
    body = os.urandom(50_000)
    arrived, ended = threading.Event(), threading.Event()

    def stall(handler: scripted.Handler) -> bool:
        head = f'HTTP/1.1 200 OK\r\nETag: "first"\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n'.encode()
        handler.wfile.write(head + body[:20_000])
        arrived.set()
        ended.wait(30)
        return False

    with scripted.running() as gateway:
        identifier = "01a2036d-2291-77c0-a3f3-05b626470553"
        gateway.add(body, id=identifier)
        gateway.fail("/content", stall)
        process = start("download", identifier, "-o", str(tmp_path), env={"REELSTORE_URL": gateway.url})
        arrived.wait(30)
        part = tmp_path / "holiday.mp4.part"
        while not (part.exists() and part.stat().st_size == 20_000):
            assert process.poll() is None
            threading.Event().wait(0.01)
        process.send_signal(signal.SIGINT)
        with process:
            errors = process.communicate()[1]
        ended.set()

        assert process.returncode == ExitCode.INTERRUPTED
        assert lines(errors) == [
            "reelstore: interrupted; what was received is kept, and the same command goes on from there"
        ]
        again = run("download", identifier, "-o", str(tmp_path), env={"REELSTORE_URL": gateway.url})

    assert again.returncode == 0
    assert gateway.asked("GET", "/content")[-1]["range"] == "bytes=20000-"
    assert (tmp_path / "holiday.mp4").read_bytes() == body


@pytest.mark.parametrize(("typed", "code", "is_kept"), [(b"n\n", 1, True), (b"y\n", 0, False), (b"\x03", 130, True)])
def test_a_purge_asks_on_a_terminal(server: Served, typed: bytes, code: int, is_kept: bool) -> None:
    identifier = store(server.url, "asked.mp4", b"abc")

    ended, shown = on_terminal(
        "rm", "--purge", identifier, prompt="[y/N]", typed=typed, env={"REELSTORE_URL": server.url}
    )

    assert "Delete asked.mp4 (3 B) for good? This cannot be undone. [y/N]" in shown
    answer = httpx.get(f"{server.url}/api/v1/videos/{identifier}")
    assert (ended, answer.status_code) == (code, 200 if is_kept else 404)
    assert ("reelstore: nothing was deleted" in shown or "reelstore: interrupted" in shown) == is_kept


def test_progress_is_drawn_on_a_terminal_and_the_result_stays_in_its_file(server: Served, tmp_path: Path) -> None:
    (tmp_path / "[red]big.mp4").write_bytes(os.urandom(5_000_000))

    with (tmp_path / "out").open("w") as out:
        code, shown = on_terminal(
            "upload", str(tmp_path / "[red]big.mp4"), stdout=out, env={"REELSTORE_URL": server.url, "TERM": "xterm"}
        )

    assert code == 0
    assert "[red]big.mp4" in shown
    assert "stored 1 video, 4.77 MiB" in shown
    assert re.fullmatch(r"[0-9a-f-]{36}  4\.77 MiB  \[red\]big\.mp4\n", (tmp_path / "out").read_text())


# serve


def test_serving_keeps_its_promise_over_a_restart_and_ends_gracefully(tmp_path: Path) -> None:
    body = os.urandom(100_000)
    with served("--data", str(tmp_path / "data"), env=SMALL) as first:
        assert f"data: {tmp_path / 'data'}\nservers: 3 of 3 up\n" in first.said
        identifier = store(first.url, "kept.mp4", body)
        second = run("serve", "--data", str(tmp_path / "data"), "--port", "0")
        assert (second.returncode, lines(second.stderr)) == (
            1,
            [f"reelstore: cannot start: the data folder {tmp_path / 'data'} is in use by another process"],
        )
        code, said = first.end(signal.SIGTERM)
        assert (code, lines(said)) == (
            0,
            ["ending: requests in progress are answered first; a second signal ends them"],
        )

    with served(env=SMALL | {"REELSTORE_DATA": str(tmp_path / "data")}) as third:
        assert httpx.get(f"{third.url}/api/v1/videos/{identifier}/content").content == body
        assert third.end(signal.SIGINT)[0] == 0


def test_a_request_in_progress_is_answered_before_the_end(server: Served) -> None:
    with served("--memory", env=SMALL) as own:
        host, port = own.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(
                b"POST /api/v1/videos?name=slow HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\n12345"
            )
            # Answered: the server is past this connection's first bytes, which came before.
            assert httpx.get(f"{own.url}/healthz").status_code == 200
            own.process.send_signal(signal.SIGTERM)
            while True:  # until it takes no more connections, so that the end has begun
                try:
                    httpx.get(f"{own.url}/healthz")
                except httpx.TransportError:
                    break
            connection.sendall(b"67890")
            assert connection.recv(65536).startswith(b"HTTP/1.1 201 ")
        assert own.process.wait() == 0


def test_a_start_with_a_folder_missing_serves_and_says_so_and_verify_finds_what_is_wrong(tmp_path: Path) -> None:
    settings = SMALL | {"REELSTORE_BACKGROUND": "false"}
    with served("--data", str(tmp_path), env=settings) as whole:
        for index in range(8):
            store(whole.url, f"{index}.mp4", os.urandom(1000))
        whole.end()
    shutil.move(tmp_path / "servers" / "disk2", tmp_path / "gone")
    for shard in (tmp_path / "servers" / "disk1").rglob("*"):
        if shard.is_file() and shard.stat().st_size == 1000:
            shard.chmod(0o600)
            shard.write_bytes(bytes(1000))

    with served("--data", str(tmp_path), env=settings) as degraded:
        assert "servers: 2 of 3 up" in degraded.said
        assert degraded.process.stderr is not None
        assert degraded.process.stderr.readline().startswith("degraded: server disk2 ")
        client = {"REELSTORE_URL": degraded.url}
        status = run("status", env=client).stdout
        verified = run("verify", *(f"{index}.mp4" for index in range(8)), env=client)
        everything = run("verify", "--all", env=client)

    assert re.search(r"^health +degraded$", status, re.MULTILINE)
    assert re.search(r"^not up +disk2: .*does not exist", status, re.MULTILINE)
    assert verified.returncode == ExitCode.PROBLEMS_FOUND
    assert re.search(r"^PROBLEM  [0-9a-f-]{36}  [01]/2 shards  \d\.mp4$", verified.stdout, re.MULTILINE)
    assert re.search(r"^ +unreachable  [0-9a-f]{16}  on disk2$", verified.stdout, re.MULTILINE)
    assert re.search(r"^ +corrupt      [0-9a-f]{16}  on disk1$", verified.stdout, re.MULTILINE)
    assert "verified 8 videos: " in verified.stderr
    assert everything.returncode == ExitCode.PROBLEMS_FOUND
    assert re.search(r"^unreachable  [0-9a-f]{16}  on disk2  \d\.mp4$", everything.stdout, re.MULTILINE)
    assert re.search(r"^corrupt      [0-9a-f]{16}  on disk1  \d\.mp4$", everything.stdout, re.MULTILINE)
    assert re.search(r"^verified .*: \d+ of 16 shards as they should be$", everything.stderr, re.MULTILINE)


def test_flags_go_before_variables_these_before_the_file_and_this_before_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "reelstore.toml"
    file.write_text(f'host = "0.0.0.0"\nfirst_servers = 2\ndata = "{tmp_path}/from-file"\npartition_bits = 4\n')
    variables = {"REELSTORE_FIRST_SERVERS": "4", "REELSTORE_DATA": f"{tmp_path}/from-variable"}

    with served("--config", str(file), "--data", f"{tmp_path}/from-flag", env=variables) as server:
        assert "listens on http://0.0.0.0:" in server.said
        assert f"data: {tmp_path}/from-flag\nservers: 4 of 4 up" in server.said
        assert server.process.stderr is not None
        assert server.process.stderr.readline().startswith("open: whoever reaches this address")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--config", "/absent.toml"), "cannot start: the configuration file /absent.toml cannot be read"),
        (("--log-level", "loud"), "cannot start: a setting cannot be used: log_level"),
        (("--memory", "--host", "192.0.2.1"), "cannot listen on port 0 of 192.0.2.1"),
        (("--memory", "--host", "no such host"), "cannot listen on no such host"),
    ],
)
def test_what_keeps_it_from_starting_is_one_line(arguments: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(app, ["serve", "--port", "0", *arguments])

    assert result.exit_code == 1
    (line,) = lines(result.stderr)
    assert line.startswith(f"reelstore: {said}")


def test_a_port_in_use_is_one_line_and_touches_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = CliRunner().invoke(app, ["serve", "--data", str(tmp_path / "data"), "--port", str(port)])

    assert result.exit_code == 1
    (line,) = lines(result.stderr)
    assert line.startswith(f"reelstore: port {port} of 127.0.0.1 is in use by another process")
    assert not (tmp_path / "data").exists()
