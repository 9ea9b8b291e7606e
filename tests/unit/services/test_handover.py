"""What a gateway without a background has met reaches a worker, once, and is not lost while the database is away."""

from __future__ import annotations

import pytest

from reelstore.domain.errors import MetadataUnavailable
from reelstore.repositories.interface import UnitOfWork
from reelstore.repositories.memory import InMemoryMetadata
from reelstore.services.attention import Attention, Need
from reelstore.services.handover import Handover

NEEDS = {("default", 3): Need(collect=True), ("default", 5): Need(verify=True, unsettled=True)}


def _noting() -> Attention:
    attention = Attention()
    for (policy, partition), need in NEEDS.items():
        attention.add(policy, [partition], need)
    return attention


async def test_what_one_process_gives_another_one_takes_once() -> None:
    metadata, giving, taking = InMemoryMetadata(), _noting(), Attention()
    await Handover(metadata, giving).give()
    await Handover(metadata, giving).give()
    assert len(giving) == 0
    await Handover(metadata, taking).take()
    assert taking.wake.is_set()
    assert taking.take() == NEEDS
    await Handover(metadata, taking).take()
    assert len(taking) == 0


async def test_what_cannot_be_given_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    metadata, giving = InMemoryMetadata(), _noting()

    def refuse(*, frees: bool = False) -> UnitOfWork:
        raise MetadataUnavailable("away")

    with monkeypatch.context() as away:
        away.setattr(metadata, "unit_of_work", refuse)
        with pytest.raises(MetadataUnavailable):
            await Handover(metadata, giving).give()
    assert giving.take() == NEEDS
