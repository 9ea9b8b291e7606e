"""Policies are created while the cluster runs, and move nothing."""

from __future__ import annotations

import asyncio

import pytest

from reelstore.domain.change import ChangeAction, ServerChange
from reelstore.domain.errors import Conflict, InsufficientServers, PolicyExists, PolicyNotFound
from reelstore.domain.event import EventKind
from reelstore.domain.policy import Policy
from reelstore.services import policies as module
from reelstore.services.policies import PolicyView
from reelstore.services.removal_evidence import contents
from tests.cluster import CHUNK, Cluster, content, memory_cluster
from tests.protocol.world import a_world

CODED = Policy.erasure("archive", 2, 1, chunk_size_bytes=CHUNK)
COPIES = Policy.replicated("copies", 3, chunk_size_bytes=CHUNK)


async def settled(cluster: Cluster) -> bool:
    async with cluster.metadata.snapshot() as view:
        epoch = await view.rings.head()
        return not any([await view.partitions.unsettled(each.name, epoch=epoch) for each in await view.policies.list()])


async def test_a_new_policy_has_a_ring_of_its_own_and_nothing_moves(cluster: Cluster) -> None:
    kept = await cluster.store(content(9 * CHUNK))
    await cluster.settle()
    before = await cluster.shards()
    ring = cluster.app.topology.present.ring("default")
    assert await cluster.app.policies.add(CODED) == PolicyView(CODED, is_default=False)
    topology = cluster.app.topology.present
    assert topology.epoch == 2
    assert (topology.ring("default").slots == ring.slots).all()
    assert (topology.ring("default").tenures == ring.tenures).all()
    assert (topology.ring("archive").width, topology.ring("archive").partition_bits) == (3, ring.partition_bits)
    await cluster.settle()
    assert await settled(cluster)
    assert await cluster.shards() == before
    await cluster.assert_whole()
    assert await cluster.read(kept.id) == content(9 * CHUNK)


async def test_videos_are_stored_under_the_policy_that_they_name(cluster: Cluster) -> None:
    await cluster.app.policies.add(CODED)
    data = content(5 * CHUNK + 3)
    coded, copied = await cluster.store(data, policy="archive"), await cluster.store(data)
    assert (coded.policy, copied.policy) == ("archive", "default")
    stored = {}
    for policy in ("archive", "default"):
        found = [await contents(member, [policy]) for member in cluster.app.fleet]
        stored[policy] = sum(each.size_bytes for each in found if each is not None)
    assert stored["default"] == 2 * len(data)
    assert 1.5 * len(data) <= stored["archive"] < 1.6 * len(data)
    for member in cluster.servers:
        member.down = True
        assert await cluster.read(coded.id) == await cluster.read(copied.id) == data
        member.down = False
    with pytest.raises(PolicyNotFound, match=r"there is no policy 'never'.*there are: archive, default"):
        await cluster.store(data, policy="never")


async def test_the_default_is_another_from_now_on(cluster: Cluster) -> None:
    before = await cluster.store(b"before")
    await cluster.app.policies.add(CODED)
    assert (await cluster.app.policies.make_default("archive")).is_default
    assert [view.is_default for view in await cluster.app.policies.list()] == [True, False]
    after = await cluster.store(b"after")
    assert (before.policy, after.policy) == ("default", "archive")
    await cluster.app.policies.make_default("archive")  # is it already
    async with cluster.metadata.snapshot() as view:
        kinds = [event.kind for event in await view.events.latest(limit=9) if event.kind.startswith("policy.")]
    assert kinds == [EventKind.POLICY_DEFAULT, EventKind.POLICY_ADDED]
    with pytest.raises(PolicyNotFound):
        await cluster.app.policies.make_default("never")


async def test_a_policy_is_never_edited(cluster: Cluster) -> None:
    await cluster.app.policies.add(CODED, default=True)
    for again in (CODED, Policy.replicated("archive", 2)):
        with pytest.raises(PolicyExists, match=r"archive = erasure\(2, 1\) already"):
            await cluster.app.policies.add(again)
    assert (await cluster.app.policies.get("archive")).policy == CODED
    assert cluster.app.topology.present.epoch == 2


async def test_a_policy_under_which_nothing_could_be_stored_is_refused(cluster: Cluster) -> None:
    wide = Policy.erasure("wide", 4, 2, chunk_size_bytes=CHUNK)
    with pytest.raises(Conflict, match=r"erasure\(4, 2\) needs 6 servers, and 5 to acknowledge.*3 take part"):
        await cluster.app.policies.add(wide)
    for name in ("disk4", "disk5"):
        await cluster.add_server(name)
    await cluster.app.policies.add(wide)  # one too few for all its redundancy
    data = content(3 * CHUNK)
    video = await cluster.store(data, policy="wide")
    assert (await cluster.app.health.status()).reasons == ("policy wide = erasure(4, 2) asks for 6 servers, and has 5",)
    await cluster.add_server("disk6")
    await cluster.settle()
    assert (await cluster.app.health.status()).health == "ok"
    found = await cluster.app.inspector.verify(video.id)
    assert (found.shards_ok, found.shards_total) == (18, 18)


async def test_there_is_a_limit_to_their_number(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLICIES_MAX", 2)
    await cluster.app.policies.add(CODED)
    with pytest.raises(Conflict, match="no more than 2"):
        await cluster.app.policies.add(COPIES)


async def test_one_of_two_that_add_the_same_policy_at_once_is_told_so(cluster: Cluster) -> None:
    adding = [cluster.app.policies.add(CODED), cluster.app.policies.add(CODED)]
    results = await asyncio.gather(*adding, return_exceptions=True)
    assert sorted(map(type, results), key=str) == [PolicyExists, PolicyView]


async def test_servers_come_and_go_under_several_policies(cluster: Cluster) -> None:
    data = content(7 * CHUNK)
    await cluster.app.policies.add(CODED)
    coded, copied = await cluster.store(data, policy="archive"), await cluster.store(data)
    await cluster.add_server("disk4")
    await cluster.app.changes.change([ServerChange(ChangeAction.DRAIN, "disk1")])
    await cluster.settle()
    assert await settled(cluster)
    assert await contents(cluster.member("disk1"), ["default", "archive"], shards_max=1) == await contents(
        cluster.member("disk1"), []
    )
    for video in (coded, copied):
        found = await cluster.app.inspector.verify(video.id)
        assert found.shards_ok == found.shards_total
        assert await cluster.read(video.id) == data


async def test_too_few_servers_for_one_policy_do_not_stop_the_others() -> None:
    async with memory_cluster(servers=3) as cluster:
        await cluster.app.policies.add(CODED)
        cluster.server("disk1").down = True
        await cluster.probe()
        with pytest.raises(InsufficientServers, match=r"3 servers must acknowledge each part, 2 did"):
            await cluster.store(content(CHUNK), policy="archive")
        assert (await cluster.app.ready())[0]
        await cluster.store(content(CHUNK))


async def test_another_gateway_learns_of_policies_and_of_the_default() -> None:
    async with a_world() as world:
        one, other = await world.process(), await world.process()
        await one.app.policies.add(CODED)
        await other.probe()
        assert (await other.store(b"other", policy="archive")).policy == "archive"
        await one.app.policies.make_default("archive")
        await other.probe()
        assert (await other.store(b"another")).policy == "archive"


async def test_an_upload_that_a_new_policy_overtakes_is_placed_again() -> None:
    async with a_world() as world:
        one, other = await world.process(), await world.process()
        data = content(CHUNK)
        first = (await one.primaries(data))[0]
        one.server(first).after("put", lambda: other.app.policies.add(CODED))
        video = await one.store(data)
        assert one.app.topology.present.epoch == 2
        assert await one.read(video.id) == data
