"""Edit, trash, restore, purge: with versions that keep two editors apart, and freed bytes that are true."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from reelstore.domain.errors import (
    InvalidInput,
    PreconditionFailed,
    StoredFileNotFound,
    VideoNotFound,
    VideoStateConflict,
)
from reelstore.domain.video import Video, VideoState
from reelstore.services.video_requests import VideoEdit
from tests.cluster import CHUNK, Cluster, content

# ---------------------------------------------------------------------- edit


async def test_an_edit_changes_what_it_names_and_nothing_else(cluster: Cluster) -> None:
    video = await cluster.store(b"x", name="a", title="A", description="one", tags=("t",))
    cluster.clock.advance(5)
    edited = await cluster.app.videos.edit(video.id, VideoEdit(title="B"), expected_version=1)
    assert (edited.name, edited.title, edited.description, edited.tags) == ("a", "B", "one", ("t",))
    assert edited.version == 2
    assert edited.updated_at == cluster.clock.now
    assert edited.created_at == video.created_at
    assert await cluster.app.videos.get(video.id) == edited
    assert await cluster.read(video.id) == b"x"


async def test_every_field_can_be_changed_and_tags_and_description_emptied(cluster: Cluster) -> None:
    video = await cluster.store(b"x", description="one", tags=("t",))
    edit = VideoEdit(name="n", title="t", description="", tags=())
    edited = await cluster.app.videos.edit(video.id, edit, expected_version=None)
    assert (edited.name, edited.title, edited.description, edited.tags) == ("n", "t", "", ())


@pytest.mark.parametrize("edit", [VideoEdit(), VideoEdit(name="a", tags=(" t ", "t"))])
async def test_an_edit_that_changes_nothing_is_no_new_version(cluster: Cluster, edit: VideoEdit) -> None:
    video = await cluster.store(b"x", name="a", tags=("t",))
    cluster.clock.advance(5)
    assert await cluster.app.videos.edit(video.id, edit, expected_version=1) == video


@pytest.mark.parametrize(
    ("edit", "field"),
    [
        (VideoEdit(name=""), "name"),
        (VideoEdit(name=" \u3000"), "name"),
        (VideoEdit(name="a\x7f"), "name"),
        (VideoEdit(name="x" * 1025), "name"),
        (VideoEdit(title=""), "title"),
        (VideoEdit(title="x" * 1025), "title"),
        (VideoEdit(description="x" * 16_385), "description"),
        (VideoEdit(description="\udc00"), "description"),
        (VideoEdit(tags=("a", "")), "tags"),
        (VideoEdit(tags=("x" * 129,)), "tags"),
        (VideoEdit(tags=tuple(map(str, range(65)))), "tags"),
    ],
)
async def test_an_edit_that_breaks_a_rule_changes_nothing(cluster: Cluster, edit: VideoEdit, field: str) -> None:
    video = await cluster.store(b"x")
    with pytest.raises(InvalidInput) as caught:
        await cluster.app.videos.edit(video.id, edit, expected_version=None)
    assert caught.value.field == field
    assert await cluster.app.videos.get(video.id) == video


async def test_of_two_editors_at_once_one_is_told_to_read_again(cluster: Cluster) -> None:
    video = await cluster.store(b"x")
    results = await asyncio.gather(
        *(cluster.app.videos.edit(video.id, VideoEdit(title=title), expected_version=1) for title in "ab"),
        return_exceptions=True,
    )
    assert sum(isinstance(result, PreconditionFailed) for result in results) == 1
    assert (await cluster.app.videos.get(video.id)).version == 2


async def test_a_trashed_video_is_not_edited(cluster: Cluster) -> None:
    video = await cluster.store(b"x")
    trashed = await cluster.app.videos.trash(video.id, expected_version=1)
    with pytest.raises(VideoStateConflict):
        await cluster.app.videos.edit(video.id, VideoEdit(title="B"), expected_version=None)
    assert await cluster.app.videos.get(video.id) == trashed


# ---------------------------------------------------------------------- what all changes share

Change = Callable[..., Awaitable[Any]]


def changes(cluster: Cluster) -> dict[str, Change]:
    videos = cluster.app.videos
    return {
        "edit": lambda video_id, expected_version: videos.edit(
            video_id, VideoEdit(title="B"), expected_version=expected_version
        ),
        "trash": videos.trash,
        "restore": videos.restore,
        "purge": videos.purge,
    }


CHANGES = ["edit", "trash", "restore", "purge"]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("version", [0, 2, -1, 10**30])
async def test_a_change_for_another_version_changes_nothing(cluster: Cluster, change: str, version: int) -> None:
    video = await cluster.store(b"x")
    with pytest.raises(PreconditionFailed, match="version 1"):
        await changes(cluster)[change](video.id, expected_version=version)
    assert await cluster.app.videos.get(video.id) == video


@pytest.mark.parametrize("change", CHANGES)
async def test_what_does_not_exist_is_not_changed(cluster: Cluster, change: str) -> None:
    for unknown in ("x", "", "\0", "../x"):
        with pytest.raises(VideoNotFound):
            await changes(cluster)[change](unknown, expected_version=None)


# ---------------------------------------------------------------------- trash and restore


async def test_a_trashed_video_is_not_read_and_comes_back_as_it_was(cluster: Cluster) -> None:
    data = content(3 * CHUNK)
    video = await cluster.store(data)
    cluster.clock.advance(5)
    trashed = await cluster.app.videos.trash(video.id, expected_version=1)
    assert (trashed.state, trashed.version, trashed.deleted_at) == (VideoState.TRASHED, 2, cluster.clock.now)
    with pytest.raises(VideoNotFound, match="trash"):
        await cluster.app.videos.open(video.id)
    await cluster.settle()
    cluster.clock.advance(5)
    restored = await cluster.app.videos.restore(video.id, expected_version=2)
    assert (restored.state, restored.version, restored.deleted_at) == (VideoState.STORED, 3, None)
    assert restored.state_before_trash is None
    assert await cluster.read(video.id) == data


async def test_trashing_again_changes_nothing(cluster: Cluster) -> None:
    video = await cluster.store(b"x")
    trashed = await cluster.app.videos.trash(video.id, expected_version=None)
    cluster.clock.advance(5)
    assert await cluster.app.videos.trash(video.id, expected_version=None) == trashed


async def test_what_is_not_in_the_trash_is_not_restored(cluster: Cluster) -> None:
    video = await cluster.store(b"x")
    with pytest.raises(VideoStateConflict):
        await cluster.app.videos.restore(video.id, expected_version=None)
    await cluster.app.videos.trash(video.id, expected_version=None)
    await cluster.app.videos.restore(video.id, expected_version=None)
    with pytest.raises(VideoStateConflict):
        await cluster.app.videos.restore(video.id, expected_version=None)


async def test_a_restore_brings_back_the_state_of_before(cluster: Cluster) -> None:
    video = await cluster.store(b"x")
    async with cluster.metadata.unit_of_work() as uow:
        failed = Video(**{name: getattr(video, name) for name in Video.__slots__} | {"state": VideoState.FAILED})
        assert await uow.videos.update(failed, expected_version=1)
        await uow.commit()
    await cluster.app.videos.trash(video.id, expected_version=None)
    assert (await cluster.app.videos.restore(video.id, expected_version=None)).state is VideoState.FAILED


# ---------------------------------------------------------------------- purge


@pytest.mark.parametrize("trashed", [True, False])
async def test_a_purged_video_is_gone_and_its_space_comes_back(cluster: Cluster, trashed: bool) -> None:
    video = await cluster.store(content(5 * CHUNK + 7))
    if trashed:
        await cluster.app.videos.trash(video.id, expected_version=None)
    purged = await cluster.app.videos.purge(video.id, expected_version=None)
    assert (purged.video_id, purged.size_bytes, purged.freed_bytes) == (video.id, 5 * CHUNK + 7, 5 * CHUNK + 7)
    for gone in (cluster.app.videos.get, cluster.app.videos.open):
        with pytest.raises(VideoNotFound):
            await gone(video.id)
    await cluster.settle()
    assert await cluster.chunks() == []
    assert not any((await cluster.shards()).values())


async def test_a_purge_is_remembered_until_its_space_is_back_without_waiting_for_a_survey(cluster: Cluster) -> None:
    video = await cluster.store(content(5 * CHUNK))
    await cluster.settle()
    await cluster.app.videos.purge(video.id, expected_version=None)
    while await cluster.app.rebalancer.step():  # no time passes: no survey is due
        pass
    assert not any((await cluster.shards()).values())


async def test_a_purge_frees_what_no_other_video_needs_and_says_how_much(cluster: Cluster) -> None:
    shared, own = content(3 * CHUNK), content(2 * CHUNK, seed=1)
    first = await cluster.store(shared + own)
    second = await cluster.store(shared)
    assert (await cluster.app.videos.purge(first.id, expected_version=None)).freed_bytes == 2 * CHUNK
    await cluster.settle()
    assert await cluster.read(second.id) == shared
    await cluster.assert_whole()
    assert len(await cluster.chunks()) == 3
    assert (await cluster.app.videos.purge(second.id, expected_version=None)).freed_bytes == 3 * CHUNK


async def test_a_trashed_video_keeps_what_it_shares(cluster: Cluster) -> None:
    data = content(3 * CHUNK)
    first, second = await cluster.store(data), await cluster.store(data)
    await cluster.app.videos.trash(first.id, expected_version=None)
    assert (await cluster.app.videos.purge(second.id, expected_version=None)).freed_bytes == 0
    await cluster.settle()
    await cluster.app.videos.restore(first.id, expected_version=None)
    assert await cluster.read(first.id) == data


async def test_bytes_that_repeat_within_a_video_are_freed_once(cluster: Cluster) -> None:
    video = await cluster.store(bytes(10 * CHUNK))
    purged = await cluster.app.videos.purge(video.id, expected_version=None)
    assert (purged.size_bytes, purged.freed_bytes) == (10 * CHUNK, CHUNK)


async def test_an_empty_video_frees_nothing(cluster: Cluster) -> None:
    video = await cluster.store(b"")
    assert (await cluster.app.videos.purge(video.id, expected_version=None)).freed_bytes == 0


async def test_of_two_purges_at_once_one_frees(cluster: Cluster) -> None:
    video = await cluster.store(content(CHUNK))
    results = await asyncio.gather(
        *(cluster.app.videos.purge(video.id, expected_version=None) for _ in range(2)), return_exceptions=True
    )
    assert sum(isinstance(result, VideoNotFound) for result in results) == 1


async def test_bytes_stored_again_while_they_are_purged_and_collected_stay(cluster: Cluster) -> None:
    data = content(6 * CHUNK)
    video = await cluster.store(data)
    gates = [server.hold("stat") for server in cluster.servers]  # a live chunk is looked at, not written again
    storing = asyncio.create_task(cluster.store(data))
    await asyncio.sleep(0.01)
    await cluster.app.videos.purge(video.id, expected_version=None)
    await cluster.settle()
    for gate in gates:
        gate.set()
    again = await storing
    await cluster.settle()
    assert await cluster.read(again.id) == data
    await cluster.assert_whole()


async def test_a_reader_of_a_video_that_is_purged_gets_its_bytes_or_an_error_and_never_others(
    cluster: Cluster,
) -> None:
    data = content(20 * CHUNK)
    video = await cluster.store(data)
    opened = await cluster.app.videos.open(video.id)
    reader = await cluster.app.videos.read(opened, 0, video.size_bytes)
    got = bytearray(await anext(reader))
    await cluster.app.videos.purge(video.id, expected_version=None)
    await cluster.settle()
    await cluster.store(content(20 * CHUNK, seed=1))  # other bytes in the space that came free

    async def read_on() -> None:
        async for piece in reader:
            got.extend(piece)

    with pytest.raises(StoredFileNotFound):
        await read_on()
    await reader.aclose()
    assert data.startswith(bytes(got))
    assert cluster.app.store._reading.budget.used_bytes == 0
    assert (await cluster.app.rebalancer.status()).reasons == ()  # nothing of it counts as lost


async def test_a_purge_while_a_server_is_down_frees_the_rest_now_and_that_later(cluster: Cluster) -> None:
    video = await cluster.store(content(20 * CHUNK))
    cluster.server("disk1").down = True
    await cluster.app.videos.purge(video.id, expected_version=None)
    await cluster.settle()
    held = {name: len(shards) for name, shards in (await cluster.shards()).items()}
    assert (held["disk2"], held["disk3"]) == (0, 0)
    assert held["disk1"] > 0
    cluster.server("disk1").down = False
    await cluster.settle()
    assert not any((await cluster.shards()).values())
