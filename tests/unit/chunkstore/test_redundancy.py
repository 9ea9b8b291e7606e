"""Replication, and the ranges of digests that partitions stand for."""

from __future__ import annotations

from itertools import pairwise

import pytest

from reelstore.chunkstore.redundancy import digest_of, redundancy_of
from reelstore.chunkstore.topology import digest_range
from reelstore.domain.policy import Policy


@pytest.mark.parametrize("copies", [1, 2, 9])
def test_each_slot_of_a_replicated_policy_keeps_the_whole_chunk(copies: int) -> None:
    redundancy = redundancy_of(Policy.replicated("p", copies))
    data = b"chunk"
    shards = redundancy.encode(data, digest=digest_of(data))
    assert [bytes(shard) for shard in shards] == [data] * copies == [data] * redundancy.width
    assert redundancy.needed == 1
    assert redundancy.shard_size_bytes(5) == 5
    for slot, shard in enumerate(shards):
        assert redundancy.is_good(shard, digest=digest_of(data), slot=slot)
        assert redundancy.shard_digest(digest_of(data), slot) == digest_of(data)
        assert redundancy.decode({slot: shard}, digest=digest_of(data)) == data


def test_one_flipped_bit_one_byte_less_or_one_more_is_no_good_shard() -> None:
    redundancy = redundancy_of(Policy.replicated("p", 2))
    digest = digest_of(b"chunk")
    for bad in (b"chunl", b"chun", b"chunk\0", b""):
        assert not redundancy.is_good(bad, digest=digest, slot=0)


@pytest.mark.parametrize("bits", [0, 1, 4, 8, 12, 16])
def test_the_ranges_of_all_partitions_follow_each_other_and_fill_the_space(bits: int) -> None:
    edges = [digest_range(bits, index, index + 1) for index in range(1 << bits)]
    assert edges[0][0] == bytes(32)
    assert edges[-1][1] is None
    assert all(before[1] == after[0] for before, after in pairwise(edges))


def test_a_range_of_partitions_holds_exactly_their_digests() -> None:
    lower, upper = digest_range(4, 3, 5)
    assert lower == bytes([0x30]) + bytes(31)
    assert upper == bytes([0x50]) + bytes(31)
