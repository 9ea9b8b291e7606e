"""The API over real sockets: what only a connection can do wrong."""

from __future__ import annotations

import asyncio
import http.client
import random
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from email.message import Message
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import httpx
import pytest

from reelstore.web import server as web_server
from reelstore.web.limits import REQUEST_HEAD_BYTES_MAX
from tests.integration.live_gateway import LiveGateway, live_gateway
from tests.unit.web.answers import assert_problem, assert_video

MIB = 1 << 20
CHUNK = 64 * 1024
VIDEOS = "/api/v1/videos"


@pytest.fixture(scope="module")
def gateway() -> Iterator[LiveGateway]:
    with live_gateway(chunk_size_bytes=CHUNK) as live:
        yield live


@pytest.fixture
def client(gateway: LiveGateway) -> Iterator[httpx.Client]:
    with gateway.client() as http_client:
        yield http_client


def store(client: httpx.Client, content: bytes, name: str = "a.mp4") -> dict[str, Any]:
    return assert_video(client.post(VIDEOS, params={"name": name}, content=content), 201)


def names(client: httpx.Client) -> list[str]:
    return [video["name"] for video in client.get(VIDEOS, params={"limit": 1000}).json()["items"]]


def open_files(client: httpx.Client) -> int:
    return int(client.get("/api/v1/health").json()["totals"]["open_files"])


def eventually(holds: Any) -> None:
    """Wait for the other thread; a state that never comes ends the wait after a minute."""
    for _ in range(1200):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it never happened")


def request(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]).encode() + body


class Answer(NamedTuple):
    status: int
    headers: Message
    body: bytes


def answers(connection: socket.socket, *methods: str) -> list[Answer]:
    """Read one answer for each method, in order, from one stream."""
    found = []
    with connection.makefile("rb") as stream:
        for method in methods:
            status = int(stream.readline().split()[1])
            headers = http.client.parse_headers(stream)
            body = b"" if method == "HEAD" else stream.read(int(headers["content-length"]))
            found.append(Answer(status, headers, body))
    return found


# ---------------------------------------------------------------------- bodies


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 40 * CHUNK + 7])
def test_bodies_around_the_size_of_a_chunk_come_back_byte_for_byte(client: httpx.Client, size: int) -> None:
    content = random.Random(size).randbytes(size)
    video = store(client, content)
    assert client.get(f"{VIDEOS}/{video['id']}/content").content == content
    form = client.post(VIDEOS, files={"file": ("f.mkv", content)})
    assert client.get(f"{VIDEOS}/{assert_video(form, 201)['id']}/content").content == content


def test_a_client_that_leaves_half_way_leaves_nothing(gateway: LiveGateway, client: httpx.Client) -> None:
    before = names(client)
    form = b'--b\r\nContent-Disposition: form-data; name="f"; filename="half"\r\n\r\n'
    for begun in (
        request("POST", f"{VIDEOS}?name=half", f"Content-Length: {8 * MIB}", body=b"x" * 3 * MIB),
        request("POST", f"{VIDEOS}?name=half", "Transfer-Encoding: chunked", body=b"100000\r\n" + b"x" * MIB + b"\r\n"),
        request("POST", VIDEOS, "Content-Type: multipart/form-data; boundary=b", f"Content-Length: {8 * MIB}",
                body=form + b"x" * 3 * MIB),
    ):  # fmt: skip
        with gateway.connect() as connection:
            connection.sendall(begun)
            eventually(lambda: open_files(client) == 1)
        eventually(lambda: open_files(client) == 0)
    assert names(client) == before


def test_a_request_that_is_wrong_costs_no_body_with_expect_100_continue(gateway: LiveGateway) -> None:
    with gateway.connect() as connection:
        connection.sendall(request("POST", VIDEOS, "Expect: 100-continue", f"Content-Length: {2**40}"))
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"\r\nconnection: close\r\n" in received


def test_a_request_that_is_right_is_told_to_continue(gateway: LiveGateway) -> None:
    with gateway.connect() as connection:
        connection.sendall(request("POST", f"{VIDEOS}?name=x", "Expect: 100-continue", "Content-Length: 3"))
        assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abc")
        (answer,) = answers(connection, "POST")
        assert answer.status == 201


def test_a_refused_body_that_comes_anyway_is_drained_and_the_connection_stays_usable(gateway: LiveGateway) -> None:
    with gateway.connect() as connection:
        connection.sendall(request("POST", VIDEOS, f"Content-Length: {4 * MIB}"))
        connection.sendall(b"GET /evil HTTP/1.1\r\n\r\n".ljust(4 * MIB, b"x"))
        connection.sendall(request("GET", "/healthz"))
        refused, alive = answers(connection, "POST", "GET")
        assert (refused.status, alive.status) == (400, 200)


def test_a_body_that_stands_still_is_given_up(
    gateway: LiveGateway, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for reader in ("body_pieces", "RequestBody.__init__"):
        monkeypatch.setattr(f"reelstore.web.bodies.{reader}.__kwdefaults__", {"idle_timeout_seconds": 0.1})
    with gateway.connect() as connection:
        connection.sendall(request("POST", f"{VIDEOS}?name=still", "Content-Length: 10", body=b"x"))
        (answer,) = answers(connection, "POST")
    assert answer.status == 400
    assert b"/problems/incomplete-body" in answer.body
    assert open_files(client) == 0


# ---------------------------------------------------------------------- names


def hostile_names() -> list[str]:
    rng = random.Random(7)
    listed = [
        "..", ".", "../../etc/passwd", "/etc/passwd", "C:\\windows\\a.mp4", "con", "nul.mp4", "a" * 1024, "ü" * 512,
        "🎬" * 256, '"', "'", "\\", '\\"', '";x="', "%", "%22", "%00", "%2e%2e%2f", "+", "a+b", "a b", " a ", "=", "&",
        "a;b", "a,b", "<script>alert(1)</script>", "{{7*7}}", "${jndi:ldap://x}", "'; DROP TABLE videos; --", "$(id)",
        "`id`", "-rf", "--help", "*", "?", "|", "~", "\u202egpm.exe", "\u200b\u200d", "\ufeff", "e\u0301", "é", "İı",
        "ﷺ", "\ufffd", "\uffff", "\U0010ffff", "\ue000", "a\u0300" * 100, "日本語.mkv", "العربية.mp4", "नमस्ते",
        "null", "None", "undefined", "NaN", "true", "[object Object]", "UTF-8''x", "filename*=x", "a\u2028b",
    ]  # fmt: skip
    ranges = [(0x20, 0x7E), (0xA0, 0x7FF), (0x2000, 0x2FFF), (0x3040, 0xD7FF), (0xE000, 0xFFFF), (0x10000, 0x10FFFF)]
    while len(listed) < 1000:
        name = "".join(chr(rng.randint(*rng.choice(ranges))) for _ in range(rng.randint(1, 60)))
        if name.strip():
            listed.append(name)
    return listed


def test_a_thousand_hostile_names_come_back_as_they_went_in(client: httpx.Client) -> None:
    for number, name in enumerate(hostile_names()):
        if number % 2:
            answer = client.post(f"{VIDEOS}?name={quote(name, safe='')}", content=b"")
        else:
            escaped = name.encode().replace(b'"', b"%22")
            part = b'Content-Disposition: form-data; name="file"; filename="' + escaped + b'"'
            if b"%22" in name.encode() or b"\\" in escaped:  # what a form cannot say, its field `name` can
                part = b'Content-Disposition: form-data; name="name"\r\n\r\n' + name.encode() + b"\r\n--b\r\n" + part
            body = b"--b\r\n" + part + b"\r\n\r\n\r\n--b--\r\n"
            answer = client.post(VIDEOS, content=body, headers={"content-type": "multipart/form-data; boundary=b"})
        video = assert_video(answer, 201)
        assert video["name"] == name
        if number % 4:
            continue
        head = client.head(f"{VIDEOS}/{video['id']}/content?download=1")
        quoted, exact = re.fullmatch(
            r"attachment; filename=\"([^\"\\]*)\"(?:; filename\*=UTF-8''(\S+))?", head.headers["content-disposition"]
        ).groups()  # type: ignore[union-attr]  # no match fails the test as well
        assert (quoted if exact is None else unquote(exact, errors="strict")) == name


# ---------------------------------------------------------------------- contents


def read_budget_bytes(gateway: LiveGateway) -> int:
    tools: Any = gateway.application.store._reading
    return int(tools.budget.used_bytes)


def test_a_slow_reader_is_waited_for_in_little_memory_and_gets_everything(
    gateway: LiveGateway, client: httpx.Client
) -> None:
    content = random.Random(1).randbytes(12 * MIB)
    video = store(client, content, "slow")
    with gateway.connect(receive_buffer_bytes=128 * 1024) as connection:
        connection.sendall(request("GET", f"{VIDEOS}/{video['id']}/content", "Connection: close"))
        received = connection.recv(1000)
        assert client.get(f"{VIDEOS}/{video['id']}/content").content == content
        assert read_budget_bytes(gateway) <= 16 * CHUNK
        while piece := connection.recv(MIB):
            received += piece
    assert received.partition(b"\r\n\r\n")[2] == content


def test_a_reader_that_stands_still_is_cut_off_and_its_connection_freed(
    gateway: LiveGateway, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reelstore.web.content.StreamedContent.__init__.__kwdefaults__", {"idle_timeout_seconds": 0.1})
    monkeypatch.setattr(web_server, "LINGER_TIMEOUT_SECONDS", 0.1)
    video = store(client, bytes(24 * MIB), "still")
    others = len(gateway.server.server_state.connections)
    with gateway.connect(receive_buffer_bytes=4096) as connection:
        connection.sendall(request("GET", f"{VIDEOS}/{video['id']}/content"))
        assert connection.recv(1000)
        eventually(lambda: read_budget_bytes(gateway) == 0)
        eventually(lambda: len(gateway.server.server_state.connections) == others)
        received = sum(map(len, iter(lambda: connection.recv(MIB), b"")))
    assert received < 24 * MIB


def test_a_client_that_leaves_half_way_gives_the_memory_back(gateway: LiveGateway, client: httpx.Client) -> None:
    video = store(client, bytes(24 * MIB), "left")
    for _ in range(5):
        with gateway.connect(receive_buffer_bytes=4096) as connection:
            connection.sendall(request("GET", f"{VIDEOS}/{video['id']}/content"))
            assert connection.recv(1000)
    eventually(lambda: read_budget_bytes(gateway) == 0)


def lose_chunk(gateway: LiveGateway, video: dict[str, Any], position: int, client: httpx.Client) -> None:
    """Make every server forget one chunk, behind everybody's back."""
    digest = client.get(f"{VIDEOS}/{video['id']}/placement").json()["items"][position]["digest"]
    for member in gateway.application.fleet:
        driver: Any = member.driver
        for name in [name for name in driver._stored if name.digest.hex() == digest]:
            asyncio.run_coroutine_threadsafe(driver.delete(name), gateway.loop).result()


def test_a_chunk_that_is_lost_after_the_first_byte_cuts_the_connection() -> None:
    with live_gateway(chunk_size_bytes=CHUNK, cache_bytes=0) as gateway, gateway.client() as client:
        content = random.Random(2).randbytes(10 * CHUNK)
        video = store(client, content)
        lose_chunk(gateway, video, 5, client)
        with gateway.connect() as connection:
            connection.sendall(request("GET", f"{VIDEOS}/{video['id']}/content"))
            received = b"".join(iter(lambda: connection.recv(MIB), b""))
        head, _, body = received.partition(b"\r\n\r\n")
        assert b"\r\ncontent-length: %d" % len(content) in head
        assert body == content[: 5 * CHUNK]
        inside = client.get(f"{VIDEOS}/{video['id']}/content", headers={"range": f"bytes={5 * CHUNK}-"})
        assert_problem(inside, 500, "chunk-lost")
        around = client.get(f"{VIDEOS}/{video['id']}/content", headers={"range": f"bytes={6 * CHUNK}-"})
        assert (around.status_code, around.content) == (206, content[6 * CHUNK :])


# ---------------------------------------------------------------------- connections


def test_pipelined_requests_are_answered_in_order(gateway: LiveGateway, client: httpx.Client) -> None:
    video = store(client, b"abc")
    url = f"{VIDEOS}/{video['id']}/content"
    with gateway.connect() as connection:
        connection.sendall(
            request("GET", url) + request("HEAD", url) + request("GET", url, "Range: bytes=1-1") + request("GET", "/x")
        )
        found = answers(connection, "GET", "HEAD", "GET", "GET")
    assert [(answer.status, answer.body[:3]) for answer in found] == [
        (200, b"abc"),
        (200, b""),
        (206, b"b"),
        (404, b'{"t'),
    ]


@pytest.mark.parametrize("piece", [1 << 20, 1000])
def test_an_endless_head_is_refused_at_its_limit(gateway: LiveGateway, piece: int) -> None:
    head = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * REQUEST_HEAD_BYTES_MAX + b"\r\n\r\n"
    with gateway.connect() as connection:
        for start in range(0, len(head), piece):
            connection.sendall(head[start : start + piece])
        (answer,) = answers(connection, "GET")
    assert (answer.status, answer.headers["content-type"]) == (431, "application/problem+json")
    assert b"/problems/head-too-large" in answer.body


@pytest.mark.parametrize("begun", [b"0\r\nX: ", b"1;x="])
def test_an_endless_trailer_or_chunk_extension_is_refused_and_leaves_nothing(
    gateway: LiveGateway, client: httpx.Client, begun: bytes
) -> None:
    before = names(client)
    with gateway.connect() as connection:
        chunked = ("Transfer-Encoding: chunked", "Expect: 100-continue")
        connection.sendall(request("POST", f"{VIDEOS}?name=endless", *chunked))
        assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(begun)
        for _ in range(0, REQUEST_HEAD_BYTES_MAX + 1000, 1000):
            connection.sendall(b"x" * 1000)
        (answer,) = answers(connection, "POST")
    assert (answer.status, open_files(client), names(client)) == (431, 0, before)


def test_a_malformed_chunk_is_refused_and_leaves_nothing(gateway: LiveGateway, client: httpx.Client) -> None:
    before = names(client)
    with gateway.connect() as connection:
        body = b"3\r\nabc\r\nnonsense\r\n"
        connection.sendall(request("POST", f"{VIDEOS}?name=bad", "Transfer-Encoding: chunked", body=body))
        (answer,) = answers(connection, "POST")
    assert answer.status == 400
    assert names(client) == before


def test_a_head_just_below_the_limit_is_served(gateway: LiveGateway) -> None:
    filler = "X: " + "x" * (REQUEST_HEAD_BYTES_MAX - 200)
    with gateway.connect() as connection:
        connection.sendall(request("GET", "/healthz", filler) * 3)
        assert [answer.status for answer in answers(connection, "GET", "GET", "GET")] == [200, 200, 200]


@pytest.mark.parametrize(
    "raw", [b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", "GET /ü HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
            b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"],
)  # fmt: skip
def test_what_is_no_http_gets_a_problem_and_the_connection_closes(gateway: LiveGateway, raw: bytes) -> None:
    with gateway.connect() as connection:
        connection.sendall(raw)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"/problems/malformed-request" in received


def test_a_request_that_does_not_come_is_not_waited_for(gateway: LiveGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_server, "HEAD_TIMEOUT_SECONDS", 0.1)
    for begun in (b"", b"GET /healthz HTTP/1.1\r\nHost: 127", request("GET", "/healthz") + b"GET /"):
        with gateway.connect() as connection:
            connection.sendall(begun)
            received = b"".join(iter(lambda: connection.recv(65536), b""))
        assert received.count(b"HTTP/1.1 200 OK") == begun.count(b"\r\n\r\n")


def test_a_shutdown_answers_what_it_does_not_wait_for(caplog: pytest.LogCaptureFixture) -> None:
    with ExitStack() as connections:
        with live_gateway(chunk_size_bytes=CHUNK) as gateway, gateway.client() as client:
            video = store(client, bytes(24 * MIB))
            uploading = connections.enter_context(gateway.connect())
            begun = bytes(3 * MIB)
            uploading.sendall(request("POST", f"{VIDEOS}?name=half", f"Content-Length: {8 * MIB}", body=begun))
            reading = connections.enter_context(gateway.connect(receive_buffer_bytes=4096))
            reading.sendall(request("GET", f"{VIDEOS}/{video['id']}/content"))
            assert reading.recv(1000)
            eventually(lambda: open_files(client) == 1)
        (answer,) = answers(uploading, "POST")
        assert answer.status == 503
        assert b"/problems/not-ready" in answer.body
    assert "Traceback" not in caplog.text


def test_answers_carry_a_date_and_no_name_of_the_server_program(client: httpx.Client) -> None:
    headers = client.get("/healthz").headers
    assert headers["date"]
    assert "server" not in headers


def test_many_connections_store_and_read_at_once(gateway: LiveGateway) -> None:
    async def one(client: httpx.AsyncClient, number: int) -> None:
        content = random.Random(number % 4).randbytes(3 * CHUNK + number % 4)
        stored = await client.post(VIDEOS, params={"name": f"many{number}"}, content=content)
        read = await client.get(f"{VIDEOS}/{assert_video(stored, 201)['id']}/content")
        assert read.content == content

    async def all_of_them() -> None:
        async with httpx.AsyncClient(base_url=gateway.url, timeout=60) as client:
            await asyncio.gather(*(one(client, number) for number in range(40)))

    asyncio.run(all_of_them())
