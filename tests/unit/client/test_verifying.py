"""The client goes through all slices of a verification, and asks again for one whose answer was lost."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from reelstore.client import ConnectionFailed, Problem, UnexpectedAnswer
from reelstore.client.errors import ReelstoreClientError
from reelstore.client.verifying import VerifyingCalls
from reelstore.client.wire import Wire

Answer = Mapping[str, Any] | ReelstoreClientError


class ScriptedWire:
    """Answer in the order of a script, and remember what was asked."""

    retries = 2

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, Mapping[str, Any] | None, Mapping[str, Any] | None]] = []

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        **_: object,
    ) -> Mapping[str, Any]:
        self.asked.append((method, path, query, body))
        answer = self.answers.pop(0)
        if isinstance(answer, ReelstoreClientError):
            raise answer
        return answer

    def may_pass(self, error: ReelstoreClientError) -> bool:
        return error.retryable


def calls(wire: ScriptedWire) -> VerifyingCalls:
    return VerifyingCalls(cast("Wire", wire))


def a_slice(progress: float, next_cursor: str | None, **more: Any) -> dict[str, Any]:
    counts = {"shards_total": 2, "shards_ok": 2, "shards_moving": 0, "shards_bytes": 10, "problems": []}
    return {**counts, "problems_truncated": False, "progress": progress, "next_cursor": next_cursor, **more}


LOST = ConnectionFailed("cut", connected=True)


def test_every_slice_is_asked_for_with_the_cursor_of_the_one_before() -> None:
    wire = ScriptedWire(a_slice(0.3, "one"), a_slice(0.6, "two"), a_slice(1.0, None))
    found = list(calls(wire).verify_all(slice_seconds=3))
    assert [each.progress for each in found] == [0.3, 0.6, 1.0]
    assert [asked[3] for asked in wire.asked] == [
        {"seconds": 3},
        {"seconds": 3, "cursor": "one"},
        {"seconds": 3, "cursor": "two"},
    ]


def test_it_goes_on_from_a_cursor_of_another_day() -> None:
    wire = ScriptedWire(a_slice(1.0, None))
    assert len(list(calls(wire).verify_all(cursor="old"))) == 1
    assert wire.asked[0][3] == {"seconds": 5.0, "cursor": "old"}


def test_an_answer_that_is_lost_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reelstore.client.retrying.FIRST_WAIT_SECONDS", 0)
    wire = ScriptedWire(a_slice(0.5, "one"), LOST, LOST, a_slice(1.0, None))
    assert len(list(calls(wire).verify_all())) == 2
    assert [asked[3] for asked in wire.asked[1:]] == [{"seconds": 5.0, "cursor": "one"}] * 3


@pytest.mark.parametrize(
    "answers",
    [
        (LOST, LOST, LOST),
        (
            Problem(
                status=400,
                slug="invalid-cursor",
                title="",
                detail="",
                retryable=False,
                retry_after_seconds=None,
                data={},
            ),
        ),
        (a_slice(0.5, "same"), a_slice(0.5, "same")),
        ({"shards_total": 1},),
    ],
    ids=["lost for good", "refused", "round in circles", "no slice"],
)
def test_what_does_not_get_on_ends(monkeypatch: pytest.MonkeyPatch, answers: tuple[Answer, ...]) -> None:
    monkeypatch.setattr("reelstore.client.retrying.FIRST_WAIT_SECONDS", 0)
    wire = ScriptedWire(*answers)
    with pytest.raises((ConnectionFailed, Problem, UnexpectedAnswer)):
        list(calls(wire).verify_all())
    assert wire.answers == []


def test_problems_name_their_videos() -> None:
    problem = {"chunk": "ab", "server": "disk1", "problem": "corrupt", "videos": [{"id": "1", "name": "a.mp4"}]}
    (found,) = calls(ScriptedWire(a_slice(1.0, None, shards_ok=1, problems=[problem]))).verify_all()
    assert found.verification.problems[0].videos == ("a.mp4",)
    assert not found.verification.whole


def test_the_quarantine_is_listed_and_emptied() -> None:
    copy = {
        "id": "x",
        "server": "disk1",
        "chunk": "ab",
        "size_bytes": 7,
        "set_aside_at": "2026-03-01T00:00:00Z",
        "videos": [],
    }
    wire = ScriptedWire(
        {"items": [copy], "next_cursor": "c", "unreachable": ["disk2"]},
        {"copies": 1, "size_bytes": 7, "unreachable": []},
    )
    page = calls(wire).quarantine(limit=1)
    assert (page.items[0].set_aside_at, page.next_cursor) == (datetime(2026, 3, 1, tzinfo=UTC), "c")
    assert page.unreachable == ("disk2",)
    emptied = calls(wire).empty_quarantine(before=datetime(2026, 3, 1, tzinfo=UTC))
    assert (emptied.copies, emptied.size_bytes) == (1, 7)
    assert wire.asked[1][:3] == ("DELETE", "/quarantine", {"before": "2026-03-01T00:00:00+00:00"})
