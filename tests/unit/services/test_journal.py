"""What begins, cannot go on, or is done is told once, by however many workers, and anew when it is news."""

from __future__ import annotations

from reelstore.domain.event import EventKind
from reelstore.repositories.memory import InMemoryMetadata
from reelstore.services.journal import Journal
from tests.cluster import HandClock


def a_metadata() -> InMemoryMetadata:
    return InMemoryMetadata(clock=HandClock().utc)


async def told(metadata: InMemoryMetadata) -> list[str]:
    async with metadata.snapshot() as view:
        return [event.message for event in reversed(await view.events.latest(limit=100))]


async def test_each_is_told_once_by_all_workers_together_and_by_one_that_begins_later() -> None:
    metadata = a_metadata()
    for _ in range(2):
        for journal in (Journal(metadata), Journal(metadata)):
            await journal.started(2, partitions=1, size_bytes=4096)
            await journal.started(2, partitions=1, size_bytes=0)
    for journal in (Journal(metadata), Journal(metadata)):
        await journal.finished(2)
        await journal.finished(2)
    assert await told(metadata) == [
        "moving 4,096 bytes in 1 partition to where epoch 2 wants them",
        "everything lies where epoch 2 wants it",
    ]


async def test_a_cluster_in_which_nothing_was_ever_moved_does_not_tell_that_all_is_done() -> None:
    metadata = a_metadata()
    await Journal(metadata).finished(1)
    assert await told(metadata) == []


async def test_a_reason_is_told_again_only_when_it_is_of_another_kind() -> None:
    metadata = a_metadata()
    journal = Journal(metadata)
    await journal.started(2, partitions=12, size_bytes=4096)
    await journal.blocked(2, ["full: server disk1: 100 bytes are free"])
    await journal.blocked(2, ["full: server disk1: 99 bytes are free"])
    await Journal(metadata).blocked(2, ["full: server disk2: 98 bytes are free"])
    await journal.blocked(2, ["full: server disk1: 97 bytes are free", "unreachable: disk3"])
    found = await told(metadata)
    assert found[1:] == [
        "blocked: full: server disk1: 100 bytes are free",
        "blocked: full: server disk1: 97 bytes are free; unreachable: disk3",
    ]
    async with metadata.snapshot() as view:
        (last,) = await view.events.latest(limit=1)
    assert (last.kind, last.subject) == (EventKind.REBALANCE_BLOCKED, "2")
    assert last.data["kinds"] == ["full", "unreachable"]


async def test_a_next_epoch_is_news_and_so_is_trouble_after_the_end() -> None:
    metadata = a_metadata()
    journal = Journal(metadata)
    await journal.started(2, partitions=2, size_bytes=1)
    await journal.started(3, partitions=2, size_bytes=1)
    await journal.finished(3)
    await journal.blocked(3, ["unreachable: disk1"])
    await journal.finished(3)
    await journal.blocked(3, ["unreachable: disk1"])
    assert [message.split(" ")[0] for message in await told(metadata)] == [
        "moving",
        "moving",
        "everything",
        "blocked:",
        "everything",
        "blocked:",
    ]
