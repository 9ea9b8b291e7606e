"""What every route has in common."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

import httpx
import pytest

from reelstore.domain.errors import MetadataUnavailable
from reelstore.web.app import create_app
from reelstore.web.limits import QUERY_STRING_BYTES_MAX
from reelstore.web.metrics import RequestMetrics
from reelstore.web.middleware.envelope import Envelope
from reelstore.web.problem_pages import problem_slugs
from tests.unit.web.answers import assert_problem
from tests.unit.web.conftest import Gateway, gateway_in_memory

VIDEOS = "/api/v1/videos"
REQUEST_IDS = re.compile(r"[0-9a-f]{32}")


async def test_there_is_a_page_for_people_at_the_root_and_an_index_for_programs(gateway: Gateway) -> None:
    page = await gateway.http.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for path in re.findall(r'href="([^"]+)"', page.text):
        assert (await gateway.http.get(path)).status_code == 200, path
    for name, path in (await gateway.http.get("/api/v1")).json().items():
        if name not in {"name", "version"}:
            answer = await gateway.http.get(path, headers={"accept": "application/json"})
            assert answer.status_code == 200, path


async def test_a_living_gateway_is_ready(gateway: Gateway) -> None:
    assert (await gateway.http.get("/healthz")).json() == {"status": "ok"}
    assert (await gateway.http.get("/readyz")).json() == {"status": "ready"}


async def test_a_gateway_that_is_not_ready_lives_and_says_why(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ready(_: object) -> tuple[bool, str]:
        return False, "1 of 3 servers answers"

    monkeypatch.setattr(type(gateway.application), "ready", ready)
    answer = await gateway.http.get("/readyz")
    assert_problem(answer, 503, "not-ready", detail="1 of 3 servers answers", retryable=True)
    assert answer.headers["retry-after"]
    assert (await gateway.http.get("/healthz")).status_code == 200


async def test_each_problem_type_has_a_page_at_its_path(gateway: Gateway) -> None:
    listed = (await gateway.http.get("/problems")).text.split()
    assert listed == [f"/problems/{slug}" for slug in problem_slugs()]
    for path in listed:
        page = await gateway.http.get(path)
        assert page.headers["content-type"] == "text/plain; charset=utf-8"
        assert page.text.startswith("# ")
    for path in ("/problems/README", "/problems/nonsense", "/problems/%2e%2e%2fREADME"):
        assert_problem(await gateway.http.get(path), 404, "not-found")


@pytest.mark.parametrize(
    "path", ["/nothing", "/api", "/api/v2/videos", f"{VIDEOS}/", "/api/v1/", "//", f"/{'x' * 9000}"]
)
async def test_an_unknown_path_is_a_problem(gateway: Gateway, path: str) -> None:
    assert_problem(await gateway.http.get(f"http://127.0.0.1{path}"), 404, "not-found")


ROUTES = {
    VIDEOS: "GET, HEAD, OPTIONS, POST",
    f"{VIDEOS}/x": "DELETE, GET, HEAD, OPTIONS, PATCH",
    f"{VIDEOS}/x/content": "GET, HEAD, OPTIONS",
    f"{VIDEOS}/x/restore": "OPTIONS, POST",
    "/api/v1/servers": "GET, HEAD, OPTIONS, POST",
    "/healthz": "GET, HEAD, OPTIONS",
}


@pytest.mark.parametrize(("path", "allow"), ROUTES.items())
@pytest.mark.parametrize("method", ["PUT", "TRACE", "BREW"])
async def test_a_method_that_a_path_does_not_have_is_told_which_it_has(
    gateway: Gateway, path: str, allow: str, method: str
) -> None:
    answer = await gateway.http.request(method, path)
    assert_problem(answer, 405, "method-not-allowed", allow=allow.split(", "))
    assert answer.headers["allow"] == allow
    options = await gateway.http.options(path)
    assert (options.status_code, options.headers["allow"], options.content) == (204, allow, b"")


@pytest.mark.parametrize("path", ["/", "/healthz", VIDEOS, "/api/v1/servers/disk1", f"{VIDEOS}/nothing", "/nothing"])
async def test_head_answers_as_get_without_the_body(gateway: Gateway, path: str) -> None:
    got, head = await gateway.http.get(path), await gateway.http.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    if got.status_code == 200:
        assert head.headers["content-length"] == got.headers["content-length"]


# ---------------------------------------------------------------------- envelope


async def test_a_well_formed_request_id_is_kept_and_any_other_replaced(gateway: Gateway) -> None:
    async def answered(told: bytes) -> str:
        headers = [(b"x-request-id", told)]
        return str((await gateway.http.get("/healthz", headers=headers)).headers["x-request-id"])

    assert await answered(b"abc-DEF_1.2:3") == "abc-DEF_1.2:3"
    for told in (b"", b"a b", b"x" * 129, b"\xff", b"a\tb", b"<x>"):
        assert REQUEST_IDS.fullmatch(await answered(told))


async def test_every_answer_tells_browsers_to_be_careful(gateway: Gateway) -> None:
    for path in ("/", VIDEOS, "/nothing", "/docs"):
        headers = (await gateway.http.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"


async def test_an_unexpected_error_is_logged_and_answered_without_its_words(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def get(*_: object) -> None:
        raise RuntimeError("the secret inside")

    monkeypatch.setattr(type(gateway.application.videos), "get", get)
    answer = await gateway.http.get(f"{VIDEOS}/x", headers={"x-request-id": "r-1"})
    problem = assert_problem(answer, 500, "internal", request_id="r-1", retryable=False)
    assert "secret" not in answer.text
    assert "r-1" in problem["detail"]
    assert "the secret inside" in caplog.text
    assert "id=r-1" in caplog.text


async def test_an_error_that_passes_says_when_to_try_again(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    async def get(*_: object) -> None:
        raise MetadataUnavailable("locked")

    monkeypatch.setattr(type(gateway.application.videos), "get", get)
    answer = await gateway.http.get(f"{VIDEOS}/x")
    assert_problem(answer, 503, "metadata-unavailable", detail="locked", retryable=True)
    assert answer.headers["retry-after"] == "2"


async def test_each_request_is_one_line_in_the_log_without_its_query(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="reelstore.access"):
        await gateway.http.get(f"{VIDEOS}/a%0Ab?signature=secret", headers={"x-request-id": "r-2"})
    (line,) = [record.getMessage() for record in caplog.records if record.name == "reelstore.access"]
    assert re.fullmatch(rf'127\.0\.0\.1 "GET {VIDEOS}/a%0Ab" 404 \d+ bytes [\d.]+ ms id=r-2', line)


async def test_requests_beyond_the_limit_are_refused_and_places_come_back() -> None:
    go = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    transport = httpx.ASGITransport(Envelope(slow, metrics=RequestMetrics(), concurrent_requests_max=2))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        running = [asyncio.create_task(client.get("/")) for _ in range(2)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert_problem(await client.get("/"), 503, "overloaded", retryable=True)
        go.set()
        assert [answer.status_code for answer in await asyncio.gather(*running)] == [204, 204]
        assert (await client.get("/")).status_code == 204


async def test_a_query_string_has_a_limit(gateway: Gateway) -> None:
    at_bound = "x" * (QUERY_STRING_BYTES_MAX - len("ignored="))
    assert (await gateway.http.get(f"{VIDEOS}?ignored={at_bound}")).status_code == 200
    answer = await gateway.http.get(f"{VIDEOS}?ignored={at_bound}x")
    assert_problem(answer, 414, "too-large", limit=QUERY_STRING_BYTES_MAX)


# ---------------------------------------------------------------------- other sites


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "nonsense"},
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:8080"},
        {"origin": "null"},
        {"origin": "http://["},
        {"origin": ""},
    ],
)
async def test_another_site_may_read_addresses_but_change_nothing(gateway: Gateway, headers: dict[str, str]) -> None:
    video = await gateway.store()
    for method, path in (
        ("POST", f"{VIDEOS}?name=x"),
        ("PATCH", f"{VIDEOS}/{video['id']}"),
        ("DELETE", f"{VIDEOS}/{video['id']}"),
        ("POST", "/api/v1/servers"),
    ):
        answer = await gateway.http.request(method, path, headers=headers)
        assert_problem(answer, 403, "cross-site-request")
        assert "access-control-allow-origin" not in answer.headers
    assert (await gateway.http.get(VIDEOS, headers=headers)).json()["items"] == [video]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "same-origin", "origin": "https://outer.example"},
        {"sec-fetch-site": "none"},
        {"origin": "http://127.0.0.1"},
        {"origin": "HTTP://127.0.0.1"},
    ],
)
async def test_our_own_pages_and_programs_may_change_things(gateway: Gateway, headers: dict[str, str]) -> None:
    answer = await gateway.http.post(VIDEOS, params={"name": "x"}, content=b"x", headers=headers)
    assert answer.status_code == 201


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:5000", "localhost", "LocalHost:80", "[::1]:5000", "[::1]", "localhost."]
)
async def test_a_gateway_on_loopback_answers_to_loopback_names(gateway: Gateway, host: str) -> None:
    assert (await gateway.http.get(VIDEOS, headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "", "127.0.0.1.evil.example", "localhost.evil.example", "[::2]", "evil:127.0.0.1"]
)
async def test_a_gateway_on_loopback_answers_to_no_other_name(gateway: Gateway, host: str) -> None:
    assert_problem(await gateway.http.get(VIDEOS, headers={"host": host}), 421, "host-not-allowed")


async def test_allowed_hosts_are_those_told_and_any_where_nobody_can_know() -> None:
    async with gateway_in_memory(allowed_hosts=("videos.example",)) as told:
        assert_problem(await told.http.get(VIDEOS), 421, "host-not-allowed")
        assert (await told.http.get(VIDEOS, headers={"host": "Videos.Example:443"})).status_code == 200
    async with gateway_in_memory(host="0.0.0.0") as anywhere:
        assert (await anywhere.http.get(VIDEOS, headers={"host": "any.example"})).status_code == 200


@pytest.mark.parametrize("probe", ["/healthz", "/readyz"])
async def test_probes_may_ask_by_any_name(probe: str) -> None:
    async with gateway_in_memory(allowed_hosts=("videos.example",)) as told:
        assert (await told.http.get(probe, headers={"host": "127.0.0.1:5000"})).status_code == 200


# ---------------------------------------------------------------------- OpenAPI


async def test_every_operation_is_described_for_people(gateway: Gateway) -> None:
    document = create_app(gateway.application).openapi()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids) > 15
    for operation in operations:
        assert operation["summary"], operation["operationId"]
        assert operation["description"], operation["operationId"]
        assert not operation["summary"].endswith(".")
        assert "422" not in operation["responses"]
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"]


async def test_the_document_refers_to_nothing_that_is_missing(gateway: Gateway) -> None:
    text = (await gateway.http.get("/openapi.json")).text
    document = (await gateway.http.get("/openapi.json")).json()
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    assert names <= set(document["components"]["schemas"])
    assert "Problem" in names
    assert "HTTPValidationError" not in text
