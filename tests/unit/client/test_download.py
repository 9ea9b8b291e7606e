from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from reelstore.client import Client, DownloadFailed, Problem
from tests.unit.client.gateway import CHUNK_BYTES, Gateway, Handler, cut_content_after, raw, say

BODY = random.Random(1).randbytes(10 * CHUNK_BYTES + 123)


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def begin(gateway: Gateway, client: Client, folder: Path, kept_bytes: int) -> Path:
    """Leave a download behind that was cut for good."""
    target = folder / "holiday.mp4"
    gateway.fail("/content", cut_content_after(kept_bytes), *[say(503, "overloaded", retryable=True)] * 7)
    with pytest.raises(DownloadFailed) as caught:
        client.download("video-1", target)
    gateway.faults.clear()
    gateway.requests.clear()
    assert caught.value.kept_bytes == kept_bytes
    return target


@pytest.mark.parametrize("size_bytes", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, len(BODY)])
def test_a_video_arrives_byte_for_byte_and_nothing_else_is_left(
    gateway: Gateway, client: Client, tmp_path: Path, size_bytes: int
) -> None:
    gateway.add(BODY[:size_bytes])
    seen: list[tuple[int, int | None]] = []

    done = client.download("video-1", tmp_path, on_progress=lambda *progress: seen.append(progress))

    assert done.path == tmp_path / "holiday.mp4"
    assert (done.size_bytes, done.resumed_bytes, done.verified) == (size_bytes, 0, True)
    assert done.path.read_bytes() == BODY[:size_bytes]
    assert leftovers(tmp_path) == ["holiday.mp4"]
    assert seen[-1] == (size_bytes, size_bytes)


def test_a_cut_connection_is_taken_up_again_at_the_same_byte(gateway: Gateway, client: Client, tmp_path: Path) -> None:
    gateway.add(BODY)
    # More cuts than retries: each gains something, so none of them is the last.
    gateway.fail("/content", *[cut_content_after(1200)] * 8)

    done = client.download("video-1", tmp_path / "copy.mp4")

    assert done.path.read_bytes() == BODY
    ranges = [headers.get("range") for headers in gateway.asked("GET", "/content")]
    assert ranges == [None, *[f"bytes={1200 * count}-" for count in range(1, 9)]]
    assert all(headers.get("if-range") == '"first"' for headers in gateway.asked("GET", "/content")[1:])


def test_a_later_download_goes_on_with_what_an_earlier_one_kept(
    gateway: Gateway, client: Client, tmp_path: Path
) -> None:
    gateway.add(BODY)
    target = begin(gateway, client, tmp_path, 4321)
    assert leftovers(tmp_path) == ["holiday.mp4.part", "holiday.mp4.part.json"]

    done = client.download("video-1", target)

    assert done.resumed_bytes == 4321
    assert [headers["range"] for headers in gateway.asked("GET", "/content")] == ["bytes=4321-"]
    assert target.read_bytes() == BODY
    assert leftovers(tmp_path) == ["holiday.mp4"]


def test_a_part_that_is_complete_already_is_confirmed_with_one_byte(
    gateway: Gateway, client: Client, tmp_path: Path
) -> None:
    gateway.add(BODY)
    target = begin(gateway, client, tmp_path, len(BODY) - 1)
    (tmp_path / "holiday.mp4.part").write_bytes(BODY)

    client.download("video-1", target)

    assert [headers["range"] for headers in gateway.asked("GET", "/content")] == [f"bytes={len(BODY) - 1}-"]
    assert target.read_bytes() == BODY


def test_kept_bytes_of_another_content_are_thrown_away(gateway: Gateway, client: Client, tmp_path: Path) -> None:
    gateway.add(BODY)
    target = begin(gateway, client, tmp_path, 4321)
    video = gateway.add(BODY[::-1])
    video.etag = '"second"'

    client.download("video-1", target)

    assert target.read_bytes() == BODY[::-1]


def test_kept_bytes_of_another_video_of_the_same_name_are_thrown_away(
    gateway: Gateway, client: Client, tmp_path: Path
) -> None:
    gateway.add(BODY)
    target = begin(gateway, client, tmp_path, 4321)
    gateway.add(BODY[::-1], id="video-2")

    client.download("video-2", target)

    assert target.read_bytes() == BODY[::-1]


@pytest.mark.parametrize("state", [b"", b"[]", b'{"format": 99}', b'{"format": 1, "video_id": "video-1", "etag": 5}'])
def test_a_torn_state_file_costs_the_kept_bytes_and_nothing_more(
    gateway: Gateway, client: Client, tmp_path: Path, state: bytes
) -> None:
    gateway.add(BODY)
    target = begin(gateway, client, tmp_path, 4321)
    (tmp_path / "holiday.mp4.part.json").write_bytes(state)

    client.download("video-1", target)

    assert target.read_bytes() == BODY


def test_kept_bytes_that_a_power_cut_tore_are_found_and_fetched_again(
    gateway: Gateway, client: Client, tmp_path: Path
) -> None:
    gateway.add(BODY)
    target = begin(gateway, client, tmp_path, 6000)
    part = tmp_path / "holiday.mp4.part"
    part.write_bytes(BODY[:2500] + bytes(3500))

    done = client.download("video-1", target)

    assert target.read_bytes() == BODY
    assert done.verified
    # What is proved stays: the second request begins at the first wrong chunk.
    assert [headers["range"] for headers in gateway.asked("GET", "/content")] == ["bytes=6000-", "bytes=2000-"]


def test_bytes_that_stay_wrong_never_become_the_file(gateway: Gateway, client: Client, tmp_path: Path) -> None:
    video = gateway.add(BODY)
    places = video.places
    places[3]["digest"] = "00" * 32
    gateway.answers["/videos/video-1/placement"] = {"items": places, "next_cursor": None}

    with pytest.raises(DownloadFailed, match="do not match their digest") as caught:
        client.download("video-1", tmp_path)

    assert caught.value.kept_bytes == 3 * CHUNK_BYTES
    assert leftovers(tmp_path) == ["holiday.mp4.part", "holiday.mp4.part.json"]


@pytest.mark.parametrize("status", [403, 404, 405, 501])
def test_without_digests_the_size_alone_is_checked_and_the_result_says_so(
    gateway: Gateway, client: Client, tmp_path: Path, status: int
) -> None:
    gateway.add(BODY)
    gateway.fail("/placement", say(status, "withheld"))

    done = client.download("video-1", tmp_path)

    assert not done.verified
    assert done.path.read_bytes() == BODY


def test_digests_that_leave_a_gap_prove_nothing(gateway: Gateway, client: Client, tmp_path: Path) -> None:
    video = gateway.add(BODY)
    gateway.answers["/videos/video-1/placement"] = {"items": video.places[1:], "next_cursor": None}

    assert not client.download("video-1", tmp_path).verified


WRONG_ANSWERS = {
    "another range": b'HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-9/10123\r\nETag: "first"\r\n'
    b"Content-Length: 10\r\n\r\n0123456789",
    "another size": b'HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 4321-4330/4331\r\nETag: "first"\r\n'
    b"Content-Length: 10\r\n\r\n0123456789",
    "no range named": b"HTTP/1.1 206 Partial Content\r\nContent-Length: 10\r\n\r\n0123456789",
    "another content": b'HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 4321-10122/10123\r\nETag: "other"\r\n'
    b"Content-Length: 10\r\n\r\n0123456789",
    "too short a length": b'HTTP/1.1 200 OK\r\nETag: "first"\r\nContent-Length: 10\r\n\r\n0123456789',
    "too long a length": b'HTTP/1.1 200 OK\r\nETag: "first"\r\nContent-Length: 99999\r\n\r\n0123456789',
    "no length, too short": b'HTTP/1.1 200 OK\r\nETag: "first"\r\n\r\n0123456789',
    "no length, too long": b'HTTP/1.1 200 OK\r\nETag: "first"\r\n\r\n' + BODY + b"more",
    "nonsense": b"\x00\xff nonsense\r\n\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nETag",
}


@pytest.mark.parametrize("answer", WRONG_ANSWERS.values(), ids=WRONG_ANSWERS.keys())
def test_a_wrong_answer_does_no_harm(gateway: Gateway, client: Client, tmp_path: Path, answer: bytes) -> None:
    gateway.add(BODY)
    target = begin(gateway, client, tmp_path, 4321)
    gateway.fail("/content", raw(answer))

    client.download("video-1", target)

    assert target.read_bytes() == BODY
    assert leftovers(tmp_path) == ["holiday.mp4"]


def test_a_range_that_the_server_refuses_starts_the_download_over(
    gateway: Gateway, client: Client, tmp_path: Path
) -> None:
    gateway.add(BODY)
    target = begin(gateway, client, tmp_path, 4321)
    gateway.fail("/content", say(416, "range-not-satisfiable"))

    client.download("video-1", target)

    assert target.read_bytes() == BODY


def test_a_server_that_always_lies_about_the_size_is_given_up(gateway: Gateway, client: Client, tmp_path: Path) -> None:
    video = gateway.add(BODY)
    video.told_bytes = len(BODY) + 1

    with pytest.raises(DownloadFailed, match="10123 bytes of a video of 10124"):
        client.download("video-1", tmp_path)

    assert leftovers(tmp_path) == []


def test_a_video_that_is_not_there_is_a_problem_and_leaves_nothing(
    gateway: Gateway, client: Client, tmp_path: Path
) -> None:
    with pytest.raises(Problem) as caught:
        client.download("absent", tmp_path)

    assert caught.value.status == 404
    assert leftovers(tmp_path) == []


def test_a_killed_download_leaves_a_part_that_the_next_one_goes_on_with(
    gateway: Gateway, client: Client, tmp_path: Path
) -> None:
    gateway.add(BODY)
    waiting = threading.Event()

    def stall(handler: Handler) -> bool:
        cut_content_after(4321)(handler)
        waiting.set()
        return True

    gateway.fail("/content", stall, *[say(503, "overloaded", retryable=True, Retry_After="30")] * 5)
    script = f"from reelstore.client import Client\nClient({gateway.url!r}).download('video-1', {str(tmp_path)!r})"
    process = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": "src"})
    waiting.wait(30)
    while len(gateway.asked("GET", "/content")) < 2:  # it has noticed the cut, and is about to wait
        assert process.poll() is None
        waiting.wait(0.01)
        threading.Event().wait(0.01)
    process.kill()
    process.wait()
    gateway.faults.clear()

    done = client.download("video-1", tmp_path)

    assert done.resumed_bytes == 4321
    assert done.path.read_bytes() == BODY
