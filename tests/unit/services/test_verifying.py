"""The whole cluster is verified in slices: each shard once, no false alarm, no false good news."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from reelstore.chunkstore.topology import digest_range
from reelstore.domain.chunk import Chunk
from reelstore.domain.errors import InvalidCursor, InvalidInput
from reelstore.domain.policy import Policy
from reelstore.services import verification
from reelstore.services.pages import encode_cursor
from reelstore.services.proving import Proof
from reelstore.services.repair import Repairer, ShardState
from reelstore.services.survey import Expected
from reelstore.services.verification import ClusterVerifier, VerifiedSlice
from tests.cluster import CHUNK, Cluster, content


@dataclass
class Looks:
    """Which shards were looked at, and a clock that says how long each look took."""

    cluster: Cluster
    seconds_each: float = 1.0
    seen: Counter[tuple[str, int, int]] | None = None
    now: float = 0.0

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> ClusterVerifier:
        seen = self.seen = Counter()
        real = Repairer.look

        async def look(repairer: Repairer, shard: Expected) -> ShardState:
            seen[shard.chunk.id, shard.seat.slot, shard.seat.server] += 1
            self.now += self.seconds_each
            return await real(repairer, shard)

        monkeypatch.setattr(Repairer, "look", look)
        monkeypatch.setattr(self.cluster.app.verifier, "_clock", lambda: self.now)
        return self.cluster.app.verifier


async def slices(verifier: ClusterVerifier, *, seconds: float = 1.0) -> list[VerifiedSlice]:
    found = [await verifier.verify(None, seconds)]
    while found[-1].next_cursor is not None:
        found.append(await verifier.verify(found[-1].next_cursor, seconds))
        assert len(found) < 1000
    return found


async def whole(cluster: Cluster) -> VerifiedSlice:
    found = await cluster.app.verifier.verify()
    assert found.next_cursor is None
    assert found.progress == 1
    return found


async def test_an_empty_cluster_is_verified_at_once(cluster: Cluster) -> None:
    found = await whole(cluster)
    assert (found.shards_total, found.shards_ok, found.shards_bytes, found.problems) == (0, 0, 0, ())


async def test_each_shard_is_read_once_however_many_videos_share_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        await cluster.store(content(10 * CHUNK + 5), name=name)
    looks = Looks(cluster, seconds_each=0)
    looks.watch(monkeypatch)
    found = await whole(cluster)
    assert (found.shards_total, found.shards_ok, found.shards_moving) == (22, 22, 0)
    assert found.shards_bytes == 2 * (10 * CHUNK + 5)
    assert looks.seen is not None
    assert set(looks.seen.values()) == {1}
    assert len(looks.seen) == 22


@pytest.mark.parametrize("read_chunks", [1, 3, 256])
async def test_slices_that_any_process_goes_on_with_see_every_shard_once_and_tell_how_far_they_are(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, read_chunks: int
) -> None:
    monkeypatch.setattr(verification, "READ_CHUNKS", read_chunks)
    monkeypatch.setattr(verification, "CHUNKS_AT_ONCE", 2)
    await cluster.store(content(40 * CHUNK))
    looks = Looks(cluster)
    verifier = looks.watch(monkeypatch)
    found = await slices(verifier)
    assert len(found) >= 10
    assert looks.seen is not None
    assert len(looks.seen) == sum(each.shards_total for each in found) == sum(each.shards_ok for each in found) == 80
    assert set(looks.seen.values()) == {1}
    progress = [each.progress for each in found]
    assert progress == sorted(progress)
    assert progress[-1] == 1
    halfway = next(index for index, each in enumerate(found) if each.progress >= 0.5)
    assert 30 <= sum(each.shards_total for each in found[: halfway + 1]) <= 50


async def test_each_slice_takes_about_the_time_given_and_gets_on(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "CHUNKS_AT_ONCE", 1)
    await cluster.store(content(30 * CHUNK))
    looks = Looks(cluster)
    verifier = looks.watch(monkeypatch)
    assert all(each.shards_total == 10 for each in (await slices(verifier, seconds=10))[:-1])
    looks.seconds_each = 100  # a server hangs
    found = await verifier.verify(None, 0.5)
    assert found.shards_total == 2
    assert found.progress > 0


async def test_every_policy_is_verified(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    await cluster.app.policies.add(Policy.replicated("aside", 3, chunk_size_bytes=CHUNK))
    await cluster.app.policies.add(Policy.replicated("zeal", 1, chunk_size_bytes=CHUNK))
    await cluster.store(content(5 * CHUNK))
    await cluster.store(content(4 * CHUNK), policy="aside")
    await cluster.store(content(3 * CHUNK), policy="zeal")
    assert (await whole(cluster)).shards_ok == 5 * 2 + 4 * 3 + 3
    looks = Looks(cluster)
    found = await slices(looks.watch(monkeypatch))
    assert sum(each.shards_total for each in found) == 25
    progress = [each.progress for each in found]
    assert progress == sorted(progress)


async def test_what_is_wrong_is_named_with_its_videos_even_those_in_the_trash_and_repaired(cluster: Cluster) -> None:
    one = await cluster.store(content(3 * CHUNK), name="one.mp4")
    two = await cluster.store(content(CHUNK), name="two.mp4")  # the first chunk of one.mp4
    await cluster.app.videos.trash(two.id, expected_version=None)
    chunks = {chunk.digest.hex(): chunk for chunk in await cluster.chunks()}
    shared, other, _ = [chunks[place.digest] for place in (await cluster.app.inspector.placement(one.id)).items]
    (server, name), _ = await cluster.row(shared)
    await cluster.server(server).flip(name)
    (elsewhere, gone), _ = await cluster.row(other)
    await cluster.server(elsewhere).inner.delete(gone)
    found = await whole(cluster)
    assert (found.shards_total, found.shards_ok, found.problems_truncated) == (6, 4, False)
    problems = {problem.chunk: problem for problem in found.problems}
    assert (problems[shared.digest.hex()].server, problems[shared.digest.hex()].problem) == (server, "corrupt")
    assert {video.name for video in problems[shared.digest.hex()].videos} == {"one.mp4", "two.mp4"}
    assert (problems[other.digest.hex()].server, problems[other.digest.hex()].problem) == (elsewhere, "missing")
    assert [(video.id, video.name) for video in problems[other.digest.hex()].videos] == [(one.id, "one.mp4")]
    while await cluster.app.rebalancer.step():  # no time passes: no survey is due
        pass
    assert (await whole(cluster)).shards_ok == 6


async def test_a_server_that_does_not_answer_is_unreachable_and_nothing_is_repaired(cluster: Cluster) -> None:
    await cluster.store(content(12 * CHUNK))
    cluster.server("disk1").down = True
    found = await whole(cluster)
    assert found.shards_ok < found.shards_total == 24
    assert {(problem.server, problem.problem) for problem in found.problems} == {("disk1", "unreachable")}
    assert not len(cluster.app.attention)


async def test_many_problems_are_counted_and_the_first_are_listed(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "PROBLEMS_MAX", 3)
    await cluster.store(content(10 * CHUNK))
    for server in cluster.servers:
        server.down = True
    found = await whole(cluster)
    assert (found.shards_total, found.shards_ok, len(found.problems), found.problems_truncated) == (20, 0, 3, True)


async def test_what_has_not_moved_yet_is_no_problem_and_told_apart(cluster: Cluster) -> None:
    await cluster.store(content(40 * CHUNK))
    await cluster.add_server("disk4")
    found = await whole(cluster)
    assert (found.shards_total, found.shards_ok, found.problems) == (80, 80, ())
    assert 10 <= found.shards_moving <= 30
    assert not len(cluster.app.attention)
    await cluster.settle()
    found = await whole(cluster)
    assert (found.shards_ok, found.shards_moving) == (80, 0)


async def test_what_has_not_moved_yet_and_is_bad_where_it_is_is_a_problem_of_that_server(cluster: Cluster) -> None:
    await cluster.store(content(40 * CHUNK))
    before = {chunk.id: await cluster.row(chunk) for chunk in await cluster.chunks()}
    await cluster.add_server("disk4")
    expected = set()
    for index, chunk in enumerate(await cluster.chunks()):
        for slot, (server, _) in enumerate(await cluster.row(chunk)):
            if server == "disk4" and index % 2:
                source, name = before[chunk.id][slot]
                await cluster.server(source).flip(name)
                expected.add((chunk.digest.hex(), source, "corrupt"))
    found = await whole(cluster)
    assert expected
    assert {(problem.chunk, problem.server, problem.problem) for problem in found.problems} == expected
    assert found.shards_ok == 80 - len(expected)
    await cluster.settle()
    assert (await whole(cluster)).shards_ok == 80


async def test_what_has_not_moved_yet_and_is_gone_where_it_was_is_missing(cluster: Cluster) -> None:
    await cluster.store(content(40 * CHUNK))
    before = {chunk.id: await cluster.row(chunk) for chunk in await cluster.chunks()}
    await cluster.add_server("disk4")
    moving = [
        (chunk, before[chunk.id][slot])
        for chunk in await cluster.chunks()
        for slot, (server, _) in enumerate(await cluster.row(chunk))
        if server == "disk4"
    ]
    chunk, (source, name) = moving[0]
    await cluster.server(source).inner.delete(name)
    found = await whole(cluster)
    assert [(problem.chunk, problem.server, problem.problem) for problem in found.problems] == [
        (chunk.digest.hex(), "disk4", "missing")
    ]


async def test_a_copy_on_a_stand_in_counts_until_its_primary_has_it(cluster: Cluster) -> None:
    cluster.server("disk1").down = True
    await cluster.store(content(12 * CHUNK))
    found = await whole(cluster)
    assert (found.shards_total, found.shards_ok, found.problems) == (24, 24, ())
    assert found.shards_moving > 0
    cluster.server("disk1").down = False
    await cluster.settle()
    found = await whole(cluster)
    assert (found.shards_ok, found.shards_moving) == (24, 0)


async def test_a_lost_chunk_is_told_each_time_and_does_not_keep_the_background_busy(cluster: Cluster) -> None:
    await cluster.store(content(CHUNK))
    (chunk,) = await cluster.chunks()
    for server, name in await cluster.row(chunk):
        await cluster.server(server).flip(name)
    assert (await whole(cluster)).shards_ok == 0
    assert len(cluster.app.attention)
    await cluster.settle()
    assert {problem.problem for problem in (await whole(cluster)).problems} == {"corrupt"}
    assert not len(cluster.app.attention)


async def test_a_video_that_is_purged_meanwhile_is_not_missed(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = await cluster.store(content(6 * CHUNK))
    prover, purged = cluster.app.verifier._prover, False
    real = prover.prove

    async def prove(chunks: Sequence[Chunk]) -> Sequence[Proof]:
        nonlocal purged
        if not purged:
            purged = True
            await cluster.app.videos.purge(video.id, expected_version=None)
            await cluster.settle()
        return await real(chunks)

    monkeypatch.setattr(prover, "prove", prove)
    found = await whole(cluster)
    assert (found.shards_total, found.problems) == (0, ())


async def test_cursors_and_times_that_are_none_are_refused(cluster: Cluster) -> None:
    _, stop = digest_range(1, 0, 1)
    assert stop is not None
    good = encode_cursor("verify", stop.hex(), "default")
    assert (await cluster.app.verifier.verify(good)).next_cursor is None
    for cursor in (
        "x",
        "",
        encode_cursor("verify", 7, "default"),
        encode_cursor("verify", "no digest", "default"),
        encode_cursor("verify", "00", "default"),
        encode_cursor("verify", stop.hex(), "nobody"),
        encode_cursor("placement", stop.hex(), "default"),
    ):
        with pytest.raises(InvalidCursor):
            await cluster.app.verifier.verify(cursor)
    for seconds in (0.0, -1.0, 30.1, float("inf"), float("nan")):
        with pytest.raises(InvalidInput):
            await cluster.app.verifier.verify(None, seconds)
