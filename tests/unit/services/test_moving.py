"""Adding a server: what is stored stays readable before, while and after it moves, and the least moves."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np

from reelstore.chunkstore.topology import shard_name
from tests.cluster import CHUNK, POLICY, Cluster, content, memory_cluster


async def test_what_was_stored_before_is_read_by_its_synced_row_while_nothing_has_moved(cluster: Cluster) -> None:
    bodies = [content(10 * CHUNK, seed=seed) for seed in range(4)]
    videos = [await cluster.store(body) for body in bodies]
    before = await cluster.shards()
    for index in range(3):
        await cluster.add_server(f"more{index}")
        for video, body in zip(videos, bodies, strict=True):
            assert await cluster.read(video.id) == body
        assert {name: held for name, held in (await cluster.shards()).items() if held} == before
    assert len(cluster.app.attention) == 0  # nothing was called missing
    assert not any(server.calls["find"] for server in cluster.servers)  # and nothing had to be searched for


async def test_what_is_stored_after_lies_by_the_new_ring_at_once(cluster: Cluster) -> None:
    await cluster.store(content(10 * CHUNK))
    await cluster.add_server("disk4")
    old = {chunk.id for chunk in await cluster.chunks()}
    await cluster.store(content(20 * CHUNK, seed=1))
    ring = cluster.app.topology.present.ring(POLICY)
    held = await cluster.shards()
    new = [chunk for chunk in await cluster.chunks() if chunk.id not in old]
    assert len(new) == 20
    for chunk in new:
        for seat in ring.row(ring.partition_of(chunk.digest)):
            assert shard_name(chunk, seat) in held[cluster.app.fleet[seat.server].server.name]
    assert held["disk4"]


async def test_settling_moves_the_least_that_can_be_moved_and_leaves_all_by_the_ring() -> None:
    async with memory_cluster(servers=4, partition_bits=6) as cluster:
        bodies = [content(30 * CHUNK, seed=seed) for seed in range(4)]
        videos = [await cluster.store(body) for body in bodies]
        await cluster.settle()
        old = cluster.app.topology.present.ring(POLICY)
        before = {name: len(held) for name, held in (await cluster.shards()).items()}
        await cluster.add_server("disk5")
        new = cluster.app.topology.present.ring(POLICY)
        moved = sum(
            len({seat.server for seat in new.row(index)} - {seat.server for seat in old.row(index)})
            for chunk in await cluster.chunks()
            for index in [new.partition_of(chunk.digest)]
        )
        await cluster.settle()
        await cluster.assert_whole()
        after = {name: len(held) for name, held in (await cluster.shards()).items()}
        assert after["disk5"] == moved  # nothing moved but to the new server,
        assert sum(before[name] - after[name] for name in before) == moved  # from where it was
        assert sum(after.values()) == sum(before.values())
        assert (cluster.server("disk5").calls["put"]) == moved
        assert int(np.sum(new.slots == 4)) * 5 <= new.slots.size + 5  # and it takes its fair share, a fifth
        for video, body in zip(videos, bodies, strict=True):
            assert await cluster.read(video.id) == body


async def test_a_read_goes_on_while_its_chunks_move_and_their_old_places_are_emptied(cluster: Cluster) -> None:
    body = content(40 * CHUNK)
    video = await cluster.store(body)
    opened = await cluster.app.videos.open(video.id)
    reader = await cluster.app.videos.read(opened, 0, len(body))
    got = bytearray(await anext(reader))
    await cluster.add_server("disk4")
    await cluster.settle()
    got += b"".join([bytes(piece) async for piece in reader])
    assert got == body


async def test_an_upload_goes_on_while_servers_are_added_and_settled(cluster: Cluster) -> None:
    body = content(30 * CHUNK)

    async def arriving() -> AsyncIterator[bytes]:
        for index in range(3):
            yield body[index * 10 * CHUNK : (index + 1) * 10 * CHUNK]
            await cluster.add_server(f"more{index}")
            await cluster.settle()

    stored = await cluster.send(arriving())
    await cluster.settle()
    assert await cluster.read(stored.video.id) == body
    await cluster.assert_whole()


async def test_servers_added_before_the_last_change_has_settled_lose_nothing(cluster: Cluster) -> None:
    body = content(40 * CHUNK)
    video = await cluster.store(body)
    for index in range(4):
        await cluster.add_server(f"more{index}")
        for _ in range(index):  # some of it moves, not all
            await cluster.app.rebalancer.step()
        assert await cluster.read(video.id) == body
    await cluster.settle()
    await cluster.assert_whole()
    assert await cluster.read(video.id) == body


async def test_a_move_that_is_cut_off_by_a_restart_goes_on(cluster: Cluster) -> None:
    body = content(40 * CHUNK)
    video = await cluster.store(body)
    await cluster.add_server("disk4")
    for server in cluster.servers:
        server.fail_next("put", times=3)
    await cluster.app.rebalancer.step()
    await cluster.restart()
    assert await cluster.read(video.id) == body
    await cluster.settle()
    await cluster.assert_whole()
