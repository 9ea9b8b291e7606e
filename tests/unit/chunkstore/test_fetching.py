"""Fetching one chunk: verified, from whoever has it, and not called lost before everybody was asked."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from reelstore.chunkstore.fetching import PASSES_MAX, Defect, Fetcher
from reelstore.chunkstore.redundancy import digest_of
from reelstore.domain.chunk import Chunk, ShardName
from reelstore.domain.errors import ChunkLost, ChunkUnavailable, ShardCorrupt
from tests.cluster import POLICY, Cluster, content, until

DATA = content(1000)


@dataclass
class Scene:
    """A cluster with one chunk, and a fetcher whose reports are kept."""

    cluster: Cluster
    chunk: Chunk
    row: list[tuple[str, ShardName]]
    fetcher: Fetcher
    defects: list[Defect] = field(default_factory=list)

    @classmethod
    async def of(cls, cluster: Cluster, *, get_timeout_seconds: float = 15.0) -> Scene:
        await cluster.store(DATA)
        (chunk,) = await cluster.chunks()
        defects: list[Defect] = []
        app = cluster.app
        fetcher = Fetcher(
            app.fleet,
            app.topology,
            app.metadata,
            on_defect=defects.append,
            get_timeout_seconds=get_timeout_seconds,
        )
        return cls(cluster, chunk, await cluster.row(chunk), fetcher, defects)

    async def fetch(self) -> bytes:
        return bytes(await self.fetcher.fetch(self.chunk))

    def first(self, name: str) -> None:
        """Have that server asked first."""
        for each in self.cluster.app.fleet:
            each.latency_seconds = 1e-9 if each.server.name == name else 1e-6

    async def spoil_all(self, data: bytes = b"other") -> None:
        for name, shard in self.row:
            await self.cluster.server(name).replace(shard, data)

    def gets(self) -> dict[str, int]:
        return {name: self.cluster.server(name).calls["get"] for name in self.cluster.names}


async def test_a_good_first_shard_is_enough(cluster: Cluster) -> None:
    scene = await Scene.of(cluster)
    assert await scene.fetch() == DATA
    assert sum(scene.gets().values()) == 1
    assert scene.defects == []


async def test_the_quicker_server_is_asked_and_the_one_that_is_down_last(cluster: Cluster) -> None:
    scene = await Scene.of(cluster)
    slow, quick = (name for name, _ in scene.row)
    scene.first(quick)
    await scene.fetch()
    assert scene.gets()[slow] == 0
    cluster.member(quick).problem = "down"
    await scene.fetch()
    assert scene.gets()[slow] == 1


async def test_a_server_thought_to_be_down_is_still_asked_when_nobody_else_has_it(cluster: Cluster) -> None:
    scene = await Scene.of(cluster)
    for name, _ in scene.row:
        cluster.member(name).problem = "down"
    assert await scene.fetch() == DATA


# ---------------------------------------------------------------------- falling back


@pytest.mark.parametrize("harm", ["flipped", "truncated", "longer", "another's", "empty"])
async def test_a_corrupt_shard_is_never_handed_out_and_reported_once(cluster: Cluster, harm: str) -> None:
    scene = await Scene.of(cluster)
    (name, shard), _ = scene.row
    server = cluster.server(name)
    match harm:
        case "flipped":
            await server.flip(shard, 999)
        case "truncated":
            await server.truncate(shard, 999)
        case "longer":
            await server.replace(shard, DATA + b"\0")
        case "another's":
            await server.replace(shard, content(1000, seed=1))
        case _:
            await server.replace(shard, b"")
    scene.first(name)
    assert await scene.fetch() == DATA
    (defect,) = scene.defects
    ring = cluster.app.topology.present.ring(POLICY)
    assert defect == Defect(
        POLICY, ring.partition_of(scene.chunk.digest), cluster.member(name).server.number, shard, "corrupt"
    )
    assert cluster.member(name).is_up  # it answers: its disk is another matter


async def test_a_shard_that_its_medium_cannot_give_back_is_corrupt(cluster: Cluster) -> None:
    scene = await Scene.of(cluster)
    name = scene.row[0][0]
    cluster.server(name).fail_next("get", error=lambda: ShardCorrupt("a bad sector", server=name))
    scene.first(name)
    assert await scene.fetch() == DATA
    assert [defect.problem for defect in scene.defects] == ["corrupt"]


async def test_a_missing_shard_is_read_elsewhere_and_reported_once(cluster: Cluster) -> None:
    scene = await Scene.of(cluster)
    (name, shard), _ = scene.row
    await cluster.server(name).inner.delete(shard)
    scene.first(name)
    assert await scene.fetch() == DATA
    assert [(defect.problem, defect.name) for defect in scene.defects] == [("missing", shard)]


async def test_a_server_that_does_not_answer_is_read_around_and_no_defect(cluster: Cluster) -> None:
    scene = await Scene.of(cluster)
    name = scene.row[0][0]
    cluster.server(name).down = True
    scene.first(name)
    assert await scene.fetch() == DATA
    assert scene.defects == []
    assert not cluster.member(name).is_up


async def test_a_shard_that_a_new_server_does_not_have_yet_is_no_defect(cluster: Cluster) -> None:
    for seed in range(20):
        await cluster.store(content(1000, seed=seed))
    await cluster.add_server("disk4")
    defects: list[Defect] = []
    app = cluster.app
    fetcher = Fetcher(app.fleet, app.topology, app.metadata, on_defect=defects.append)
    for chunk in await cluster.chunks():
        await fetcher.fetch(chunk)
    assert defects == []


# ---------------------------------------------------------------------- slow servers


async def test_a_slow_first_server_is_overtaken(cluster: Cluster) -> None:
    scene = await Scene.of(cluster)
    slow, quick = (name for name, _ in scene.row)
    scene.first(slow)
    gate = cluster.server(slow).hold("get")
    assert await scene.fetch() == DATA  # would hang without a second one
    assert scene.gets()[quick] == 1
    assert cluster.member(slow).is_up  # slow is not dead
    gate.set()


async def test_a_server_that_never_answers_counts_as_down_after_the_timeout(cluster: Cluster) -> None:
    scene = await Scene.of(cluster, get_timeout_seconds=0.02)
    for name, _ in scene.row:
        cluster.server(name).hold("get")
    with pytest.raises(ChunkUnavailable) as caught:
        await scene.fetch()
    assert set(caught.value.unreachable) == {name for name, _ in scene.row}
    assert "no answer to a get" in cluster.member(scene.row[0][0]).problem


async def test_a_fetch_that_nobody_wants_any_more_stops_its_reads(cluster: Cluster) -> None:
    scene = await Scene.of(cluster)
    for name, _ in scene.row:
        cluster.server(name).hold("get")
    fetching = asyncio.create_task(scene.fetch())
    await until(lambda: sum(scene.gets().values()))
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    await asyncio.sleep(0)
    assert not [task for task in asyncio.all_tasks() if "Fetcher._read" in repr(task)]


# ---------------------------------------------------------------------- looking everywhere


async def test_a_handoff_is_found_when_the_row_has_nothing(cluster: Cluster) -> None:
    scene = await Scene.of(cluster)
    (stray,) = set(cluster.names) - {name for name, _ in scene.row}
    for name, shard in scene.row:
        await cluster.server(name).inner.delete(shard)
    handoff = ShardName(POLICY, scene.chunk.digest, scene.chunk.id, 1, 77)
    await cluster.server(stray).inner.put(handoff, DATA)
    assert await scene.fetch() == DATA


async def test_the_same_bytes_under_another_rows_name_are_good_too(cluster: Cluster) -> None:
    scene = await Scene.of(cluster)
    for name, shard in scene.row:
        await cluster.server(name).inner.delete(shard)
    other = ShardName(POLICY, scene.chunk.digest, "e" * 32, 0, 77)
    await cluster.server("disk1").inner.put(other, DATA)
    assert await scene.fetch() == DATA


async def test_a_corrupt_stray_copy_does_not_hide_a_good_one(cluster: Cluster) -> None:
    scene = await Scene.of(cluster)
    await scene.spoil_all()
    strays = [ShardName(POLICY, scene.chunk.digest, scene.chunk.id, 0, tenure) for tenure in (7, 8, 9)]
    for name, stray, data in zip(cluster.names, strays, (b"bad", DATA, b"bad"), strict=True):
        await cluster.server(name).inner.put(stray, data)
    assert await scene.fetch() == DATA
    assert {defect.name for defect in scene.defects} == {shard for _, shard in scene.row}  # strays were not promised


@pytest.mark.parametrize("harm", ["missing", "corrupt"])
async def test_a_chunk_is_lost_when_everybody_answered_and_nobody_has_it(cluster: Cluster, harm: str) -> None:
    scene = await Scene.of(cluster)
    if harm == "corrupt":
        await scene.spoil_all()
    else:
        for name, shard in scene.row:
            await cluster.server(name).inner.delete(shard)
    with pytest.raises(ChunkLost) as caught:
        await scene.fetch()
    assert caught.value.digest == scene.chunk.digest.hex()
    assert not caught.value.retryable
    assert all(cluster.server(name).calls["find"] for name in cluster.names)


@pytest.mark.parametrize("index", [0, 1, 2])
async def test_a_chunk_is_not_lost_while_anybody_does_not_answer(cluster: Cluster, index: int) -> None:
    scene = await Scene.of(cluster)
    for name, shard in scene.row:
        await cluster.server(name).inner.delete(shard)
    silent = cluster.names[index]
    cluster.server(silent).down = True
    with pytest.raises(ChunkUnavailable) as caught:
        await scene.fetch()
    assert caught.value.unreachable == (silent,)
    assert caught.value.retryable


async def test_a_chunk_is_not_lost_when_a_server_answers_the_search_but_not_the_read(cluster: Cluster) -> None:
    scene = await Scene.of(cluster)
    name = scene.row[0][0]
    other, shard = scene.row[1]
    await cluster.server(other).inner.delete(shard)
    cluster.server(name).fail_next("get", times=100)
    with pytest.raises(ChunkUnavailable):
        await scene.fetch()


async def test_a_search_that_hangs_on_one_server_ends_as_unavailable(cluster: Cluster) -> None:
    scene = await Scene.of(cluster, get_timeout_seconds=0.02)
    for name, shard in scene.row:
        await cluster.server(name).inner.delete(shard)
    cluster.server("disk1").hold("find")
    with pytest.raises(ChunkUnavailable, match="disk1"):
        await scene.fetch()


async def test_a_pass_during_which_the_partition_changed_is_repeated(cluster: Cluster) -> None:
    """What was moved past the search, from a server not yet asked to one asked already, is found by the next pass."""
    scene = await Scene.of(cluster)
    for name, shard in scene.row:
        await cluster.server(name).inner.delete(shard)
    last = cluster.server(cluster.names[-1])
    gate = last.hold("find")
    fetching = asyncio.create_task(scene.fetch())
    await until(lambda: last.calls["find"])
    name, shard = scene.row[0]
    await cluster.server(name).inner.put(shard, DATA)
    ring = cluster.app.topology.present.ring(POLICY)
    async with cluster.metadata.unit_of_work() as uow:
        await uow.partitions.raise_versions(POLICY, [ring.partition_of(scene.chunk.digest)])
        await uow.commit()
    gate.set()
    assert await fetching == DATA


async def test_a_partition_that_never_rests_is_unavailable_and_not_lost_after_a_bounded_number_of_passes(
    cluster: Cluster,
) -> None:
    scene = await Scene.of(cluster)
    for name, shard in scene.row:
        await cluster.server(name).inner.delete(shard)
    server = cluster.server("disk1")
    find = server.find
    ring = cluster.app.topology.present.ring(POLICY)

    async def find_and_unsettle(policy: str, digest: bytes) -> object:
        async with cluster.metadata.unit_of_work() as uow:
            await uow.partitions.raise_versions(POLICY, [ring.partition_of(digest)])
            await uow.commit()
        return await find(policy, digest)

    server.find = find_and_unsettle  # type: ignore[method-assign, assignment] # unsettles
    with pytest.raises(ChunkUnavailable, match="kept changing"):
        await scene.fetch()
    assert server.calls["find"] == PASSES_MAX


async def test_a_fetcher_with_an_old_ring_finds_what_has_moved_away(cluster: Cluster) -> None:
    """The topology is a cache: the search looks at the newest one."""
    for seed in range(20):
        await cluster.store(content(1000, seed=seed))
    old = cluster.app.topology._present
    await cluster.add_server("disk4")
    await cluster.settle()
    for chunk in await cluster.chunks():
        cluster.app.topology._present = old
        assert digest_of(await cluster.app.store.fetch(chunk)) == chunk.digest
