"""What the repositories of servers, policies, rings, partitions, the cluster and idempotency keys promise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reelstore.domain.errors import Conflict, IntegrityViolation, ServerNotFound
from reelstore.domain.policy import Policy
from reelstore.domain.server import Server, ServerHealth, ServerState
from reelstore.repositories.interface import Cluster, Metadata, PartitionState, RingRecord, ScrubTimes
from tests.contract.metadata_values import NOW, POLICY, later, ring_set


def _server(name: str, number: int) -> Server:
    return Server(name, number, f"memory:{name}", "z1", 2**43)


async def test_servers_come_back_in_order_of_number(metadata: Metadata) -> None:
    seen_down = replace(
        _server("b", 0),
        state=ServerState.REMOVED,
        health=ServerHealth.UNREACHABLE,
        health_reason="no answer",
        last_seen_at=NOW,
        used_bytes=2**40,
        unreachable_since=later(1),
        evicted_at=later(0.000001),
        remove_when_empty=True,
    )
    async with metadata.unit_of_work() as uow:
        assert await uow.servers.next_number() == 0
        await uow.servers.add(_server("a", 3))
        await uow.servers.add(seen_down)
        assert await uow.servers.list() == [seen_down, _server("a", 3)]
        assert await uow.servers.next_number() == 4
        assert await uow.servers.get("b") == seen_down
        assert (await uow.servers.list())[1].remove_when_empty is False
        assert await uow.servers.get("c") is None


@pytest.mark.parametrize(("name", "number"), [("a", 1), ("b", 0)])
async def test_a_servers_name_and_number_are_used_once(metadata: Metadata, name: str, number: int) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.servers.add(_server("a", 0))
        with pytest.raises(IntegrityViolation):
            await uow.servers.add(_server(name, number))


async def test_a_server_is_replaced_by_name_and_keeps_its_number(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.servers.add(_server("a", 0))
        draining = replace(_server("a", 0), state=ServerState.DRAINING, zone="z2", remove_when_empty=True)
        await uow.servers.update(draining)
        with pytest.raises(ServerNotFound):
            await uow.servers.update(_server("unknown", 0))
        with pytest.raises(ServerNotFound):
            await uow.servers.update(_server("a", 1))
        assert await uow.servers.list() == [draining]
        await uow.commit()


async def test_policies_are_kept_once_and_listed_by_name(metadata: Metadata) -> None:
    wide, default = Policy.replicated("wide", 3), Policy.replicated(POLICY, 2, chunk_size_bytes=4096)
    async with metadata.unit_of_work() as uow:
        assert await uow.policies.list() == []
        await uow.policies.add(wide)
        await uow.policies.add(default)
        assert await uow.policies.list() == [default, wide]
        with pytest.raises(IntegrityViolation):
            await uow.policies.add(wide)


async def test_ring_sets_follow_on_each_other(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        assert await uow.rings.head() == 0
        with pytest.raises(Conflict):
            await uow.rings.add(ring_set(2), reason="too early", at=NOW)
        await uow.rings.add(ring_set(1), reason="first", at=NOW)
        with pytest.raises(Conflict):
            await uow.rings.add(ring_set(1), reason="again", at=NOW)
        await uow.rings.add(ring_set(2), reason="second", at=NOW)
        await uow.commit()
    async with metadata.unit_of_work() as uow:
        assert await uow.rings.head(lock=True) == 2
        assert await uow.rings.get(1) == ring_set(1)
        assert await uow.rings.get(2) == ring_set(2)
        assert await uow.rings.get(0) is None
        assert await uow.rings.get(3) is None


async def test_why_and_when_epochs_began_is_listed_the_newest_first(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        assert await uow.rings.history(limit=9) == []
        for epoch in (1, 2, 3):
            await uow.rings.add(ring_set(epoch), reason=f"the {epoch}.", at=later(-epoch))
        records = [RingRecord(epoch, f"the {epoch}.", later(-epoch)) for epoch in (3, 2, 1)]
        assert await uow.rings.history(limit=9) == records
        assert await uow.rings.history(limit=3) == records
        assert await uow.rings.history(limit=2) == records[:2]


async def test_a_ring_that_was_not_committed_is_no_head(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.rings.add(ring_set(1), reason="first", at=NOW)
    async with metadata.unit_of_work() as uow:
        assert await uow.rings.head() == 0
        assert await uow.rings.get(1) is None
        assert await uow.rings.history(limit=9) == []
        await uow.rings.add(ring_set(1), reason="first", at=NOW)


async def test_partitions_begin_clean(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.partitions.add(POLICY, 3, epoch=5)
        await uow.partitions.add("wide", 1, epoch=5)
        assert await uow.partitions.list(POLICY) == [PartitionState(POLICY, index, 0, 5, 0) for index in range(3)]
        assert await uow.partitions.get("wide", 0) == PartitionState("wide", 0, 0, 5, 0)
        assert await uow.partitions.get("wide", 1) is None
        assert await uow.partitions.list("unknown") == []
        with pytest.raises(IntegrityViolation):
            await uow.partitions.add(POLICY, 1, epoch=5)


async def test_versions_are_raised_once_for_each_partition_named(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.partitions.add(POLICY, 4, epoch=1)
        await uow.partitions.add("wide", 4, epoch=1)
        await uow.partitions.raise_versions(POLICY, [2, 0, 2])
        await uow.partitions.raise_versions(POLICY, [2])
        await uow.partitions.raise_versions(POLICY, [])
        assert [state.version for state in await uow.partitions.list(POLICY)] == [1, 0, 2, 0]
        assert [state.version for state in await uow.partitions.list("wide")] == [0, 0, 0, 0]
        with pytest.raises(IntegrityViolation):
            await uow.partitions.raise_versions(POLICY, [1, 4])


async def test_synced_is_swapped_only_at_the_version_that_was_read(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.partitions.add(POLICY, 2, epoch=1)
        await uow.partitions.raise_versions(POLICY, [0])
        assert not await uow.partitions.swap_synced(POLICY, {0: 0}, epoch=2)
        assert not await uow.partitions.swap_synced(POLICY, {0: 2}, epoch=2)
        assert not await uow.partitions.swap_synced(POLICY, {9: 0}, epoch=2)
        assert await uow.partitions.get(POLICY, 0) == PartitionState(POLICY, 0, 1, 1, 0)
        assert await uow.partitions.swap_synced(POLICY, {0: 1}, epoch=2)
        assert await uow.partitions.get(POLICY, 0) == PartitionState(POLICY, 0, 1, 2, 1)
        assert await uow.partitions.get(POLICY, 1) == PartitionState(POLICY, 1, 0, 1, 0)
        assert await uow.partitions.swap_synced(POLICY, {0: 0, 1: 0, 2: 0}, epoch=3) == {1}
        assert await uow.partitions.swap_synced(POLICY, {}, epoch=3) == frozenset()
        states = await uow.partitions.list(POLICY)
        assert [(state.synced_epoch, state.synced_version) for state in states] == [(2, 1), (3, 0)]


async def test_a_slice_of_the_partitions_can_be_listed(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.partitions.add(POLICY, 4, epoch=1)

        async def indexes(start: int, stop: int | None) -> list[int]:
            return [state.index for state in await uow.partitions.list(POLICY, start, stop)]

        assert await indexes(1, 3) == [1, 2]
        assert await indexes(2, None) == [2, 3]
        assert await indexes(3, 9) == [3]
        assert await indexes(-1, 1) == [0]
        assert await indexes(4, None) == []
        assert await indexes(2, 2) == []


async def test_unsettled_are_those_of_another_epoch_or_version(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.partitions.add(POLICY, 4, epoch=1)
        await uow.partitions.add("wide", 4, epoch=1)
        assert await uow.partitions.unsettled(POLICY, epoch=1) == []
        assert await uow.partitions.unsettled(POLICY, epoch=2) == [0, 1, 2, 3]
        await uow.partitions.raise_versions(POLICY, [3, 1])
        assert await uow.partitions.unsettled(POLICY, epoch=1) == [1, 3]
        await uow.partitions.swap_synced(POLICY, {1: 1}, epoch=2)
        assert await uow.partitions.unsettled(POLICY, epoch=2) == [0, 2, 3]
        assert await uow.partitions.unsettled("wide", epoch=1) == []


async def test_a_split_partition_is_two_that_know_what_it_knew_at_a_higher_version(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.partitions.add(POLICY, 2, epoch=1)
        await uow.partitions.add("wide", 2, epoch=1)
        await uow.partitions.raise_versions(POLICY, [1])
        await uow.partitions.swap_synced(POLICY, {1: 1}, epoch=3)
        await uow.partitions.set_scrubbed(POLICY, [1], at=later(3))
        await uow.commit()
    async with metadata.unit_of_work() as uow:
        await uow.partitions.split(POLICY)
        await uow.partitions.split("unknown")
        assert await uow.partitions.list(POLICY) == [
            PartitionState(POLICY, 0, 1, 1, 0),
            PartitionState(POLICY, 1, 1, 1, 0),
            PartitionState(POLICY, 2, 2, 3, 1, later(3)),
            PartitionState(POLICY, 3, 2, 3, 1, later(3)),
        ]
        assert [state.version for state in await uow.partitions.list("wide")] == [0, 0]
        assert await uow.partitions.unsettled(POLICY, epoch=3) == [0, 1, 2, 3]
    async with metadata.unit_of_work() as uow:  # it was not committed
        assert len(await uow.partitions.list(POLICY)) == 2


async def test_a_split_makes_two_of_each_partition_one_version_on(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.partitions.add(POLICY, 2, epoch=1)
        await uow.partitions.add("wide", 2, epoch=1)
        await uow.partitions.raise_versions(POLICY, [1])
        await uow.partitions.swap_synced(POLICY, {1: 1}, epoch=2)
        await uow.partitions.raise_versions(POLICY, [1])
        await uow.partitions.set_scrubbed(POLICY, [0], at=NOW)
        await uow.partitions.split(POLICY)
        await uow.partitions.split("unknown")
        assert await uow.partitions.list(POLICY) == [
            PartitionState(POLICY, 0, 1, 1, 0, NOW),
            PartitionState(POLICY, 1, 1, 1, 0, NOW),
            PartitionState(POLICY, 2, 3, 2, 1),
            PartitionState(POLICY, 3, 3, 2, 1),
        ]
        assert await uow.partitions.list("wide") == [PartitionState("wide", index, 0, 1, 0) for index in range(2)]
        assert not await uow.partitions.swap_synced(POLICY, {0: 0}, epoch=2)
        assert await uow.partitions.list("unknown") == []


async def test_the_time_of_a_scrub_is_kept(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.partitions.add(POLICY, 2, epoch=1)
        await uow.partitions.set_scrubbed(POLICY, [1, 1], at=later(3))
        assert await uow.partitions.get(POLICY, 1) == PartitionState(POLICY, 1, 0, 1, 0, later(3))
        assert await uow.partitions.get(POLICY, 0) == PartitionState(POLICY, 0, 0, 1, 0)
        await uow.partitions.set_scrubbed(POLICY, [0, 1], at=None)
        assert await uow.partitions.get(POLICY, 1) == PartitionState(POLICY, 1, 0, 1, 0)
        with pytest.raises(IntegrityViolation):
            await uow.partitions.set_scrubbed(POLICY, [0, 2], at=NOW)


async def test_the_times_of_scrubs_are_summed_up(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.partitions.add(POLICY, 8, epoch=1)
        await uow.partitions.add("wide", 2, epoch=1)
        assert await uow.partitions.scrub_times(POLICY, before=NOW) == ScrubTimes(8, 8, 8, None)
        await uow.partitions.set_scrubbed(POLICY, [0, 1], at=later(3))
        await uow.partitions.set_scrubbed(POLICY, [2, 3, 4], at=later(5))
        await uow.partitions.set_scrubbed("wide", [0], at=NOW)
        assert await uow.partitions.scrub_times(POLICY, before=later(3)) == ScrubTimes(8, 3, 3, later(3))
        assert await uow.partitions.scrub_times(POLICY, before=later(4)) == ScrubTimes(8, 3, 5, later(3))
        assert await uow.partitions.scrub_times(POLICY, before=later(6)) == ScrubTimes(8, 3, 8, later(3))
        await uow.partitions.set_scrubbed(POLICY, range(8), at=later(7))
        assert await uow.partitions.scrub_times(POLICY, before=later(7)) == ScrubTimes(8, 0, 0, later(7))
        assert await uow.partitions.scrub_times("nobody", before=NOW) == ScrubTimes(0, 0, 0, None)


async def test_there_is_one_cluster(metadata: Metadata) -> None:
    cluster = Cluster("c", "g", 0, POLICY, NOW)
    async with metadata.unit_of_work() as uow:
        assert await uow.cluster.get() is None
        await uow.cluster.add(cluster)
        assert await uow.cluster.raise_delete_rounds() == 1
        assert await uow.cluster.raise_delete_rounds() == 2
        assert await uow.cluster.get() == replace(cluster, delete_rounds=2)
        await uow.cluster.set_default_policy("other")
        assert await uow.cluster.get() == replace(cluster, delete_rounds=2, default_policy="other")
        await uow.commit()
    async with metadata.unit_of_work() as uow:
        with pytest.raises(IntegrityViolation):
            await uow.cluster.add(replace(cluster, id="d"))


async def test_the_cluster_is_changed_but_for_its_id_and_its_beginning(metadata: Metadata) -> None:
    cluster = Cluster("c", "g", 0, POLICY, NOW)
    async with metadata.unit_of_work() as uow:
        with pytest.raises(IntegrityViolation):
            await uow.cluster.update(cluster)
    async with metadata.unit_of_work() as uow:
        await uow.cluster.add(cluster)
        await uow.cluster.update(Cluster("d", "h", 5, "wide", later(1), home="here", deletes_stopped="why"))
        await uow.commit()
    async with metadata.snapshot() as seen:
        assert await seen.cluster.get() == Cluster("c", "h", 5, "wide", NOW, "here", "why")


async def test_a_database_knows_where_it_is_and_that_stays(metadata: Metadata) -> None:
    async with metadata.snapshot() as seen:
        here = await seen.cluster.whereabouts()
    async with metadata.unit_of_work() as uow:
        await uow.cluster.add(Cluster("c", "g", 0, POLICY, NOW))
        assert await uow.cluster.whereabouts() == here != ""
        await uow.commit()


async def test_rounds_of_deletes_need_a_cluster(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        with pytest.raises(IntegrityViolation):
            await uow.cluster.raise_delete_rounds()
    async with metadata.unit_of_work() as uow:
        with pytest.raises(IntegrityViolation):
            await uow.cluster.set_default_policy(POLICY)


async def test_an_idempotency_key_is_remembered_once_and_forgotten_with_age(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        assert await uow.idempotency.get("k") is None
        assert await uow.idempotency.add("k", fingerprint="f", video_id="v", at=NOW)
        assert not await uow.idempotency.add("k", fingerprint="other", video_id="w", at=later(9))
        assert await uow.idempotency.get("k") == ("f", "v")
        assert await uow.idempotency.add("K", fingerprint="f", video_id="w", at=later(1))
        assert await uow.idempotency.drop_before(NOW) == 0
        assert await uow.idempotency.drop_before(later(1)) == 1
        assert await uow.idempotency.get("k") is None
        assert await uow.idempotency.get("K") == ("f", "w")
