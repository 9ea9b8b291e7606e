"""What `reelstore status` says in words."""

from __future__ import annotations

import pytest

from reelstore.cli.status import _short
from reelstore.client import Redundancy


@pytest.mark.parametrize(
    ("redundancy", "said"),
    [
        (Redundancy(4096, 0, 0, 0), ""),
        (Redundancy(0, 0, 0, 0), ""),  # an older gateway
        (
            Redundancy(4096, 1365, 0, 0),
            "too few shards in 1,365 of 4,096 partitions, until all servers answer or it is mended",
        ),
        (
            Redundancy(1, 1, 1, 1),
            (
                "too few shards in 1 of 1 partition, until all servers answer or it is mended\n"
                "none to spare in 1 of them\nwhat is in 1 of them cannot be read now"
            ),
        ),
    ],
)
def test_what_has_fewer_shards_than_it_should_is_told_and_nothing_else(redundancy: Redundancy, said: str) -> None:
    assert _short(redundancy) == said
