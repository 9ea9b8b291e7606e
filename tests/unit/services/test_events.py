"""Events say what happened, if and only if it did."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from reelstore.domain.counter import Counter
from reelstore.domain.errors import IncompleteBody, InvalidCursor, InvalidInput, PreconditionFailed
from reelstore.domain.event import Event, EventKind
from reelstore.domain.file import FileState, StoredFile
from reelstore.services.events import EventFilter
from reelstore.services.video_requests import VideoEdit
from tests.cluster import Cluster, pieces

EVERYTHING = EventFilter()


async def told(cluster: Cluster, wanted: EventFilter = EVERYTHING) -> list[tuple[str, str]]:
    """Return kind and subject of each event, in order."""
    page = await cluster.app.events.latest(limit=1000, wanted=wanted)
    return [(event.kind, event.subject) for event in reversed(page.items)]


async def test_each_change_of_a_video_is_told_once_and_what_changes_nothing_is_not(cluster: Cluster) -> None:
    videos = cluster.app.videos
    video = await cluster.store(b"abc", name="a.mp4")
    await videos.edit(video.id, VideoEdit(title="A"), expected_version=None)
    await videos.edit(video.id, VideoEdit(title="A"), expected_version=None)
    await videos.trash(video.id, expected_version=None)
    await videos.trash(video.id, expected_version=None)
    await videos.restore(video.id, expected_version=None)
    await videos.purge(video.id, expected_version=None)
    kinds = ["video.stored", "video.changed", "video.trashed", "video.restored", "video.purged"]
    assert await told(cluster) == [(kind, video.id) for kind in kinds]


async def test_an_event_says_what_people_and_programs_ask(cluster: Cluster) -> None:
    video = await cluster.store(b"abc", name="a.mp4")
    await cluster.app.videos.purge(video.id, expected_version=None)
    purged, stored = (await cluster.app.events.latest(limit=2)).items
    described = {"name": "a.mp4", "state": "stored", "size_bytes": 3, "version": 1}
    at = cluster.clock.now
    assert stored == Event(EventKind.VIDEO_STORED, video.id, "stored a.mp4", at, described, id=1)
    assert purged == Event(EventKind.VIDEO_PURGED, video.id, "purged a.mp4", at, described | {"freed_bytes": 3}, id=2)


async def test_what_fails_is_not_told(cluster: Cluster) -> None:
    video = await cluster.store(b"abc")
    with pytest.raises(IncompleteBody):
        await cluster.send(pieces(b"abc"), length_bytes=5)
    with pytest.raises(PreconditionFailed):
        await cluster.app.videos.edit(video.id, VideoEdit(title="A"), expected_version=7)
    with pytest.raises(PreconditionFailed):
        await cluster.app.videos.purge(video.id, expected_version=7)
    assert await told(cluster) == [("video.stored", video.id)]


async def test_a_repeated_upload_with_one_key_is_told_once(cluster: Cluster) -> None:
    first = await cluster.send(pieces(b"abc"), idempotency_key="k")
    assert not (await cluster.send(pieces(b"abc"), idempotency_key="k")).created
    assert await told(cluster) == [("video.stored", first.video.id)]


async def test_purges_and_expired_uploads_are_counted_with_their_bytes(cluster: Cluster) -> None:
    video = await cluster.store(b"abcde")
    twin = await cluster.store(b"abcde")
    await cluster.app.videos.purge(video.id, expected_version=None)
    await cluster.app.videos.purge(twin.id, expected_version=None)
    async with cluster.metadata.unit_of_work() as uow:
        expires_at = await uow.now() + timedelta(seconds=60)
        await uow.files.add(StoredFile("f", "default", FileState.OPEN, 0, 0, None, expires_at))
        assert await uow.files.advance(
            "f", from_offset_bytes=0, to_offset_bytes=7, chunk_count=0, expires_at=expires_at
        )
        await uow.commit()
    cluster.clock.advance(61)
    assert await cluster.app.expire() == 1
    assert (await told(cluster))[-1] == ("upload.expired", "f")
    async with cluster.metadata.snapshot() as view:
        counts = await view.counters.get()
    assert {counter: count for counter, count in counts.items() if count} == {
        Counter.VIDEOS_PURGED: 2,
        Counter.VIDEOS_PURGED_BYTES: 5,
        Counter.UPLOADS_EXPIRED: 1,
        Counter.UPLOADS_EXPIRED_BYTES: 7,
    }


async def test_pages_go_back_to_the_first_event_and_leave_none_out(cluster: Cluster) -> None:
    for index in range(7):
        await cluster.store(bytes([index]))
    ids: list[int] = []
    cursor = None
    for _ in range(10):
        page = await cluster.app.events.latest(limit=3, cursor=cursor)
        ids += [event.id for event in page.items]
        await cluster.store(b"more")
        cursor = page.next_cursor
        if cursor is None:
            break
    assert ids == [7, 6, 5, 4, 3, 2, 1]


async def test_events_are_found_by_kind_and_subject(cluster: Cluster) -> None:
    first, second = await cluster.store(b"a"), await cluster.store(b"b")
    await cluster.app.videos.trash(first.id, expected_version=None)
    trashed, stored = EventKind.VIDEO_TRASHED, EventKind.VIDEO_STORED
    assert await told(cluster, EventFilter(subject=first.id)) == [(stored, first.id), (trashed, first.id)]
    assert await told(cluster, EventFilter((trashed,))) == [(trashed, first.id)]
    assert await told(cluster, EventFilter((trashed, stored), second.id)) == [(stored, second.id)]
    assert await told(cluster, EventFilter(subject="nobody")) == []


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"limit": 0}, InvalidInput),
        ({"limit": 1001}, InvalidInput),
        ({"limit": 1, "cursor": "nonsense"}, InvalidCursor),
        ({"limit": 1, "cursor": "WyJldmVudHMiLCJ2IiwiYSIsIiJd"}, InvalidCursor),  # a text for a position
    ],
)
async def test_a_request_that_makes_no_sense_is_refused(
    cluster: Cluster, request_: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await cluster.app.events.latest(**request_)
