"""What the repository of videos promises."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest

from reelstore.domain.errors import IntegrityViolation, InvalidCursor, InvalidInput
from reelstore.domain.video import Video, VideoState
from reelstore.repositories.interface import SORTS, Metadata, VideoQuery
from reelstore.repositories.listing import sort_key
from tests.contract.metadata_values import NOW, add_file, add_videos, later, open_file, video

HOSTILE_NAMES = (
    "plain.mp4",
    "100%.mp4",
    "under_score",
    "back\\slash",
    "'; DROP TABLE videos; --",
    'quote"',
    "STRASSE",
    "straße",
    "İstanbul",
    "ISTANBUL",
    "\u0131l\u0131k",
    "cafe\u0301",
    "café",
    "🎬 film",
    "\U0010ffff",
    "\uffff",
    "فيديو",
    "\u202etxt.exe",
    "日本語",
    " ",
    "../../etc/passwd",
    "?:*<>|",
    "a" * 1024,
)


async def _ids(metadata: Metadata, query: VideoQuery) -> list[str]:
    async with metadata.snapshot() as seen:
        return [found.id for found in await seen.videos.list(query)]


async def test_a_video_comes_back_as_it_was_kept(metadata: Metadata) -> None:
    kept = video(
        "v",
        name="ein ß.mp4",
        description="line\nline",
        tags=("z", "a", "Z", "🎬"),
        state=VideoState.TRASHED,
        state_before_trash=VideoState.READY,
        size_bytes=2**53 + 1,
        created_at=NOW + timedelta(microseconds=1),
        deleted_at=later(1),
        version=7,
        media={"duration_seconds": 1.5, "tracks": [{"codec": "avc1"}], "nothing": None},
    )
    await add_videos(metadata, kept, video("w"))
    async with metadata.snapshot() as seen:
        assert await seen.videos.get("v") == kept
        assert await seen.videos.get("w") == video("w")
        assert await seen.videos.get("unknown") is None
        assert await seen.videos.get("' OR 1=1 --") is None


async def test_an_id_is_used_once_and_the_file_must_be_there(metadata: Metadata) -> None:
    await add_videos(metadata, video("v"))
    async with metadata.unit_of_work() as uow:
        with pytest.raises(IntegrityViolation):
            await uow.videos.add(video("v"))
    async with metadata.unit_of_work() as uow:
        with pytest.raises(IntegrityViolation):
            await uow.videos.add(video("w", file_id="unknown"))
    async with metadata.unit_of_work() as uow:
        with pytest.raises(IntegrityViolation):
            await uow.videos.update(video("v", file_id="unknown"), expected_version=1)


async def test_update_is_a_compare_and_swap_on_the_version(metadata: Metadata) -> None:
    await add_videos(metadata, video("v", tags=("a", "b")))
    changed = video("v", title="Other", tags=("b", "c"), version=2, updated_at=later(5))
    async with metadata.unit_of_work() as uow:
        assert not await uow.videos.update(changed, expected_version=2)
        assert not await uow.videos.update(replace(changed, id="unknown"), expected_version=1)
        assert await uow.videos.get("v") == video("v", tags=("a", "b"))
        assert await uow.videos.update(changed, expected_version=1)
        assert not await uow.videos.update(changed, expected_version=1)
        assert await uow.videos.get("v") == changed
        await uow.commit()
    assert await _ids(metadata, VideoQuery(tags=("a",))) == []
    assert await _ids(metadata, VideoQuery(tags=("b", "c"), words=("OTHER",))) == ["v"]
    assert await _ids(metadata, VideoQuery(words=("title",))) == []


async def test_a_video_may_change_its_file(metadata: Metadata) -> None:
    await add_videos(metadata, video("v"))
    async with metadata.unit_of_work() as uow:
        await uow.files.add(open_file("g"))
        assert await uow.videos.update(video("v", file_id="g", version=2), expected_version=1)
        assert await uow.files.delete("f")
        with pytest.raises(IntegrityViolation):
            await uow.files.delete("g")


async def test_deleting_takes_the_row_and_not_the_file(metadata: Metadata) -> None:
    await add_videos(metadata, video("v", tags=("a",)))
    async with metadata.unit_of_work() as uow:
        assert await uow.videos.delete("v")
        assert not await uow.videos.delete("v")
        assert await uow.files.get("f") == open_file("f")
        await uow.videos.add(video("v"))
        assert await uow.videos.list(VideoQuery(tags=("a",))) == []


async def test_the_trash_is_listed_only_by_name(metadata: Metadata) -> None:
    await add_videos(metadata, video("v"), video("t", state=VideoState.TRASHED), video("r", state=VideoState.READY))
    assert await _ids(metadata, VideoQuery()) == ["v", "r"]
    assert await _ids(metadata, VideoQuery(state=VideoState.TRASHED)) == ["t"]
    assert await _ids(metadata, VideoQuery(state=VideoState.READY)) == ["r"]
    assert await _ids(metadata, VideoQuery(state=VideoState.FAILED)) == []


@pytest.mark.parametrize("name", HOSTILE_NAMES)
async def test_a_whole_name_as_the_word_finds_exactly_the_names_that_hold_it(metadata: Metadata, name: str) -> None:
    await add_videos(metadata, *(video(str(i), name=each, title="") for i, each in enumerate(HOSTILE_NAMES)))
    found = await _ids(metadata, VideoQuery(words=(name,), limit=100, descending=False))
    equal = {"STRASSE": "straße", "straße": "STRASSE", "cafe\u0301": "café", "café": "cafe\u0301"}
    expected = {str(i) for i, each in enumerate(HOSTILE_NAMES) if name in each or each == equal.get(name)}
    assert set(found) == expected


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (("%",), ["percent"]),
        (("_",), ["under"]),
        (("\\",), ["back"]),
        (("",), ["back", "percent", "under"]),
        ((), ["back", "percent", "under"]),
        (("NAME", "tAg"), ["under"]),
        (("name", "absent"), []),
        (("name\x1ftitle",), ["back", "percent", "under"]),
        (("nametitle",), []),
        (("a\0b",), []),
        (("x" * 100_000,), []),
    ],
)
async def test_words_are_looked_for_literally_in_all_texts(
    metadata: Metadata, words: tuple[str, ...], ids: list[str]
) -> None:
    await add_videos(
        metadata,
        video("percent", name="Name", description="100%"),
        video("under", name="Name", tags=("a_tag",)),
        video("back", name="Name", title="Title\\"),
    )
    assert await _ids(metadata, VideoQuery(words=words, descending=False)) == ids


async def test_tags_match_exactly_and_all_of_them(metadata: Metadata) -> None:
    await add_videos(
        metadata, video("a", tags=("News", "x")), video("b", tags=("news",)), video("c", tags=("news%", "x", "é"))
    )
    assert await _ids(metadata, VideoQuery(tags=("news",))) == ["b"]
    assert await _ids(metadata, VideoQuery(tags=("x", "News"))) == ["a"]
    assert await _ids(metadata, VideoQuery(tags=("x",))) == ["c", "a"]
    assert await _ids(metadata, VideoQuery(tags=("e\u0301",))) == []
    assert await _ids(metadata, VideoQuery(tags=("",))) == []


def _assorted() -> list[Video]:
    names = ("a", "B", "b", "é", "\uffff", "\U0001f3ac", "", "a")
    return [
        video(
            f"v{number:02}",
            name=names[number % 8],
            title=names[(number * 3) % 8],
            size_bytes=number % 3 * 2**40,
            created_at=later(number % 4),
            updated_at=NOW + timedelta(microseconds=number % 5),
            state=VideoState.STORED if number % 7 else VideoState.READY,
        )
        for number in range(24)
    ]


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("sort", SORTS)
async def test_pages_put_together_are_the_whole_list_in_order(metadata: Metadata, sort: str, descending: bool) -> None:
    videos = _assorted()
    await add_videos(metadata, *videos)
    query = VideoQuery(sort=sort, descending=descending, limit=5)
    found: list[Video] = []
    async with metadata.snapshot() as seen:
        for _ in range(10):
            page = await seen.videos.list(query)
            found += page
            if not page:
                break
            query = replace(query, after=sort_key(page[-1], sort))
    assert found == sorted(videos, key=lambda each: sort_key(each, sort), reverse=descending)


async def test_a_page_goes_on_after_a_video_that_is_gone(metadata: Metadata) -> None:
    await add_videos(metadata, *(video(each) for each in "abc"))
    query = VideoQuery(descending=False, after=(NOW, "b"))
    async with metadata.unit_of_work() as uow:
        await uow.videos.delete("b")
        await uow.commit()
    assert await _ids(metadata, query) == ["c"]


@pytest.mark.parametrize(
    ("query", "error"),
    [
        (VideoQuery(sort="id; --"), InvalidInput),
        (VideoQuery(sort="description"), InvalidInput),
        (VideoQuery(limit=0), InvalidInput),
        (VideoQuery(limit=-1), InvalidInput),
        (VideoQuery(after=("2026", "v")), InvalidCursor),
        (VideoQuery(after=(NOW.replace(tzinfo=None), "v")), InvalidCursor),
        (VideoQuery(after=(5, "v"), sort="name"), InvalidCursor),
        (VideoQuery(after=(True, "v"), sort="size_bytes"), InvalidCursor),
        (VideoQuery(after=(2**63, "v"), sort="size_bytes"), InvalidCursor),
        (VideoQuery(after=(-(2**70), "v"), sort="size_bytes"), InvalidCursor),
    ],
)
async def test_a_query_that_makes_no_sense_is_refused(
    metadata: Metadata, query: VideoQuery, error: type[Exception]
) -> None:
    async with metadata.snapshot() as seen:
        with pytest.raises(error):
            await seen.videos.list(query)


async def test_totals_count_what_there_is(metadata: Metadata) -> None:
    async with metadata.snapshot() as seen:
        nothing = await seen.videos.totals()
    assert set(itertools.chain(getattr(nothing, name) for name in nothing.__slots__)) == {0}
    async with metadata.unit_of_work() as uow:
        await add_file(uow, "f", [1, 1, 2])
        await add_file(uow, "g", [2])
        assert await uow.files.complete("g", length_bytes=10)
        await uow.commit()
    await add_videos(
        metadata,
        video("a", size_bytes=5),
        video("b", size_bytes=7, state=VideoState.READY),
        video("c", size_bytes=11, state=VideoState.TRASHED),
    )
    async with metadata.snapshot() as seen:
        totals = await seen.videos.totals()
    assert (totals.videos, totals.video_bytes, totals.trashed, totals.trashed_bytes) == (2, 12, 1, 11)
    assert (totals.chunks, totals.chunk_bytes, totals.open_files) == (2, 20, 1)


async def test_the_videos_of_chunks_are_those_whose_file_refers_to_one_of_them(metadata: Metadata) -> None:
    videos = [
        video("u", file_id="shared", tags=("a",)),
        video("v", file_id="g", state=VideoState.TRASHED),
        video("w", file_id="other"),
        video("t", file_id="shared"),
    ]
    async with metadata.unit_of_work() as uow:
        await add_file(uow, "shared", [1, 2, 1])
        await add_file(uow, "g", [2, 3], confirmed=1)
        await add_file(uow, "other", [4])
        await add_file(uow, "of no video", [5])
        for each in videos:
            await uow.videos.add(each)

        async def of(*numbers: int, limit: int = 9) -> list[str]:
            return [found.id for found in await uow.videos.of_chunks([f"c{number}" for number in numbers], limit=limit)]

        assert await of(1) == ["t", "u"]
        assert await of(2, 2) == ["t", "u", "v"]
        assert await of(3) == ["v"]
        assert await of(4, 1) == ["t", "u", "w"]
        assert await of(5, 6) == []
        assert await of() == []
        assert await of(1, 2, 3, 4, limit=2) == ["t", "u"]
        assert await uow.videos.of_chunks(["c1"], limit=9) == [videos[3], videos[0]]


async def test_the_first_videos_of_thousands_of_chunks_are_found(metadata: Metadata) -> None:
    async with metadata.unit_of_work() as uow:
        await add_file(uow, "f", range(1201))
        await add_file(uow, "g", [0])
        await add_file(uow, "h", [1200])
        for video_id, file_id in (("c", "g"), ("b", "h"), ("a", "f"), ("d", "g")):
            await uow.videos.add(video(video_id, file_id=file_id))
        chunks = [f"c{number}" for number in range(1201)]
        assert [found.id for found in await uow.videos.of_chunks(chunks, limit=3)] == ["a", "b", "c"]
        assert [found.id for found in await uow.videos.of_chunks(chunks[1:], limit=9)] == ["a", "b"]
