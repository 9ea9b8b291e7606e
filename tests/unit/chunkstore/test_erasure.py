"""Erasure coding: any k fragments make the chunk, and a fragment that is not what it should be is never taken."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyeclib.ec_iface import ECDriver

from reelstore.chunkstore import erasure
from reelstore.chunkstore.erasure import HEADER_BYTES, ErasureCoding
from reelstore.chunkstore.redundancy import digest_of, redundancy_of
from reelstore.domain.errors import InvalidInput
from reelstore.domain.policy import CHUNK_SIZE_BYTES_MAX, Policy
from tests.cluster import content

GOLDEN = Path(__file__).parents[2] / "golden" / "fragments-v1.json"


def fragments_of(code: ErasureCoding, data: bytes) -> list[bytes]:
    return [bytes(each) for each in code.encode(data, digest=digest_of(data))]


@given(
    data=st.binary(min_size=1, max_size=3000),
    shape=st.tuples(st.integers(2, 12), st.integers(1, 6)),
    choice=st.randoms(use_true_random=False),
)
def test_any_k_fragments_make_the_chunk(data: bytes, shape: tuple[int, int], choice: object) -> None:
    code = ErasureCoding(*shape)
    shards = fragments_of(code, data)
    kept = choice.sample(range(code.width), code.needed)  # type: ignore[attr-defined] # a `random.Random`
    assert code.decode({slot: shards[slot] for slot in kept}, digest=digest_of(data)) == data
    assert {len(shard) for shard in shards} == {code.shard_size_bytes(len(data))}
    assert all(code.is_good(shard, digest=digest_of(data), slot=slot) for slot, shard in enumerate(shards))


@pytest.mark.parametrize(("k", "m"), [(2, 1), (4, 2), (3, 5), (6, 3), (10, 4)])
def test_every_pattern_of_losses_up_to_m_is_survived(k: int, m: int) -> None:
    code, data = ErasureCoding(k, m), content(997)
    shards = fragments_of(code, data)
    for kept in combinations(range(k + m), k):
        assert code.decode({slot: shards[slot] for slot in kept}, digest=digest_of(data)) == data


@pytest.mark.parametrize(("k", "m"), [(2, 30), (31, 1), (16, 16)])
def test_the_widest_codes_survive_the_loss_of_all_that_comes_first_or_last(k: int, m: int) -> None:
    code, data = ErasureCoding(k, m), content(5000)
    shards = dict(enumerate(fragments_of(code, data)))
    for kept in (range(k), range(m, k + m), range(m // 2, m // 2 + k)):
        assert code.decode({slot: shards[slot] for slot in kept}, digest=digest_of(data)) == data


def test_all_fragments_of_data_are_joined_without_any_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    code, data = ErasureCoding(4, 2), content(4096)
    shards = fragments_of(code, data)

    def never(*_: object) -> ECDriver:
        raise AssertionError("decoded")

    monkeypatch.setattr(erasure, "_code", never)
    assert code.decode({slot: shards[slot] for slot in range(4)}, digest=digest_of(data)) == data
    assert code.decode(dict(enumerate(shards)), digest=digest_of(data)) == data
    assert b"".join(shard[HEADER_BYTES:] for shard in shards[:4]) == data


def test_no_byte_of_a_fragment_can_change_unnoticed() -> None:
    code, data = ErasureCoding(3, 2), content(301)
    for slot, shard in enumerate(fragments_of(code, data)):
        for position in range(len(shard)):
            for bit in (1, 128):
                bad = bytearray(shard)
                bad[position] ^= bit
                assert not code.is_good(bad, digest=digest_of(data), slot=slot), (slot, position)


def test_a_fragment_that_is_cut_short_or_longer_is_not_good() -> None:
    code, data = ErasureCoding(3, 2), content(301)
    shard = fragments_of(code, data)[0]
    for size_bytes in range(len(shard)):
        assert not code.is_good(shard[:size_bytes], digest=digest_of(data), slot=0)
    assert not code.is_good(shard + b"\0", digest=digest_of(data), slot=0)


def test_a_fragment_is_good_for_its_chunk_its_slot_and_its_code_alone() -> None:
    code, data, other = ErasureCoding(4, 2), content(1000), content(1000, seed=1)
    for slot, shard in enumerate(fragments_of(code, data)):
        for elsewhere in range(code.width):
            assert code.is_good(shard, digest=digest_of(data), slot=elsewhere) == (slot == elsewhere)
        assert not code.is_good(shard, digest=digest_of(other), slot=slot)
        for shape in ((4, 3), (3, 3), (5, 1)):
            assert not ErasureCoding(*shape).is_good(shard, digest=digest_of(data), slot=slot)


def test_fewer_than_k_fragments_make_nothing() -> None:
    code, data = ErasureCoding(4, 2), content(1000)
    shards = dict(enumerate(fragments_of(code, data)))
    assert code.decode({slot: shards[slot] for slot in (0, 4, 5)}, digest=digest_of(data)) is None


@pytest.mark.parametrize("size_bytes", [1000, 1001])
def test_a_fragment_made_from_other_bytes_is_overcome_by_one_more_and_never_believed(size_bytes: int) -> None:
    code, data = ErasureCoding(4, 2), content(1000)
    shards = dict(enumerate(fragments_of(code, data)))
    forged = code.encode(content(size_bytes, seed=1), digest=digest_of(data))[1]  # consistent, and a lie
    assert code.is_good(forged, digest=digest_of(data), slot=1)
    shards[1] = bytes(forged)
    assert code.decode({slot: shards[slot] for slot in range(4)}, digest=digest_of(data)) is None
    assert code.decode({slot: shards[slot] for slot in range(5)}, digest=digest_of(data)) == data


def test_threads_share_a_code() -> None:
    code, bodies = ErasureCoding(5, 3), [content(20_000 + seed, seed=seed) for seed in range(64)]

    def round_trip(data: bytes) -> bool:
        shards = dict(enumerate(fragments_of(code, data)))
        return code.decode({slot: shards[slot] for slot in range(3, 8)}, digest=digest_of(data)) == data

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(round_trip, bodies))


def test_fragments_of_the_first_version_are_read_and_made_as_ever() -> None:
    """`golden/fragments-v1.json` holds the fragments of 100 bytes under `erasure(4, 2)`, in hexadecimal."""
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    data, shards = bytes(range(100)), [bytes.fromhex(each) for each in golden["fragments"]]
    code = ErasureCoding(4, 2)
    assert fragments_of(code, data) == shards
    for kept in combinations(range(6), 4):
        assert code.decode({slot: shards[slot] for slot in kept}, digest=digest_of(data)) == data


# ---------------------------------------------------------------------- policies


def test_a_policy_of_fragments_says_what_it_keeps_and_survives() -> None:
    policy = Policy.erasure("archive", 4, 2)
    assert str(policy) == "erasure(4, 2)"
    assert (policy.width, policy.needed, policy.losses_tolerated, policy.copies_min) == (6, 4, 2, 5)
    redundancy = redundancy_of(policy)
    assert (redundancy.width, redundancy.needed, redundancy.alike) == (6, 4, False)
    assert redundancy.shard_size_bytes(CHUNK_SIZE_BYTES_MAX) == CHUNK_SIZE_BYTES_MAX // 4 + HEADER_BYTES


@pytest.mark.parametrize(("k", "m", "copies_min"), [(2, 1, 3), (4, 2, 5), (8, 3, 10), (10, 4, 13)])
def test_what_is_acknowledged_survives_the_loss_of_a_server(k: int, m: int, copies_min: int) -> None:
    assert Policy.erasure("p", k, m).copies_min == copies_min > k


@pytest.mark.parametrize(
    ("k", "m", "copies_min", "field"),
    [
        (1, 2, None, "k"),
        (0, 2, None, "k"),
        (32, 1, None, "k"),
        (4, 0, None, "m"),
        (4, -1, None, "m"),
        (16, 17, None, "m"),
        (4, 2, 3, "copies_min"),
        (4, 2, 7, "copies_min"),
    ],
)
def test_what_makes_no_code_is_refused_by_field(k: int, m: int, copies_min: int | None, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Policy.erasure("p", k, m, copies_min=copies_min)
    assert refused.value.field == field
