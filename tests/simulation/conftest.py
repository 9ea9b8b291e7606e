"""Leave nothing of a killed process behind for other tests."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A process that is killed leaves coroutines that nobody awaits: here that is meant."""
    for item in items:
        if "tests/simulation" in item.path.as_posix():
            item.add_marker(pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"))


@pytest.fixture(autouse=True)
def _nothing_stays() -> Iterator[None]:
    yield
    gc.collect()  # now, while their complaints are not heard, and not in the middle of another test
