"""The dictionary and SQLite side by side: a base for machines that give both the same operations in any order."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from reelstore.domain.errors import ReelstoreError
from reelstore.repositories.interface import UnitOfWork
from reelstore.repositories.memory import InMemoryMetadata
from reelstore.repositories.sql import SqlMetadata

Operation = Callable[[UnitOfWork], Awaitable[object]]

SETTINGS = settings(max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))


def _plain(answer: object) -> object:
    """Lists and tuples are both sequences."""
    if isinstance(answer, Mapping):
        return dict(answer)
    return list(answer) if isinstance(answer, list | tuple) else answer


class Twins(RuleBasedStateMachine):
    """Keep a unit of work open on each, and compare every answer and every error."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.mkdtemp()
        self.memory = InMemoryMetadata()
        self.sqlite = self.runner.run(SqlMetadata.open(f"sqlite:///{self.folder}/metadata.sqlite", reserve_bytes=0))
        self.stack = AsyncExitStack()
        self.runner.run(self._begin())

    def teardown(self) -> None:
        self.runner.run(self.stack.aclose())
        self.runner.run(self.sqlite.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    async def _begin(self) -> None:
        self.units: list[UnitOfWork] = [
            await self.stack.enter_async_context(self.memory.unit_of_work()),
            await self.stack.enter_async_context(self.sqlite.unit_of_work()),
        ]

    async def _begin_again(self) -> None:
        await self.stack.aclose()
        await self._begin()

    def both(self, operation: Operation) -> Any:
        """Return what both answered; None, and new units of work, after an error that both raised."""

        async def one(unit: UnitOfWork) -> tuple[object, type[Exception] | None]:
            try:
                return _plain(await operation(unit)), None
            except ReelstoreError as error:
                return None, type(error)

        (expected, expected_error), (found, found_error) = [self.runner.run(one(unit)) for unit in self.units]
        assert found_error == expected_error
        assert found == expected
        if found_error is not None:  # the unit of work has failed
            self.runner.run(self._begin_again())
        return found

    @rule(commit=st.booleans())
    def end(self, commit: bool) -> None:
        if commit:
            self.both(lambda unit: unit.commit())
        self.runner.run(self._begin_again())
