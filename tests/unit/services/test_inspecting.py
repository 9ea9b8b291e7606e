"""Where a video lies, and whether it does: placement, verification, and the partitions that locating works with."""

from __future__ import annotations

import pytest

from reelstore.domain.errors import InvalidCursor, InvalidInput, VideoNotFound
from reelstore.services import inspection
from reelstore.services.locations import Locations
from reelstore.services.pages import encode_cursor
from tests.cluster import CHUNK, Cluster, content, memory_cluster


async def places(cluster: Cluster, video_id: str, limit: int) -> list[inspection.ChunkPlace]:
    found: list[inspection.ChunkPlace] = []
    cursor = None
    while True:
        page = await cluster.app.inspector.placement(video_id, limit=limit, cursor=cursor)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found


# ---------------------------------------------------------------------- placement


@pytest.mark.parametrize("limit", [1, 3, 7, 1000])
async def test_each_chunk_is_named_once_with_the_servers_that_really_have_it(cluster: Cluster, limit: int) -> None:
    video = await cluster.store(content(6 * CHUNK + 9))
    found = await places(cluster, video.id, limit)
    assert [place.position for place in found] == list(range(7))
    assert [place.offset_bytes for place in found] == [CHUNK * index for index in range(7)]
    assert [place.size_bytes for place in found] == [CHUNK] * 6 + [9]
    held = {server: {shard.digest.hex() for shard in shards} for server, shards in (await cluster.shards()).items()}
    for place in found:
        assert {server for server, digests in held.items() if place.digest in digests} == set(place.servers)
        assert place.synced_servers == place.servers
        assert place.partition == int(place.digest[0], 16)


async def test_while_a_chunk_moves_both_rows_are_told(cluster: Cluster) -> None:
    video = await cluster.store(content(40 * CHUNK))
    before = {place.position: place.servers for place in await places(cluster, video.id, 1000)}
    await cluster.add_server("disk4")
    during = await places(cluster, video.id, 1000)
    assert {place.position: place.synced_servers for place in during} == before
    assert any("disk4" in place.servers for place in during)
    await cluster.settle()
    assert all(place.servers == place.synced_servers for place in await places(cluster, video.id, 1000))


async def test_an_empty_video_lies_nowhere_and_a_trashed_one_where_it_was(cluster: Cluster) -> None:
    empty = await cluster.store(b"")
    assert await places(cluster, empty.id, 10) == []
    video = await cluster.store(content(CHUNK))
    await cluster.app.videos.trash(video.id, expected_version=None)
    assert len(await places(cluster, video.id, 10)) == 1


async def test_wrong_limits_and_cursors_are_refused(cluster: Cluster) -> None:
    video = await cluster.store(content(3 * CHUNK))
    other = await cluster.store(content(3 * CHUNK, seed=1))
    for limit in (0, -1, 1001):
        with pytest.raises(InvalidInput):
            await cluster.app.inspector.placement(video.id, limit=limit)
    foreign = (await cluster.app.inspector.placement(other.id, limit=1)).next_cursor
    for cursor in (foreign, "x", encode_cursor("placement", "text", video.id), encode_cursor("-name", 1, video.id)):
        with pytest.raises(InvalidCursor):
            await cluster.app.inspector.placement(video.id, cursor=cursor)
    beyond = encode_cursor("placement", 2**62, video.id)
    assert (await cluster.app.inspector.placement(video.id, cursor=beyond)).items == ()
    with pytest.raises(VideoNotFound):
        await cluster.app.inspector.placement("x")


# ---------------------------------------------------------------------- verify


async def test_a_whole_video_has_no_problem(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "MAP_PAGE_CHUNKS", 2)
    video = await cluster.store(content(5 * CHUNK + 1))
    result = await cluster.app.inspector.verify(video.id)
    assert (result.video_id, result.shards_total, result.shards_ok) == (video.id, 12, 12)
    assert (result.problems, result.problems_truncated) == ((), False)


async def test_each_kind_of_problem_is_named_with_its_server_and_repaired_afterwards(cluster: Cluster) -> None:
    video = await cluster.store(content(12 * CHUNK))
    await cluster.settle()
    chunks = await cluster.chunks()
    on_disk1 = [chunk for chunk in chunks if "disk1" in dict(await cluster.row(chunk))][:2]
    names = [dict(await cluster.row(chunk))["disk1"] for chunk in on_disk1]
    await cluster.server("disk1").inner.delete(names[0])
    await cluster.server("disk1").flip(names[1])
    result = await cluster.app.inspector.verify(video.id)
    assert {(problem.chunk, problem.server, problem.problem) for problem in result.problems} == {
        (on_disk1[0].digest.hex(), "disk1", "missing"),
        (on_disk1[1].digest.hex(), "disk1", "corrupt"),
    }
    assert (result.shards_total, result.shards_ok) == (24, 22)
    while await cluster.app.rebalancer.step():  # no time passes: no survey is due
        pass
    assert (await cluster.app.inspector.verify(video.id)).problems == ()
    await cluster.assert_whole()


async def test_a_server_that_does_not_answer_is_unreachable_and_not_missing(cluster: Cluster) -> None:
    video = await cluster.store(content(12 * CHUNK))
    cluster.server("disk1").down = True
    result = await cluster.app.inspector.verify(video.id)
    assert {(problem.server, problem.problem) for problem in result.problems} == {("disk1", "unreachable")}
    assert not len(cluster.app.attention)  # there is nothing to repair


async def test_the_list_of_problems_is_bounded_and_says_so(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "PROBLEMS_MAX", 3)
    video = await cluster.store(content(10 * CHUNK))
    for server in cluster.servers:
        server.down = True
    result = await cluster.app.inspector.verify(video.id)
    assert (len(result.problems), result.problems_truncated, result.shards_ok) == (3, True, 0)


async def test_verifying_what_does_not_exist_or_is_empty(cluster: Cluster) -> None:
    with pytest.raises(VideoNotFound):
        await cluster.app.inspector.verify("x")
    empty = await cluster.store(b"")
    assert (await cluster.app.inspector.verify(empty.id)).shards_total == 0


# ---------------------------------------------------------------------- locations


@pytest.mark.parametrize(
    ("bits", "prefixes", "partitions"),
    [
        (4, [0x0000, 0x0FFF, 0x1000, 0xFFFF], [0, 1, 15]),
        (16, [0x0000, 0x1234, 0xFFFF], [0, 0x1234, 0xFFFF]),
        (2, [], []),
    ],
)
async def test_a_digests_prefix_tells_its_partition(bits: int, prefixes: list[int], partitions: list[int]) -> None:
    async with memory_cluster(partition_bits=bits) as cluster:
        assert Locations(cluster.app.topology).partitions("default", prefixes) == partitions
