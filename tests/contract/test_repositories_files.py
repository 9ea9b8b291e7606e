"""What the repositories of files and chunks promise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reelstore.domain.chunk import ChunkState
from reelstore.domain.errors import IntegrityViolation
from reelstore.domain.file import FileState
from reelstore.repositories.interface import Metadata, NewChunk
from tests.contract.metadata_values import (
    NOW,
    POLICY,
    SIZE_BYTES,
    add_file,
    add_videos,
    digest,
    later,
    new_chunk,
    open_file,
    places,
    video,
)


async def test_a_file_comes_back_as_it_was_kept(metadata: Metadata) -> None:
    kept = open_file("f", length_bytes=2**53 + 1, expires_at=later(0.000001))
    async with metadata.unit_of_work() as uow:
        await uow.files.add(kept)
        assert await uow.files.get("f", lock=True) == kept
        assert await uow.files.get("g") is None


async def test_obtain_makes_a_row_once_and_gives_the_same_to_all(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        first = await uow.chunks.obtain(POLICY, [new_chunk(2), new_chunk(1), new_chunk(2, id="other")])
        again = await uow.chunks.obtain(POLICY, [new_chunk(1, id="third"), new_chunk(3)])
        elsewhere = await uow.chunks.obtain("wide", [new_chunk(1, id="fourth")])
        assert await uow.chunks.obtain(POLICY, []) == []
    assert [chunk.id for chunk in first] == ["c2", "c1", "c2"]
    assert [chunk.digest for chunk in first] == [digest(2), digest(1), digest(2)]
    assert {chunk.state for chunk in first} == {ChunkState.WRITING}
    assert [chunk.id for chunk in again] == ["c1", "c3"]
    assert (elsewhere[0].id, elsewhere[0].policy) == ("fourth", "wide")


async def test_obtain_refuses_an_id_that_is_another_chunks(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.chunks.obtain(POLICY, [new_chunk(1)])
        with pytest.raises(IntegrityViolation):
            await uow.chunks.obtain(POLICY, [new_chunk(2, id="c1")])


async def test_a_thousand_chunks_are_obtained_and_made_live_at_once(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        chunks = await uow.chunks.obtain(POLICY, [new_chunk(number) for number in range(1200)])
        await uow.chunks.make_live([chunk.id for chunk in chunks])
        found = await uow.chunks.get_many([chunk.id for chunk in chunks] + ["unknown"])
        assert len(found) == 1200
        assert {chunk.state for chunk in found.values()} == {ChunkState.LIVE}
        assert await uow.chunks.get_many([]) == {}
        await uow.chunks.make_live([])
        assert (await uow.videos.totals()).chunk_bytes == 12000


async def test_a_range_is_half_open_and_in_order_of_digest(metadata: Metadata) -> None:
    digests = [bytes(32), b"\x10" + bytes(31), b"\x10\x00\x01" + bytes(29), b"\x11" + bytes(31), b"\xff" * 32]
    async with metadata.unit_of_work() as uow:
        await uow.chunks.obtain(POLICY, [NewChunk(each.hex()[:8], each, 1) for each in reversed(digests)])
        assert await uow.chunks.is_empty("wide")
        await uow.chunks.obtain("wide", [NewChunk("w", digests[1], 1)])
        assert not await uow.chunks.is_empty("wide")

        async def found(start: bytes, stop: bytes | None) -> list[bytes]:
            return [chunk.digest for chunk in await uow.chunks.in_range(POLICY, start, stop)]

        assert await found(b"", None) == digests
        assert await found(bytes(32), b"\x10" + bytes(31)) == digests[:1]
        assert await found(b"\x10" + bytes(31), b"\x11" + bytes(31)) == digests[1:3]
        assert await found(b"\x10", b"\x11") == digests[1:3]
        assert await found(b"\x11", None) == digests[3:]
        assert await found(b"\xff" * 32, None) == digests[4:]
        assert await found(b"\x11", b"\x10") == []


@pytest.mark.parametrize("partition_bits", [0, 1, 7, 8, 9, 12, 16, 17, 24])
async def test_the_bytes_of_live_chunks_are_summed_by_the_top_bits_of_their_digest(
    metadata: Metadata, partition_bits: int
) -> None:
    sizes = {b"\0\0\0\0": 1, b"\0\0\0\xff": 2, b"\0\0\x01": 4, b"\0\x80": 8, b"\x7f\xff\xff": 16, b"\xff" * 32: 2**40}
    new = [NewChunk(top.hex(), top.ljust(32, b"\0"), size_bytes) for top, size_bytes in sizes.items()]
    expected = [0] * 2**partition_bits
    for chunk in new:
        expected[int.from_bytes(chunk.digest) >> (256 - partition_bits)] += chunk.size_bytes
    async with metadata.unit_of_work() as uow:
        assert not any(await uow.chunks.bytes_by_partition(POLICY, partition_bits))
        for policy, prefix in ((POLICY, ""), ("wide", "w")):
            chunks = await uow.chunks.obtain(policy, [replace(chunk, id=prefix + chunk.id) for chunk in new])
            await uow.chunks.make_live([chunk.id for chunk in chunks])
        await uow.chunks.obtain(POLICY, [NewChunk("being written", b"\x01" * 32, 5)])
        assert list(await uow.chunks.bytes_by_partition(POLICY, partition_bits)) == expected


async def test_only_chunks_without_a_reference_are_collected(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await add_file(uow, "f", [1, 2])
        await uow.chunks.obtain(POLICY, [new_chunk(3), new_chunk(4), new_chunk(5)])
        await uow.chunks.obtain("wide", [new_chunk(6)])
        assert not await uow.chunks.delete("c1")
        assert not await uow.chunks.delete("unknown")
        assert await uow.chunks.delete("c5")
        gone = await uow.chunks.delete_unreferenced(POLICY, b"", None)
        assert [chunk.id for chunk in gone] == ["c3", "c4"]
        assert await uow.chunks.delete_unreferenced(POLICY, b"", None) == []
        assert await uow.files.delete("f")
        assert [chunk.id for chunk in await uow.chunks.delete_unreferenced(POLICY, digest(2), None)] == ["c2"]
        assert [chunk.id for chunk in await uow.chunks.in_range(POLICY, b"", None)] == ["c1"]
        totals = await uow.videos.totals()
        assert (totals.chunks, totals.chunk_bytes) == (2, 2 * SIZE_BYTES)


async def test_references_need_their_chunk_and_their_file(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        (chunk,) = await uow.chunks.obtain(POLICY, [new_chunk(1)])
        await uow.files.add(open_file("f"))
        await uow.commit()
    async with metadata.unit_of_work() as uow:
        with pytest.raises(IntegrityViolation):
            await uow.files.set_references("f", places([chunk, replace(chunk, id="unknown")]))
    async with metadata.unit_of_work() as uow:
        with pytest.raises(IntegrityViolation):
            await uow.files.set_references("g", places([chunk]))
    async with metadata.unit_of_work() as uow:
        assert await uow.files.references("f", 0, 10) == []


@pytest.mark.parametrize(("position", "offset_bytes"), [(0, 0), (1, 10), (3, 20), (3, 30), (2, 19), (4, 40)])
async def test_a_chunk_map_has_no_holes_and_what_is_confirmed_stays(
    metadata: Metadata, position: int, offset_bytes: int
) -> None:
    async with metadata.unit_of_work() as uow:
        await add_file(uow, "f", [1, 2])
        (chunk,) = await uow.chunks.obtain(POLICY, [new_chunk(3)])
        misplaced = replace(places([chunk])[0], position=position, offset_bytes=offset_bytes)
        with pytest.raises(IntegrityViolation):
            await uow.files.set_references("f", [misplaced])


async def test_references_given_again_replace_what_lies_beyond_the_confirmed(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await add_file(uow, "f", [1, 2, 3, 4], confirmed=1)
        chunks = await uow.chunks.obtain(POLICY, [new_chunk(5), new_chunk(1)])
        await uow.files.set_references("f", places(chunks, start_position=2))
        assert [place.chunk.id for place in await uow.files.references("f", 0, 10)] == ["c1", "c2", "c5", "c1"]
        await uow.files.set_references("f", places(chunks[:1], start_position=1))
        assert await uow.files.references("f", 0, 10) == [
            *places(await uow.chunks.obtain(POLICY, [new_chunk(1)])),
            *places(chunks[:1], start_position=1),
        ]
        await uow.files.set_references("f", [])
        await uow.files.set_references("no such file", [])
        assert len(await uow.files.references("f", 0, 10)) == 2
        assert [chunk.id for chunk in await uow.chunks.delete_unreferenced(POLICY, b"", None)] == ["c2", "c3", "c4"]


async def test_places_show_their_chunks_as_they_are_now(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await add_file(uow, "f", [1, 2, 3])
        await uow.chunks.make_live(["c2", "unknown"])
        found = await uow.files.references("f", 1, 3)
        assert [(place.position, place.offset_bytes, place.chunk.state) for place in found] == [
            (1, 10, ChunkState.LIVE),
            (2, 20, ChunkState.WRITING),
        ]
        assert await uow.files.references("f", 2, 2) == []
        assert await uow.files.references("f", 3, 9) == []
        assert await uow.files.references("unknown", 0, 9) == []


@pytest.mark.parametrize(
    ("start", "stop", "limit", "positions"),
    [
        (0, 30, 10, [0, 1, 2]),
        (0, 1, 10, [0]),
        (9, 10, 10, [0]),
        (9, 11, 10, [0, 1]),
        (10, 20, 10, [1]),
        (10, 21, 10, [1, 2]),
        (0, 1000, 2, [0, 1]),
        (29, 1000, 10, [2]),
        (30, 1000, 10, []),
        (10, 10, 10, []),
        (15, 15, 10, []),
        (20, 10, 10, []),
    ],
)
async def test_a_chunk_map_gives_the_confirmed_places_that_a_range_touches(
    metadata: Metadata, start: int, stop: int, limit: int, positions: list[int]
) -> None:
    async with metadata.unit_of_work() as uow:
        await add_file(uow, "other", [1])
        await add_file(uow, "f", [1, 2, 1, 4, 5], confirmed=3)
        found = await uow.files.chunk_map("f", start, stop, limit=limit)
        assert [place.position for place in found] == positions
        assert await uow.files.chunk_map("unknown", start, stop, limit=limit) == []


async def test_advance_is_a_compare_and_swap(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await add_file(uow, "f", [1, 2], confirmed=0)

        async def advance(file_id: str, start: int, stop: int, count: int) -> bool:
            return await uow.files.advance(
                file_id, from_offset_bytes=start, to_offset_bytes=stop, chunk_count=count, expires_at=later(90)
            )

        assert not await advance("f", 1, 20, 2)
        assert not await advance("unknown", 0, 20, 2)
        assert await uow.files.get("f") == open_file("f")
        assert await advance("f", 0, 20, 2)
        assert not await advance("f", 0, 20, 2)
        assert await uow.files.get("f") == open_file("f", offset_bytes=20, chunk_count=2, expires_at=later(90))
        assert await uow.files.complete("f", length_bytes=20)
        assert not await advance("f", 20, 30, 3)


async def test_completing_needs_the_whole_length_and_drops_what_lies_beyond(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await add_file(uow, "f", [1, 2, 3], confirmed=2)
        assert not await uow.files.complete("f", length_bytes=30)
        assert not await uow.files.complete("unknown", length_bytes=0)
        assert await uow.files.complete("f", length_bytes=20)
        assert not await uow.files.complete("f", length_bytes=20)
        assert not await uow.files.renew("f", expires_at=later(1))
        assert not await uow.files.renew("unknown", expires_at=later(1))
        file = await uow.files.get("f")
        assert file is not None
        assert (file.state, file.length_bytes, file.expires_at) == (FileState.COMPLETE, 20, None)
        assert len(await uow.files.references("f", 0, 10)) == 2
        assert [chunk.id for chunk in await uow.chunks.delete_unreferenced(POLICY, b"", None)] == ["c3"]
        assert (await uow.videos.totals()).open_files == 0


async def test_an_empty_file_is_completed_too(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await uow.files.add(open_file("f", length_bytes=0))
        assert await uow.files.complete("f", length_bytes=0)
        assert await uow.files.chunk_map("f", 0, 10, limit=10) == []


async def test_expired_files_are_the_open_ones_whose_time_has_ended_longest_first(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        for file_id, seconds in (("a", 3), ("b", 1), ("c", 2), ("d", 1), ("e", 4), ("done", 0)):
            await uow.files.add(open_file(file_id, expires_at=later(seconds)))
        assert await uow.files.complete("done", length_bytes=0)
        assert await uow.files.renew("a", expires_at=later(9))
        assert await uow.files.expired(NOW, limit=10) == []
        assert await uow.files.expired(later(2), limit=10) == ["b", "d", "c"]
        assert await uow.files.expired(later(99), limit=2) == ["b", "d"]


async def test_deleting_a_file_leaves_its_chunks(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await add_file(uow, "f", [1, 1])
        assert await uow.files.delete("f")
        assert not await uow.files.delete("f")
        assert await uow.files.get("f") is None
        assert await uow.files.references("f", 0, 10) == []
        assert set(await uow.chunks.get_many(["c1"])) == {"c1"}
        await uow.files.add(open_file("f"))
        assert await uow.files.references("f", 0, 10) == []


async def test_a_file_that_a_video_has_cannot_go(metadata: Metadata) -> None:
    await add_videos(metadata, video("v"), video("w"))
    async with metadata.unit_of_work() as uow:
        await uow.videos.delete("v")
        with pytest.raises(IntegrityViolation):
            await uow.files.delete("f")
    async with metadata.unit_of_work() as uow:
        await uow.videos.delete("v")
        await uow.videos.delete("w")
        assert await uow.files.delete("f")


async def test_digest_prefixes_are_those_of_the_confirmed_chunks(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await add_file(uow, "f", [1, 2, 257, 1, 9], confirmed=4)
        await add_file(uow, "g", [65536])
        found = await uow.files.digest_prefixes(["f", "g", "unknown"])
        assert await uow.files.digest_prefixes([]) == {}
    assert found == {"f": {0x0100, 0x0200, 0x0101}, "g": {0}, "unknown": frozenset()}


async def test_unshared_bytes_count_each_chunk_once_that_no_other_file_has(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await add_file(uow, "f", [1, 1, 2, 3])
        await add_file(uow, "g", [3, 4], confirmed=0)
        assert await uow.files.unshared_bytes("f") == 20
        assert await uow.files.unshared_bytes("g") == 10
        assert await uow.files.unshared_bytes("unknown") == 0
        await uow.files.delete("g")
        assert await uow.files.unshared_bytes("f") == 30
