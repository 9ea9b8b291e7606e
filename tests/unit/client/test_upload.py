from __future__ import annotations

import io
import os
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from reelstore.client import Client, ConnectionFailed, InvalidRequest, Problem, SourceChanged
from reelstore.client.uploading import READ_BYTES
from tests.unit.client.gateway import Fault, Gateway, cut, cut_after_body, raw, running, say

BODY = os.urandom(2 * READ_BYTES + 17)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "holiday.mp4"
    path.write_bytes(BODY)
    return path


@pytest.mark.parametrize("size_bytes", [0, 1, READ_BYTES, READ_BYTES + 1, len(BODY)])
def test_a_file_is_stored_byte_for_byte_with_its_announced_length(
    gateway: Gateway, client: Client, source: Path, size_bytes: int
) -> None:
    source.write_bytes(BODY[:size_bytes])
    seen: list[tuple[int, int | None]] = []

    video = client.upload(source, on_progress=lambda *progress: seen.append(progress))

    assert gateway.videos[video.id].body == BODY[:size_bytes]
    assert (video.name, video.size_bytes) == ("holiday.mp4", size_bytes)
    (headers,) = gateway.asked("POST", "/videos")
    assert headers["content-length"] == str(size_bytes)
    assert headers["content-type"] == "video/mp4"
    assert seen[0] == (0, size_bytes)
    assert seen[-1] == (size_bytes, size_bytes)


@pytest.mark.parametrize("fault", [cut, cut_after_body, raw(b""), raw(b"HTTP/1.1 2"), raw(b"\x16\x03nonsense\r\n\r\n")])
def test_an_upload_that_is_cut_before_the_answer_is_stored_once(
    gateway: Gateway, client: Client, source: Path, fault: Fault
) -> None:
    gateway.fail("/videos", fault, fault)

    video = client.upload(source)

    assert gateway.videos[video.id].body == BODY
    assert len(gateway.videos) == 1
    keys = {headers["idempotency-key"] for headers in gateway.asked("POST", "/videos")}
    assert len(keys) == 1


def test_two_uploads_of_one_file_have_different_keys_unless_one_is_given(
    gateway: Gateway, client: Client, source: Path
) -> None:
    assert client.upload(source).id != client.upload(source).id
    assert client.upload(source, idempotency_key="mine").id == client.upload(source, idempotency_key="mine").id


def test_a_busy_server_is_asked_again_and_not_before_it_says(
    gateway: Gateway, client: Client, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waits.append)
    gateway.fail("/videos", say(503, "overloaded", retryable=True, Retry_After="7"))

    client.upload(source)

    assert waits == [7.0]


def test_a_refusal_is_final_and_says_why(gateway: Gateway, client: Client, source: Path) -> None:
    gateway.fail("/videos", say(400, "invalid-input"))

    with pytest.raises(Problem) as caught:
        client.upload(source)

    assert (caught.value.status, caught.value.slug, caught.value.detail) == (
        400,
        "invalid-input",
        "the detail of invalid-input",
    )
    assert len(gateway.asked("POST", "/videos")) == 1


def test_a_server_that_stays_away_is_given_up(gateway: Gateway, client: Client, source: Path) -> None:
    gateway.fail("/videos", *[cut] * 7)

    with pytest.raises(ConnectionFailed):
        client.upload(source)

    assert gateway.videos == {}


def test_an_upload_outlives_a_restart_of_its_server(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as first_run, ExitStack() as second_run:
        first = first_run.enter_context(running())
        port = int(first.url.rsplit(":", 1)[1])
        first.fail("/videos", cut)
        second: list[Gateway] = []
        # The waits between attempts: one meets the server going, the next one it coming back.
        waits = 0

        def wait(_: float) -> None:
            nonlocal waits
            waits += 1
            if waits == 1:
                first_run.close()
            else:
                second.append(second_run.enter_context(running(port)))

        monkeypatch.setattr("tenacity.nap.time.sleep", wait)

        with Client(first.url) as client:
            video = client.upload(source)

        assert second[0].videos[video.id].body == BODY


def test_a_file_is_sent_from_where_it_stands(gateway: Gateway, client: Client) -> None:
    file = io.BytesIO(BODY)
    file.seek(1000)
    gateway.fail("/videos", cut)

    video = client.upload(file, name="rest.bin")

    assert gateway.videos[video.id].body == BODY[1000:]
    assert not file.closed


def test_what_cannot_seek_is_sent_once_in_pieces(gateway: Gateway, client: Client) -> None:
    reader, writer = os.pipe()

    def write() -> None:
        with os.fdopen(writer, "wb") as file:
            file.write(BODY)

    thread = threading.Thread(target=write)
    thread.start()

    with os.fdopen(reader, "rb") as file:
        video = client.upload(file, name="pipe.mkv")
    thread.join()

    assert gateway.videos[video.id].body == BODY
    (headers,) = gateway.asked("POST", "/videos")
    assert headers["transfer-encoding"] == "chunked"


def test_what_cannot_seek_is_not_sent_a_second_time(gateway: Gateway, client: Client) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"some bytes")
    os.close(writer)
    gateway.fail("/videos", cut)

    with os.fdopen(reader, "rb") as file, pytest.raises(ConnectionFailed):
        client.upload(file, name="pipe.mkv")

    assert gateway.videos == {}


@pytest.mark.parametrize("new_size_bytes", [READ_BYTES + 5, len(BODY) + READ_BYTES])
def test_a_file_that_changes_its_size_meanwhile_is_not_stored(
    gateway: Gateway, client: Client, source: Path, new_size_bytes: int
) -> None:
    def change(done_bytes: int, _: int | None) -> None:
        if done_bytes == READ_BYTES:
            os.truncate(source, new_size_bytes)

    with pytest.raises(SourceChanged):
        client.upload(source, on_progress=change)

    assert gateway.videos == {}


def test_a_file_that_is_not_there_is_an_os_error(client: Client, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        client.upload(tmp_path / "absent.mp4")


def test_bytes_without_a_file_name_need_a_name(client: Client) -> None:
    with pytest.raises(InvalidRequest, match="name"):
        client.upload(io.BytesIO(b""))


@pytest.mark.parametrize(
    "argument", [{"name": "\udc80"}, {"title": "\udc80"}, {"content_type": "a/b\r\nx: y"}, {"idempotency_key": "é"}]
)
def test_what_no_request_can_carry_is_refused_at_once(
    gateway: Gateway, client: Client, source: Path, argument: dict[str, str]
) -> None:
    with pytest.raises(InvalidRequest):
        client.upload(source, **argument)  # type: ignore[arg-type]  # each is text

    assert gateway.requests == []


def test_a_file_name_that_is_no_unicode_is_stored_all_the_same(
    gateway: Gateway, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    path.touch()

    assert client.upload(path).name == "caf\ufffd.mp4"
