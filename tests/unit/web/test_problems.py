from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

import reelstore.web.errors as web_errors
from reelstore.domain import errors
from reelstore.domain.errors import ReelstoreError
from reelstore.web.problem_pages import problem_page, problem_slugs
from reelstore.web.problems import STATUSES, describe, problem_response, status_of


def kinds(root: type[ReelstoreError] = ReelstoreError) -> Iterator[type[ReelstoreError]]:
    yield root
    for child in root.__subclasses__():
        yield from kinds(child)


OURS = [kind for kind in kinds() if kind.__module__.startswith("reelstore.")]


def test_there_are_errors_to_look_at() -> None:
    assert errors.VideoNotFound in OURS
    assert web_errors.RangeNotSatisfiable in OURS


@pytest.mark.parametrize("kind", OURS)
def test_every_error_has_a_status_and_a_page(kind: type[ReelstoreError]) -> None:
    assert 400 <= status_of(kind) < 600
    page = problem_page(kind.problem)
    assert page is not None
    assert page.startswith(f"# {kind.title}\n")


@pytest.mark.parametrize("kind", OURS)
def test_only_the_root_and_what_an_operator_must_repair_falls_to_500(kind: type[ReelstoreError]) -> None:
    broken = (errors.ChunkLost, errors.PlacementError, errors.ConfigurationError, errors.IntegrityViolation)
    assert (status_of(kind) == 500) == (kind is ReelstoreError or issubclass(kind, broken))


@pytest.mark.parametrize("kind", OURS)
def test_what_a_retry_can_help_is_no_final_status(kind: type[ReelstoreError]) -> None:
    if kind.retryable:
        assert status_of(kind) == 503 or kind is errors.IncompleteBody


def test_the_table_names_each_class_once_and_only_ours() -> None:
    assert set(STATUSES) <= set(OURS)


def test_every_page_belongs_to_an_error() -> None:
    assert set(problem_slugs()) == {kind.problem for kind in OURS}


def test_one_problem_means_one_title() -> None:
    titles: dict[str, str] = {}
    for kind in OURS:
        assert titles.setdefault(kind.problem, kind.title) == kind.title


def test_a_problem_carries_the_errors_own_data() -> None:
    error = errors.InsufficientServers("two of three", needed=2, acknowledged=1)
    assert describe(error, instance="/api/v1/videos", request_id="r1") == {
        "type": "/problems/insufficient-servers",
        "title": "Too few storage servers answer",
        "status": 503,
        "detail": "two of three",
        "instance": "/api/v1/videos",
        "request_id": "r1",
        "retryable": True,
        "needed": 2,
        "acknowledged": 1,
    }


def test_data_can_never_replace_a_member_of_the_problem() -> None:
    error = ReelstoreError("x")
    error.status = 200  # type: ignore[attr-defined]  # what a careless subclass might do
    assert describe(error, instance="/")["status"] == 500


@pytest.mark.parametrize(
    ("error", "header", "value"),
    [
        (web_errors.RangeNotSatisfiable("", size_bytes=7), "content-range", "bytes */7"),
        (web_errors.MethodNotAllowed("", allow=["GET", "HEAD"]), "allow", "GET, HEAD"),
        (web_errors.UnsupportedMediaType("", accept=["application/json"]), "accept", "application/json"),
        (web_errors.UnsupportedMediaType("", accept=["identity"]), "accept-encoding", "identity"),
        (errors.Overloaded(""), "retry-after", "2"),
    ],
)
def test_headers_that_http_asks_for_come_along(error: ReelstoreError, header: str, value: str) -> None:
    assert problem_response(error, {"path": "/"}).headers[header] == value


def test_text_that_is_no_unicode_still_makes_an_answer() -> None:
    body = problem_response(errors.NotFound("\ud800", key="\udfff"), {"path": "/\ud800"}).body
    assert json.loads(bytes(body))["detail"] == "\ud800"


@pytest.mark.parametrize("slug", ["README", "../README", "..", "", "a/b", "Video-Not-Found", "video-not-found.md"])
def test_nothing_but_pages_is_served_as_a_page(slug: str) -> None:
    assert problem_page(slug) is None
