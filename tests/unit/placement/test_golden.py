"""Stored rings load for ever, and the builder still makes the same bytes, wherever it runs."""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from reelstore.placement.ring import Ring, RingSet
from tests.unit.placement.golden import FOLDER, golden_rings

DIGEST_OF_ALL = """
from hashlib import sha256
from tests.unit.placement.golden import golden_rings
print(sha256(b"".join(golden_rings().values())).hexdigest())
"""


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_a_stored_ring_still_loads_and_is_written_back_the_same(path: Path) -> None:
    kind: type[Ring | RingSet] = RingSet if path.suffix == ".ringset" else Ring
    data = path.read_bytes()
    assert kind.from_bytes(data).to_bytes() == data


@pytest.mark.parametrize(("name", "data"), golden_rings().items(), ids=golden_rings().keys())
def test_the_builder_still_makes_the_stored_bytes(name: str, data: bytes) -> None:
    assert (FOLDER / name).read_bytes() == data


@pytest.mark.parametrize(("hash_seed", "threads"), [("0", "1"), ("4242", "2")])
def test_hash_seeds_and_thread_counts_do_not_change_a_byte(hash_seed: str, threads: str) -> None:
    settings = {"PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    printed = subprocess.run(
        [sys.executable, "-c", DIGEST_OF_ALL],
        env=os.environ | settings,
        cwd=FOLDER.parents[2],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert printed.strip() == sha256(b"".join(golden_rings().values())).hexdigest()
