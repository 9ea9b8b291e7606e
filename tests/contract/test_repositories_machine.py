"""The dictionary and SQLite, given the same operations on what is stored in any order, answer the same."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from reelstore.domain.video import VideoState
from reelstore.repositories.interface import SORTS, NewChunk, VideoQuery
from tests.contract.metadata_values import POLICY, later, open_file, places, video
from tests.contract.twins import SETTINGS, Twins

FILES = st.sampled_from(["f", "g", "h"])
VIDEOS = st.sampled_from(["u", "v", "w"])
NUMBERS = st.lists(st.integers(0, 9), max_size=5)
COUNTS = st.integers(0, 6)
TIMES = st.integers(0, 3).map(later)
WORDS = st.sampled_from(["a", "B", "ß", "ss", "%", "_", "é", "e\u0301", "🎬", "\\"])
STATES = st.sampled_from([VideoState.STORED, VideoState.READY, VideoState.TRASHED])
PREFIXES = st.sampled_from([b"", b"\x00", b"\x03", b"\x05\x01", b"\xff" * 32])


def _chunk(number: int) -> NewChunk:
    return NewChunk(f"c{number}", bytes([number, number % 2]) + bytes(30), 10)


class StoredTwins(Twins):
    """Files, chunks and videos."""

    @rule(file_id=FILES, at=TIMES)
    def add_file(self, file_id: str, at: datetime) -> None:
        self.both(lambda unit: unit.files.add(open_file(file_id, expires_at=at)))

    @rule(file_id=FILES, start=COUNTS, numbers=NUMBERS)
    def set_references(self, file_id: str, start: int, numbers: list[int]) -> None:
        chunks = self.both(lambda unit: unit.chunks.obtain(POLICY, [_chunk(number) for number in numbers]))
        if chunks is not None:
            self.both(lambda unit: unit.files.set_references(file_id, places(chunks, start_position=start)))

    @rule(file_id=FILES, numbers=NUMBERS)
    def append(self, file_id: str, numbers: list[int]) -> None:
        file = self.both(lambda unit: unit.files.get(file_id, lock=True))
        if file is not None:
            self.set_references(file_id, file.chunk_count, numbers)

    @rule(file_id=FILES, at=TIMES)
    def confirm_what_is_there(self, file_id: str, at: datetime) -> None:
        file = self.both(lambda unit: unit.files.get(file_id))
        held = self.both(lambda unit: unit.files.references(file_id, 0, 99))
        if file is not None and held is not None:
            self.both(
                lambda unit: unit.files.advance(
                    file_id,
                    from_offset_bytes=file.offset_bytes,
                    to_offset_bytes=len(held) * 10,
                    chunk_count=len(held),
                    expires_at=at,
                )
            )

    @rule(file_id=FILES, start=COUNTS, at=TIMES)
    def change_file(self, file_id: str, start: int, at: datetime) -> None:
        self.both(lambda unit: unit.files.renew(file_id, expires_at=at))
        self.both(lambda unit: unit.files.complete(file_id, length_bytes=start * 10))

    @rule(file_id=FILES)
    def delete_file(self, file_id: str) -> None:
        self.both(lambda unit: unit.files.delete(file_id))

    @rule(numbers=NUMBERS)
    def make_live(self, numbers: list[int]) -> None:
        self.both(lambda unit: unit.chunks.make_live([f"c{number}" for number in numbers]))

    @rule(start=PREFIXES, stop=st.none() | PREFIXES, number=st.integers(0, 9))
    def collect(self, start: bytes, stop: bytes | None, number: int) -> None:
        self.both(lambda unit: unit.chunks.in_range(POLICY, start, stop))
        self.both(lambda unit: unit.chunks.is_empty(POLICY))
        self.both(lambda unit: unit.chunks.delete(f"c{number}"))
        self.both(lambda unit: unit.chunks.delete_unreferenced(POLICY, start, stop))

    @rule(video_id=VIDEOS, file_id=FILES, name=WORDS, tags=st.lists(WORDS, unique=True, max_size=3), state=STATES)
    def put_video(self, video_id: str, file_id: str, name: str, tags: list[str], state: VideoState) -> None:
        made = video(video_id, file_id=file_id, name=name, tags=tuple(tags), state=state, size_bytes=len(name))
        if self.both(lambda unit: unit.files.get(file_id)) is not None and not self.both(
            lambda unit: unit.videos.update(made, expected_version=1)
        ):
            self.both(lambda unit: unit.videos.add(made))

    @rule(video_id=VIDEOS)
    def delete_video(self, video_id: str) -> None:
        self.both(lambda unit: unit.videos.delete(video_id))

    @rule(
        words=st.lists(WORDS, max_size=2),
        tags=st.lists(WORDS, max_size=1),
        state=st.none() | STATES,
        sort=st.sampled_from(SORTS),
        descending=st.booleans(),
        limit=st.integers(1, 3),
    )
    def list_videos(self, words: list[str], tags: list[str], **how: Any) -> None:
        self.both(lambda unit: unit.videos.list(VideoQuery(words=tuple(words), tags=tuple(tags), **how)))

    @rule(file_id=FILES, start=st.integers(0, 60), size=st.integers(0, 40), limit=st.integers(1, 4), at=TIMES)
    def look(self, file_id: str, start: int, size: int, limit: int, at: datetime) -> None:
        self.both(lambda unit: unit.files.chunk_map(file_id, start, start + size, limit=limit))
        self.both(lambda unit: unit.files.digest_prefixes([file_id, "f"]))
        self.both(lambda unit: unit.files.unshared_bytes(file_id))
        self.both(lambda unit: unit.files.expired(at, limit=limit))
        self.both(lambda unit: unit.videos.of_chunks([f"c{number}" for number in range(start % 10)], limit=limit))
        self.both(lambda unit: unit.chunks.bytes_by_partition(POLICY, limit * 3))

    @invariant()
    def totals_are_the_same(self) -> None:
        self.both(lambda unit: unit.videos.totals())


TestStoredTwins = StoredTwins.TestCase
TestStoredTwins.settings = SETTINGS
