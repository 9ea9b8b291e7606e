"""The API does what its OpenAPI document says, also with requests that schemathesis makes up."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi import checks as openapi_checks

from reelstore.web.app import create_app
from reelstore.web.application import Application
from tests.integration.live_gateway import LiveGateway, live_gateway

EXAMPLES = 15
CHECKS: list[Any] = [
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.response_headers_conformance,
]


def document() -> dict[str, Any]:
    """Return the OpenAPI document, for which no application has to run."""
    nothing = SimpleNamespace(settings=SimpleNamespace(host="127.0.0.1", allowed_hosts=None))
    return create_app(cast("Application", nothing)).openapi()


SCHEMA = schemathesis.openapi.from_dict(document())
OPERATIONS: list[Any] = [operation.ok() for operation in cast("Any", SCHEMA.get_all_operations())]
FALLIBLE = [operation for operation in OPERATIONS if operation.query or operation.body]


@pytest.fixture(scope="module")
def gateway() -> Iterator[LiveGateway]:
    with live_gateway(chunk_size_bytes=64 * 1024) as live:
        yield live


def prove(gateway: LiveGateway, operation: Any, mode: GenerationMode) -> None:
    """Send requests to the operation, every other one about something that exists, and judge the answers."""
    sent = 0

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def conforms(case: Any) -> None:
        nonlocal sent
        sent += 1
        if sent % 2 and case.path_parameters:
            with gateway.client() as client:
                video = client.post("/api/v1/videos?name=a.mp4", content=b"content").json()
                plan = client.post(
                    "/api/v1/ring/plans", json={"changes": [{"action": "drain", "name": "disk1"}]}
                ).json()
            real = {"video_id": video["id"], "name": "disk1", "slug": "video-not-found"}
            real["plan_id"] = plan.get("id", "0" * 32)
            case.path_parameters = {name: real[name] for name in case.path_parameters}
        if operation.path == "/api/v1/events":  # a stream has no end: tests of its own read it
            case.headers["accept"] = "application/json"
        case.call_and_validate(base_url=gateway.url, checks=CHECKS)

    conforms()


@pytest.mark.parametrize("operation", OPERATIONS, ids=[operation.label for operation in OPERATIONS])
def test_right_requests_are_answered_as_documented(gateway: LiveGateway, operation: Any) -> None:
    prove(gateway, operation, GenerationMode.POSITIVE)


@pytest.mark.parametrize("operation", FALLIBLE, ids=[operation.label for operation in FALLIBLE])
def test_wrong_requests_are_answered_as_documented(gateway: LiveGateway, operation: Any) -> None:
    prove(gateway, operation, GenerationMode.NEGATIVE)


def test_there_are_operations_to_look_at() -> None:
    assert "POST /api/v1/videos" in {operation.label for operation in OPERATIONS}
    assert len(OPERATIONS) > 15
    assert len(FALLIBLE) > 5
