"""What a download does, and never does, to the folder that it writes to."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from reelstore.client import Client, DownloadFailed, TargetExists
from tests.unit.client.gateway import CHUNK_BYTES, Gateway

BODY = random.Random(1).randbytes(10 * CHUNK_BYTES + 123)


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_that_is_there_is_never_replaced_unasked(gateway: Gateway, client: Client, tmp_path: Path) -> None:
    gateway.add(BODY)
    target = tmp_path / "holiday.mp4"
    target.write_text("precious")

    with pytest.raises(TargetExists):
        client.download("video-1", target)
    assert target.read_text() == "precious"
    assert gateway.asked("GET", "/content") == []

    client.download("video-1", target, overwrite=True)
    assert target.read_bytes() == BODY


def test_a_file_that_comes_into_being_meanwhile_is_not_replaced(
    gateway: Gateway, client: Client, tmp_path: Path
) -> None:
    gateway.add(BODY)
    target = tmp_path / "holiday.mp4"

    with pytest.raises(TargetExists):
        client.download("video-1", target, on_progress=lambda *_: target.write_text("precious"))

    assert target.read_text() == "precious"


def test_a_dangling_link_counts_as_there(gateway: Gateway, client: Client, tmp_path: Path) -> None:
    gateway.add(BODY)
    target = tmp_path / "holiday.mp4"
    target.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(TargetExists):
        client.download("video-1", target)

    assert not (tmp_path / "elsewhere").exists()


def test_a_foreign_part_file_is_left_alone(gateway: Gateway, client: Client, tmp_path: Path) -> None:
    gateway.add(BODY)
    foreign = tmp_path / "holiday.mp4.part"
    foreign.write_text("precious")

    with pytest.raises(DownloadFailed, match="in the way"):
        client.download("video-1", tmp_path)

    assert foreign.read_text() == "precious"


def test_a_part_that_is_a_link_is_not_followed(gateway: Gateway, client: Client, tmp_path: Path) -> None:
    gateway.add(BODY)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "holiday.mp4.part").symlink_to(victim)
    (tmp_path / "holiday.mp4.part.json").write_text(json.dumps({"format": 1, "video_id": "video-1", "etag": None}))

    with pytest.raises(DownloadFailed):
        client.download("video-1", tmp_path)

    assert victim.read_text() == "precious"


def test_a_state_that_is_a_link_is_not_followed(gateway: Gateway, client: Client, tmp_path: Path) -> None:
    gateway.add(BODY)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "holiday.mp4.part.json").symlink_to(victim)

    with pytest.raises(DownloadFailed):
        client.download("video-1", tmp_path)

    assert victim.read_text() == "precious"


def test_two_downloads_of_one_target_do_not_mix(gateway: Gateway, client: Client, tmp_path: Path) -> None:
    gateway.add(BODY)
    refused: list[Exception] = []

    def download_again(*_: object) -> None:
        if not refused:
            try:
                client.download("video-1", tmp_path)
            except DownloadFailed as error:
                refused.append(error)

    client.download("video-1", tmp_path, on_progress=download_again)

    assert "another download" in str(refused[0])
    assert (tmp_path / "holiday.mp4").read_bytes() == BODY


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("../../etc/passwd", "_._.._etc_passwd"),
        ("/etc/passwd", "_etc_passwd"),
        ("..", "video-video-1"),
        (".bashrc", "_bashrc"),
        ("con.mp4", "_con.mp4"),
        ("a\nb\x1b[31m.mp4", "a_b_[31m.mp4"),
        ("", "video-video-1"),
    ],
)
def test_hostile_names_stay_in_the_folder(
    gateway: Gateway, client: Client, tmp_path: Path, name: str, expected: str
) -> None:
    gateway.add(BODY, name=name)

    done = client.download("video-1", tmp_path)

    assert leftovers(tmp_path) == [expected]
    assert done.path.parent == tmp_path


def test_a_folder_that_is_not_there_is_an_error_that_names_the_file(
    gateway: Gateway, client: Client, tmp_path: Path
) -> None:
    gateway.add(BODY)

    with pytest.raises(DownloadFailed, match=r"absent/x\.mp4: No such file"):
        client.download("video-1", tmp_path / "absent" / "x.mp4")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_an_error_that_tells_what_is_kept(
    gateway: Gateway, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.add(BODY)
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal = pytest.importorskip("signal")
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    try:
        with pytest.raises(DownloadFailed, match="cannot write") as caught:
            client.download("video-1", tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.kept_bytes == 5000

    assert client.download("video-1", tmp_path).resumed_bytes == 5000
    assert (tmp_path / "holiday.mp4").read_bytes() == BODY
