"""Client commands against a real server in memory."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import httpx
import pytest
from typer.testing import CliRunner, Result

from reelstore.cli.app import app
from reelstore.cli.exit_codes import ExitCode
from tests.integration.cli_process import lines, run, served

BODY = os.urandom(300_000)
Reelstore = Callable[..., Result]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served("--memory", env={"REELSTORE_PARTITION_BITS": "4"}) as server:
        yield server.url


@pytest.fixture
def reelstore(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reelstore]:
    """Run a command in this process, against a server without videos."""
    monkeypatch.setenv("REELSTORE_URL", url)
    yield lambda *arguments, **options: CliRunner().invoke(app, [str(word) for word in arguments], **options)
    with httpx.Client(base_url=f"{url}/api/v1") as http:
        for state in ("stored", "trashed"):
            for video in http.get("/videos", params={"state": state, "limit": 1000}).json()["items"]:
                http.delete(f"/videos/{video['id']}", params={"purge": "true"}).raise_for_status()


@pytest.fixture
def holiday(tmp_path: Path) -> Path:
    path = tmp_path / "holiday.mp4"
    path.write_bytes(BODY)
    return path


def document(result: Result) -> Any:
    """Return the JSON that is all of a command's standard output."""
    return json.loads(result.stdout)


def test_a_file_goes_in_is_listed_and_comes_back_byte_for_byte(
    reelstore: Reelstore, holiday: Path, tmp_path: Path
) -> None:
    stored = reelstore("upload", holiday, "--title", "Holiday", "--tag", "sea", "--tag", "2026")
    assert stored.exit_code == 0, stored.stderr
    (line,) = lines(stored.stdout)
    identifier, *_, name = line.split()
    assert name == "holiday.mp4"
    assert "stored 1 video, 293 KiB" in stored.stderr

    listed = lines(reelstore("ls", "--tag", "sea").stdout)
    assert listed[0].split() == ["ID", "SIZE", "STATE", "CREATED", "NAME"]
    assert listed[1].startswith(identifier)

    shown = reelstore("show", "holiday.mp4", "--placement").stdout
    assert re.search(r"^tags +sea, 2026$", shown, re.MULTILINE)
    assert re.search(r"^ +0 +0 +293 KiB  [0-9a-f]{16}  disk\d disk\d$", shown, re.MULTILINE)

    fetched = reelstore("download", "holiday.mp4", "-o", tmp_path / "copy.mp4")
    assert fetched.exit_code == 0, fetched.stderr
    assert lines(fetched.stdout) == [str(tmp_path / "copy.mp4")]
    assert "every byte checked" in fetched.stderr
    assert (tmp_path / "copy.mp4").read_bytes() == BODY


def test_a_folder_gives_its_media_files_named_by_their_paths(reelstore: Reelstore, tmp_path: Path) -> None:
    for name in ("b/2.MKV", "b/1.mp4", "notes.txt", ".hidden.mp4", ".trash/c.mp4", "a.webm"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "loop").symlink_to(tmp_path)

    stored = reelstore("upload", tmp_path, "--json")
    assert [item["name"] for item in document(stored)["items"]] == ["a.webm", "b/1.mp4", "b/2.MKV"]

    everything = document(reelstore("upload", tmp_path, "--all", "--json"))["items"]
    hidden = {".hidden.mp4", ".trash/c.mp4"}
    assert {item["name"] for item in everything} == {"a.webm", "b/1.mp4", "b/2.MKV", "notes.txt"} | hidden


def test_one_file_that_fails_does_not_keep_the_others_and_is_named(
    reelstore: Reelstore, holiday: Path, tmp_path: Path
) -> None:
    hostile = tmp_path / "line\nfeed.mp4"
    hostile.write_bytes(b"x")
    absent = tmp_path / "absent.mp4"

    result = reelstore("upload", hostile, holiday, absent, "--json")

    assert result.exit_code == ExitCode.FAILED
    answer = document(result)
    assert [item["name"] for item in answer["items"]] == ["holiday.mp4"]
    assert [failure["subject"] for failure in answer["failed"]] == [str(hostile), str(absent)]
    assert f"reelstore: {absent}: No such file or directory" in result.stderr
    assert "line\\nfeed.mp4: name must not hold control characters" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_folder_without_media_is_a_failure_that_says_what_to_do(reelstore: Reelstore, tmp_path: Path) -> None:
    result = reelstore("upload", tmp_path)

    assert result.exit_code == ExitCode.FAILED
    assert "--all takes every file" in result.stderr


def test_a_folder_that_cannot_be_read_is_named(
    reelstore: Reelstore, holiday: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = holiday.parent / "locked"
    locked.mkdir()
    scandir = os.scandir

    def refuse(path: str) -> Any:  # root, as which tests may run, is refused nothing
        if str(path) == str(locked):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)

    result = reelstore("upload", holiday.parent, "--json")

    assert result.exit_code == ExitCode.FAILED
    assert [item["name"] for item in document(result)["items"]] == ["holiday.mp4"]
    assert f"reelstore: {locked}: Permission denied" in result.stderr


def test_standard_input_is_stored_under_the_name_given(reelstore: Reelstore) -> None:
    assert reelstore("upload", "-", input=BODY).exit_code == ExitCode.WRONG_USE

    result = reelstore("upload", "-", "--name", "piped.mkv", "--json", input=BODY)

    (item,) = document(result)["items"]
    assert (item["name"], item["size_bytes"]) == ("piped.mkv", len(BODY))


def test_a_name_for_several_files_is_wrong_use(reelstore: Reelstore, holiday: Path) -> None:
    assert reelstore("upload", holiday, holiday, "--name", "x").exit_code == ExitCode.WRONG_USE
    assert document(reelstore("ls", "--json"))["items"] == []


def test_a_name_that_two_videos_have_names_neither(reelstore: Reelstore, holiday: Path) -> None:
    reelstore("upload", holiday, holiday)

    result = reelstore("show", "holiday.mp4")

    assert result.exit_code == ExitCode.FAILED
    assert "2 videos are named holiday.mp4; name one by its id" in result.stderr


def test_a_name_in_the_trash_is_another_than_the_same_name_outside(reelstore: Reelstore, holiday: Path) -> None:
    reelstore("upload", holiday)
    reelstore("rm", "holiday.mp4")
    reelstore("upload", holiday)

    assert reelstore("restore", "holiday.mp4").exit_code == 0
    assert len(document(reelstore("ls", "--json"))["items"]) == 2


def test_a_name_is_taken_exactly(reelstore: Reelstore, holiday: Path) -> None:
    reelstore("upload", holiday, "--name", "holiday.mp4 (copy)")

    for command in ("show", "download", "rm", "restore", "verify"):
        result = reelstore(command, "holiday.mp4")
        assert result.exit_code == ExitCode.NOT_FOUND
        assert "no video has the id or the name holiday.mp4" in result.stderr


@pytest.mark.parametrize("command", ["show", "download", "rm", "restore", "verify"])
def test_an_id_that_is_not_there_is_not_found(reelstore: Reelstore, command: str) -> None:
    result = reelstore(command, "00000000-0000-7000-8000-000000000000")

    assert result.exit_code == ExitCode.NOT_FOUND
    assert lines(result.stderr)[0].startswith("reelstore: there is no video")


def test_a_video_goes_to_the_trash_comes_back_and_is_purged(reelstore: Reelstore, holiday: Path) -> None:
    reelstore("upload", holiday)
    assert reelstore("rm", "holiday.mp4").exit_code == 0
    assert document(reelstore("ls", "--json"))["items"] == []
    (trashed,) = document(reelstore("ls", "--state", "trashed", "--json"))["items"]
    assert reelstore("restore", trashed["id"]).exit_code == 0

    asked = reelstore("rm", "holiday.mp4", "--purge")
    assert asked.exit_code == ExitCode.WRONG_USE
    assert "add --yes" in asked.stderr
    assert reelstore("show", "holiday.mp4").exit_code == 0

    purged = reelstore("rm", "holiday.mp4", "--purge", "--yes")
    assert "freed 293 KiB" in purged.stdout
    assert reelstore("show", trashed["id"]).exit_code == ExitCode.NOT_FOUND


def test_json_is_the_answer_of_the_api(reelstore: Reelstore, holiday: Path, url: str) -> None:
    reelstore("upload", holiday)

    with httpx.Client(base_url=f"{url}/api/v1") as http:
        (video,) = http.get("/videos").json()["items"]
        assert document(reelstore("ls", "--json")) == http.get("/videos").json()
        assert document(reelstore("show", "holiday.mp4", "--json")) == video
        places = http.get(f"/videos/{video['id']}/placement").json()["items"]
        assert document(reelstore("show", video["id"], "--placement", "--json")) == video | {"placement": places}
        assert document(reelstore("server", "list", "--json")) == http.get("/servers").json()
        assert document(reelstore("server", "show", "disk1", "--json")) == http.get("/servers/disk1").json()
        status = document(reelstore("status", "--json"))
        assert status["health"].keys() == http.get("/health").json().keys()
        assert status["rebalance"].keys() == http.get("/rebalance").json().keys()
        (ring,) = document(reelstore("ring", "show", "--json"))["items"]
        assert {"policy", "epoch", "partition_bits", "servers", "balance"} <= ring.keys()
        (verified,) = document(reelstore("verify", video["id"], "--json"))["items"]
        assert (verified["id"], verified["shards_ok"], verified["problems"]) == (video["id"], 2, [])
        assert document(reelstore("quarantine", "list", "--json")) == http.get("/quarantine").json()
        (trashed,) = document(reelstore("rm", video["id"], "--json"))["items"]
        assert trashed == http.get(f"/videos/{video['id']}").json()
        (restored,) = document(reelstore("restore", video["id"], "--json"))["items"]
        assert restored["state"] == "stored"
        (purged,) = document(reelstore("rm", video["id"], "--purge", "-y", "--json"))["items"]
        assert purged == {"id": video["id"], "size_bytes": len(BODY), "freed_bytes": len(BODY)}


def test_a_long_list_ends_at_its_limit_and_goes_on_from_its_cursor(reelstore: Reelstore, tmp_path: Path) -> None:
    for index in range(5):
        (tmp_path / f"{index}.mp4").write_bytes(b"x")
    reelstore("upload", tmp_path)

    first = reelstore("ls", "--sort", "name", "--limit", "2", "--json")
    page = document(first)
    rest = document(reelstore("ls", "--sort", "name", "--cursor", page["next_cursor"], "--json"))
    assert [item["name"] for item in page["items"] + rest["items"]] == [f"{index}.mp4" for index in range(5)]
    assert "--all lists all" in reelstore("ls", "--limit", "2").stderr
    assert len(lines(reelstore("ls", "--all", "--limit", "2").stdout)) == 6


def test_hostile_names_are_printed_so_that_they_do_nothing(reelstore: Reelstore, holiday: Path) -> None:
    for name in ("[bold]x[/bold]", "exe\u202e4pm.mp4"):
        reelstore("upload", holiday, "--name", name)

    for arguments in (
        ("ls",),
        ("show", "exe\u202e4pm.mp4"),
        ("verify", "exe\u202e4pm.mp4"),
        ("rm", "exe\u202e4pm.mp4"),
    ):
        out = reelstore(*arguments).stdout
        assert "exe\\u202e4pm.mp4" in out
        assert "\u202e" not in out
    assert "[bold]x[/bold]" in reelstore("ls").stdout


def test_a_video_whose_name_is_a_path_stays_in_the_folder(reelstore: Reelstore, holiday: Path, tmp_path: Path) -> None:
    reelstore("upload", holiday, "--name", "../../etc/passwd")

    result = reelstore("download", "../../etc/passwd", "-o", f"{tmp_path}/out/")

    assert lines(result.stdout) == [str(tmp_path / "out" / "_._.._etc_passwd")]


def test_a_download_does_not_replace_a_file_unasked(reelstore: Reelstore, holiday: Path, tmp_path: Path) -> None:
    reelstore("upload", holiday)
    target = tmp_path / "copy.mp4"
    target.write_text("precious")

    refused = reelstore("download", "holiday.mp4", "-o", target)
    assert refused.exit_code == ExitCode.FAILED
    assert "--overwrite replaces it" in refused.stderr
    assert target.read_text() == "precious"

    assert reelstore("download", "holiday.mp4", "-o", target, "--overwrite").exit_code == 0
    assert target.read_bytes() == BODY


def test_several_downloads_need_a_folder(reelstore: Reelstore, holiday: Path) -> None:
    result = reelstore("download", "a", "b", "-o", holiday)

    assert result.exit_code == ExitCode.WRONG_USE
    assert holiday.read_bytes() == BODY


def test_a_server_is_added_and_the_ring_shows_it(reelstore: Reelstore) -> None:
    added = reelstore("server", "add", "extra", "memory:", "--zone", "attic", "--capacity", "1GiB", "--yes")
    assert added.exit_code == 0, added.stderr
    assert lines(added.stdout)[-1] == "applied: epoch 2, add server extra"
    assert re.search(r"^extra +active +0 B \(0%\) .* 1.00 GiB +0.0 % > [\d.]+ %  attic$", added.stdout, re.MULTILINE)

    again = reelstore("server", "add", "extra", "memory:", "--yes")
    assert (again.exit_code, lines(again.stderr)) == (1, ["reelstore: there is a server extra already"])

    assert re.search(r"^extra +attic +active +up", reelstore("server", "list").stdout, re.MULTILINE)
    assert re.search(r"^extra +[\d.]+ % +\d+  attic$", reelstore("ring", "show").stdout, re.MULTILINE)
    assert re.search(r"^zone +attic$", reelstore("server", "show", "extra").stdout, re.MULTILINE)
    assert re.search(r"^servers +4 of 4 up$", reelstore("status").stdout, re.MULTILINE)
    assert reelstore("server", "show", "absent").exit_code == ExitCode.NOT_FOUND
    assert reelstore("server", "add", "x", "memory:", "--capacity", "much", "--yes").exit_code == ExitCode.WRONG_USE


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("ls", "--url", "http://127.0.0.1:1"), ExitCode.UNREACHABLE),
        (("demo", "--url", "http://127.0.0.1:1"), ExitCode.UNREACHABLE),
        (("status", "--url", "nonsense"), ExitCode.WRONG_USE),
        (("status", "--token", "two words"), ExitCode.WRONG_USE),
        (("ls", "--limit", "0"), ExitCode.WRONG_USE),
        (("ls", "--state", "lost"), ExitCode.WRONG_USE),
        (("ls", "--sort", "colour"), ExitCode.FAILED),
        (("ls", "--cursor", "made-up"), ExitCode.FAILED),
        (("verify",), ExitCode.WRONG_USE),
        (("verify", "x", "--all"), ExitCode.WRONG_USE),
        (("verify", "x", "--cursor", "x"), ExitCode.WRONG_USE),
        (("verify", "--all", "--cursor", "x"), ExitCode.FAILED),
        (("quarantine", "empty"), ExitCode.WRONG_USE),
        (("quarantine", "empty", "--older-than", "yesterday", "--yes"), ExitCode.WRONG_USE),
        (("upload",), ExitCode.WRONG_USE),
        (("fetch",), ExitCode.WRONG_USE),
        (("--versoin",), ExitCode.WRONG_USE),
    ],
)
def test_a_mistake_gets_its_exit_code_and_no_traceback(
    reelstore: Reelstore, arguments: tuple[str, ...], code: ExitCode
) -> None:
    result = reelstore(*arguments)

    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.strip()
    assert "Traceback" not in result.stderr


def test_an_unreachable_server_ends_a_batch_at_once(reelstore: Reelstore, holiday: Path) -> None:
    result = reelstore("upload", holiday, holiday, holiday, "--url", "http://127.0.0.1:1", "--json")

    assert result.exit_code == ExitCode.UNREACHABLE
    assert len(document(result)["failed"]) == 3
    assert result.stderr.count("cannot reach") == 1
    assert "2 more not tried" in result.stderr


def test_the_demo_stores_videos_that_really_play(reelstore: Reelstore, tmp_path: Path) -> None:
    made = document(reelstore("demo", "--count", "1", "--json"))["items"]

    assert reelstore("download", made[0]["id"], "-o", tmp_path / "demo.mp4").exit_code == 0
    with av.open(str(tmp_path / "demo.mp4")) as container:
        assert {stream.codec_context.name for stream in container.streams} == {"h264", "aac"}
        assert container.duration is not None
        assert round(container.duration / av.time_base) == 6
        pictures = [picture.to_ndarray(format="gray8") for picture in container.decode(video=0)]
    assert len(pictures) == 6 * 24
    assert (pictures[0] != pictures[50]).mean() > 0.5  # it moves


def test_an_output_that_cannot_show_a_name_gets_its_escape(reelstore: Reelstore, holiday: Path, url: str) -> None:
    reelstore("upload", holiday, "--name", "日本.mp4")

    result = run("ls", env={"REELSTORE_URL": url, "PYTHONIOENCODING": "ascii"})

    assert result.returncode == 0
    assert "\\u65e5\\u672c.mp4" in result.stdout
