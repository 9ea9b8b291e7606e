"""The rings in `tests/golden/rings/`, and how they were made.

`python -m tests.unit.placement.golden` writes those that are missing. A file that exists is never written again: it
stands for what a running cluster has stored. When the builder changes on purpose, rename the old file to
`<name>-v<n>.ring`, which must load for ever, and run the command.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reelstore.placement.builder import effective_ring, first_ring, next_ring, split
from reelstore.placement.ring import Member, Ring, RingSet
from tests.unit.placement.clusters import Tenures, cluster, reweighted

FOLDER = Path(__file__).parents[2] / "golden" / "rings"


def golden_rings() -> dict[str, bytes]:
    """Build every golden ring again, by file name."""
    draw = Tenures()
    three_servers = first_ring("default", cluster(3, 3), partition_bits=6, width=2, draw=draw)
    weighted = first_ring("default", cluster(10, 5, (1, 2, 3, 4)), partition_bits=7, width=3, draw=draw)
    grown = next_ring(weighted, None, [*weighted.members, Member(10, "zone-0", 4)], draw=draw)
    half = np.where(np.arange(grown.partitions) % 2, grown.epoch, weighted.epoch)
    effective = effective_ring(grown, {1: weighted, 2: grown}, half)
    drained = next_ring(grown, effective, reweighted(list(grown.members), 3, 0), draw=draw)
    tight = first_ring("archive", cluster(12, 4), partition_bits=6, width=6, draw=draw)
    doubled_weight = next_ring(tight, None, reweighted(cluster(12, 4), 0, 20), draw=draw)
    too_few = first_ring("default", cluster(2, 1), partition_bits=4, width=3, draw=draw)
    rings: dict[str, Ring | RingSet] = {
        "three-servers.ring": three_servers,
        "weighted.ring": weighted,
        "grown.ring": grown,
        "drained-while-growing.ring": drained,
        "erasure-reweighted.ring": doubled_weight,
        "split.ring": split(three_servers),
        "too-few-servers.ring": too_few,
        "two-policies.ringset": RingSet(1, {"default": weighted, "archive": tight}),
    }
    return {name: ring.to_bytes() for name, ring in rings.items()}


def main() -> None:
    """Write the golden files that are missing."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, data in golden_rings().items():
        if not (FOLDER / name).exists():
            (FOLDER / name).write_bytes(data)


if __name__ == "__main__":
    main()
