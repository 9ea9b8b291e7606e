"""Questions that are asked often, or of large tables, are answered by an index: SQLite's own plan is the witness."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from reelstore.domain.event import EventKind
from reelstore.domain.video import VideoState
from reelstore.repositories.interface import SORTS, VideoQuery
from reelstore.repositories.sql import SqlMetadata
from reelstore.repositories.sql.metadata import SqlUnit
from tests.contract.metadata_values import NOW, POLICY, add_file, new_chunk

Question = Callable[[SqlUnit], Awaitable[object]]


@pytest.fixture
async def metadata(tmp_path: Path) -> AsyncIterator[SqlMetadata]:
    opened = await SqlMetadata.open(f"sqlite:///{tmp_path}/metadata.sqlite", reserve_bytes=0)
    yield opened
    await opened.close()


async def _plan(metadata: SqlMetadata, question: Question) -> list[str]:
    asked: list[tuple[str, Any]] = []

    def listen(connection: Connection, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
        if not statement.startswith(("BEGIN", "INSERT")):
            asked.append((statement, parameters))

    def explain(connection: Connection) -> list[str]:
        return [
            row[3]
            for statement, parameters in asked
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]

    async with metadata.unit_of_work() as uow:
        await add_file(uow, "f", [1, 2, 3])
        event.listen(metadata._alone._engine, "before_cursor_execute", listen)
        await question(uow)
        event.remove(metadata._alone._engine, "before_cursor_execute", listen)
        return await uow._session.read(explain)


QUESTIONS: dict[str, Question] = {
    "file": lambda uow: uow.files.get("f"),
    "chunk map": lambda uow: uow.files.chunk_map("f", 5, 15, limit=10),
    "references": lambda uow: uow.files.references("f", 1, 2),
    "expired": lambda uow: uow.files.expired(NOW, limit=10),
    "prefixes": lambda uow: uow.files.digest_prefixes(["f"]),
    "unshared": lambda uow: uow.files.unshared_bytes("f"),
    "complete": lambda uow: uow.files.complete("f", length_bytes=30),
    "delete a file": lambda uow: uow.files.delete("f"),
    "obtain": lambda uow: uow.chunks.obtain(POLICY, [new_chunk(1)]),
    "range": lambda uow: uow.chunks.in_range(POLICY, b"a", b"b"),
    "collect": lambda uow: uow.chunks.delete_unreferenced(POLICY, b"a", b"b"),
    "collect one": lambda uow: uow.chunks.delete("c1"),
    "live": lambda uow: uow.chunks.make_live(["c1"]),
    "tag": lambda uow: uow.videos.list(VideoQuery(tags=("a",))),
    "trash": lambda uow: uow.videos.list(VideoQuery(state=VideoState.TRASHED)),
    "next page": lambda uow: uow.videos.list(VideoQuery(sort="name", after=("n", "v"))),
    "delete a video": lambda uow: uow.videos.delete("v"),
    "videos of chunks": lambda uow: uow.videos.of_chunks(["c1", "c2"], limit=3),
    "give a lease back": lambda uow: uow.leases.release("l", holder="a"),
    "leases in force": lambda uow: uow.leases.in_force("move/", now=NOW),
    "follow events": lambda uow: uow.events.after(5, limit=100),
    "events of a subject": lambda uow: uow.events.latest(limit=9, subject="disk1", before=7),
    "events of some kinds": lambda uow: uow.events.latest(limit=9, kinds=[EventKind.VIDEO_STORED]),
    "forget events": lambda uow: uow.events.drop_before(NOW),
    "a plan": lambda uow: uow.plans.get("p"),
    "apply a plan": lambda uow: uow.plans.mark_applied("p", epoch=3),
    "forget plans": lambda uow: uow.plans.drop_before(NOW),
    "samples": lambda uow: uow.usage.since(NOW),
    "forget samples": lambda uow: uow.usage.drop_before(NOW),
    "swap": lambda uow: uow.partitions.swap_synced(POLICY, {1: 0}, epoch=1),
}


@pytest.mark.parametrize("name", QUESTIONS)
async def test_no_table_is_scanned(metadata: SqlMetadata, name: str) -> None:
    plan = await _plan(metadata, QUESTIONS[name])
    assert plan
    assert not [step for step in plan if step.startswith("SCAN")]


@pytest.mark.parametrize("sort", SORTS)
async def test_a_page_is_read_in_order_without_sorting(metadata: SqlMetadata, sort: str) -> None:
    plan = await _plan(metadata, lambda uow: uow.videos.list(VideoQuery(sort=sort)))
    assert plan == [f"SCAN videos USING INDEX ix_videos_{sort}_id"]


ORDERED: dict[str, tuple[Question, str]] = {
    "events": (lambda uow: uow.events.latest(limit=9), "SCAN events"),
    "plans": (lambda uow: uow.plans.latest(limit=9), "SCAN plans USING INDEX ix_plans_created_at_id"),
    "epochs": (lambda uow: uow.rings.history(limit=9), "SCAN rings USING INDEX sqlite_autoindex_rings_1"),
}


@pytest.mark.parametrize("name", ORDERED)
async def test_the_latest_are_read_from_the_end_without_sorting(metadata: SqlMetadata, name: str) -> None:
    question, plan = ORDERED[name]
    assert await _plan(metadata, question) == [plan]


async def test_bytes_of_partitions_are_summed_in_the_order_in_which_the_chunks_lie(metadata: SqlMetadata) -> None:
    plan = await _plan(metadata, lambda uow: uow.chunks.bytes_by_partition(POLICY, 12))
    assert plan == ["SCAN chunks", "USE TEMP B-TREE FOR GROUP BY"]


async def test_a_chunk_map_reads_only_the_places_that_are_asked_for(metadata: SqlMetadata) -> None:
    plan = await _plan(metadata, QUESTIONS["chunk map"])
    assert "SEARCH file_chunks USING PRIMARY KEY (file=? AND position>? AND position<?)" in plan
    by_offset = [step for step in plan if "ix_file_chunks_file_offset_bytes (file=? AND offset_bytes<?)" in step]
    assert len(by_offset) == 2


async def test_totals_read_indexes_alone(metadata: SqlMetadata) -> None:
    plan = await _plan(metadata, lambda uow: uow.videos.totals())
    assert not [step for step in plan if "videos" in step and "COVERING INDEX" not in step]
    assert not [step for step in plan if " chunks" in step or " file_chunks" in step]
