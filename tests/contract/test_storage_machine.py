"""Random calls on each kind of storage server, held against a dictionary."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from reelstore.domain.chunk import ShardName
from reelstore.domain.errors import ServerFull, ServerUnavailable, ShardMissing
from reelstore.storage.interface import Adopting, Quarantining, StorageServer
from tests.contract.storage_suite import KINDS, MARKER, NODES, digest_at, listed, listed_names, shard

T = TypeVar("T")

CAPACITY_BYTES = 1000
IN_MEMORY = Path("/dev/shm")  # syncs cost nothing there; the real disk is for the integration tests

DIGESTS = [digest_at(prefix) for prefix in ("", "0008", "0010", "001", "7fff", "8", "fff", "ff")]
NAMES = st.builds(
    lambda digest, policy, slot: shard(digest=digest, policy=policy, slot=slot),
    st.sampled_from(DIGESTS),
    st.sampled_from(["default", "other"]),
    st.integers(0, 1),
)
DATA = st.integers(0, 400).flatmap(lambda size: st.binary(min_size=min(size, 8), max_size=8).map(lambda b: b * size))
BOUNDS = st.one_of(st.sampled_from(DIGESTS), st.binary(max_size=3))


class StorageMachine(RuleBasedStateMachine):
    """Do the same to a server and to a dictionary."""

    kind = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.path = Path(tempfile.mkdtemp(dir=IN_MEMORY if IN_MEMORY.is_dir() else None))
        self.runner = asyncio.Runner()
        self.server: StorageServer = KINDS[self.kind](self.path, CAPACITY_BYTES)
        self.model: dict[ShardName, bytes] = {}
        self.delete_rounds = 0
        self.set_aside_once: set[tuple[ShardName, int]] = set()
        self.open = True

    def teardown(self) -> None:
        self.run(self.server.close())
        self.runner.close()
        NODES.stop()
        shutil.rmtree(self.path)

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    def used_bytes(self) -> int:
        return sum(map(len, self.model.values()))

    @initialize()
    def attach(self) -> None:
        self.run(self.server.attach(MARKER, claim=True))

    @precondition(lambda self: self.open)
    @rule(name=NAMES, data=DATA)
    def put(self, name: ShardName, data: bytes) -> None:
        growth_bytes = len(data) - len(self.model.get(name, b""))
        if growth_bytes > 0 and self.used_bytes() + growth_bytes > CAPACITY_BYTES:
            with pytest.raises(ServerFull):
                self.run(self.server.put(name, data))
        else:
            self.run(self.server.put(name, data))
            self.model[name] = data

    @precondition(lambda self: self.open)
    @rule(name=NAMES, start=st.integers(0, 500), length=st.none() | st.integers(0, 500))
    def get(self, name: ShardName, start: int, length: int | None) -> None:
        stop = None if length is None else start + length
        if name in self.model:
            assert self.run(self.server.get(name, start, stop)) == self.model[name][start:stop]
        else:
            with pytest.raises(ShardMissing):
                self.run(self.server.get(name, start, stop))

    @precondition(lambda self: self.open)
    @rule(name=NAMES)
    def delete(self, name: ShardName) -> None:
        assert self.run(self.server.delete(name)) == (self.model.pop(name, None) is not None)

    @precondition(lambda self: self.open and isinstance(self.server, Adopting))
    @rule(old=NAMES, slot=st.integers(0, 2))
    def adopt(self, old: ShardName, slot: int) -> None:
        assert isinstance(self.server, Adopting)
        new = replace(old, slot=slot)
        assert self.run(self._awaited(self.server.adopt(old, new))) == (old in self.model)
        if old in self.model:
            self.model[new] = self.model[old]

    @precondition(lambda self: self.open and isinstance(self.server, Quarantining))
    @rule(name=NAMES)
    def set_aside(self, name: ShardName) -> None:
        assert isinstance(self.server, Quarantining)
        self.run(self._awaited(self.server.set_aside(name)))
        if name in self.model:
            self.set_aside_once.add((name, len(self.model[name])))

    @precondition(lambda self: self.open)
    @rule(name=NAMES)
    def stat(self, name: ShardName) -> None:
        entry = self.run(self.server.stat(name))
        assert (None if entry is None else entry.size_bytes) == (len(self.model[name]) if name in self.model else None)

    @precondition(lambda self: self.open)
    @rule(policy=st.sampled_from(["default", "other", "nobody"]), start=BOUNDS, stop=st.none() | BOUNDS)
    def list(self, policy: str, start: bytes, stop: bytes | None) -> None:
        assert self.run(listed_names(self.server, policy, start, stop)) == {
            name
            for name in self.model
            if name.policy == policy and start <= name.digest and (stop is None or name.digest < stop)
        }

    @precondition(lambda self: self.open)
    @rule(policy=st.sampled_from(["default", "other"]), digest=st.sampled_from(DIGESTS))
    def find(self, policy: str, digest: bytes) -> None:
        found = self.run(self._find(policy, digest))
        assert found == {name for name in self.model if (name.policy, name.digest) == (policy, digest)}

    async def _awaited(self, call: Awaitable[T]) -> T:
        return await call

    async def _find(self, policy: str, digest: bytes) -> set[ShardName]:
        return {entry.name for entry in await self.server.find(policy, digest)}

    @precondition(lambda self: self.open)
    @rule(rounds=st.integers(0, 100))
    def record_delete_rounds(self, rounds: int) -> None:
        self.run(self.server.record_delete_rounds(rounds))
        self.delete_rounds = max(self.delete_rounds, rounds)

    @precondition(lambda self: self.open)
    @rule(attach=st.booleans())
    def close(self, attach: bool) -> None:
        self.run(self.server.close())
        self.open = False
        if attach:
            self.reopen()

    @precondition(lambda self: not self.open)
    @rule(claim=st.booleans())
    def reopen(self, claim: bool = False) -> None:
        found = self.run(self.server.attach(MARKER, claim=claim))
        self.open = True
        assert found.delete_rounds == self.delete_rounds

    @precondition(lambda self: not self.open)
    @rule(name=NAMES)
    def use_closed(self, name: ShardName) -> None:
        with pytest.raises(ServerUnavailable):
            self.run(self.server.get(name))
        with pytest.raises(ServerUnavailable):
            self.run(listed(self.server))

    @invariant()
    def usage_is_right(self) -> None:
        if self.open:
            usage = self.run(self.server.usage())
            used_bytes = self.used_bytes()
            assert (usage.capacity_bytes, usage.used_bytes) == (CAPACITY_BYTES, used_bytes)
            assert usage.free_bytes == max(0, CAPACITY_BYTES - used_bytes)

    @invariant()
    def quarantine_holds_what_was_set_aside(self) -> None:
        if self.open and isinstance(self.server, Quarantining):
            copies = self.run(self._awaited(self.server.quarantined(10)))
            assert {(copy.name, copy.size_bytes) for copy in copies} <= self.set_aside_once


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_does_what_a_dictionary_does(kind: str) -> None:
    run_state_machine_as_test(
        type(f"StorageMachine_{kind}", (StorageMachine,), {"kind": kind}),
        settings=settings(max_examples=6 if "bucket" in kind else 30, stateful_step_count=30, deadline=None),
    )
