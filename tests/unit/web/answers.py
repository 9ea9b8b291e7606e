"""What answers of the API look like: used by every test of the web layer."""

from __future__ import annotations

from typing import Any

import httpx

from reelstore.web.problem_pages import problem_page

MEMBERS = {"type", "title", "status", "detail", "instance", "request_id", "retryable"}


def assert_problem(answer: httpx.Response, status: int, slug: str, **data: Any) -> dict[str, Any]:
    """Require a problem of the one shape, with this data among its members, and return it."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    document: dict[str, Any] = answer.json()
    assert (answer.status_code, document["type"]) == (status, f"/problems/{slug}"), document
    assert set(document) >= MEMBERS
    assert document["status"] == status
    assert document["detail"]
    assert document["request_id"] == answer.headers["x-request-id"]
    page = problem_page(slug)
    assert page is not None
    assert page.startswith(f"# {document['title']}\n")
    assert {name: document.get(name) for name in data} == data
    return document


def assert_video(answer: httpx.Response, status: int = 200) -> dict[str, Any]:
    """Require a video as an answer, with its ETag, and return it."""
    assert answer.status_code == status, answer.text
    video: dict[str, Any] = answer.json()
    assert answer.headers["etag"] == video["etag"]
    return video
