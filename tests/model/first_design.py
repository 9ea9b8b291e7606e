"""The design that was not taken: references at the end, names by digest alone, grace times and leases.

It shows what the rules are for. However much is assumed about timing, random schedules find fewer copies than
promised and a false 'clean'.
"""

from __future__ import annotations

import random
from dataclasses import replace

from tests.model.rules import ALL_RULES
from tests.model.schedules import Run, draw_configuration, run
from tests.model.state import Configuration

RULES = ALL_RULES.without(
    "reference_before_bytes",
    "chunk_id_in_name",
    "tenure_in_name",
    "tenure_drawn_in_apply",
    "random_handoff_name",
    "confirm_under_newest_ring",
    "file_still_open",
    "stat_at_dedup",
    "row_dropped_at_once",
    "version_compare_and_swap",
    "apply_raises_version",
)

ASSUMPTIONS: dict[str, Configuration] = {
    "nothing": Configuration(),
    "grace longer than any upload": Configuration(long_grace=True),
    "and perfect leases": Configuration(long_grace=True, perfect_leases=True),
    "and no delete outlives its lease": Configuration(long_grace=True, perfect_leases=True, no_late_deletes=True),
}


def run_first_design(seed: int, assumed: Configuration) -> Run:
    """Run one random schedule of it, with listings never stale and messages never duplicated."""
    configuration = replace(
        draw_configuration(random.Random(f"first design {seed}"), 2),
        stale=0,
        duplicate=0,
        long_grace=assumed.long_grace,
        perfect_leases=assumed.perfect_leases,
        no_late_deletes=assumed.no_late_deletes,
    )
    return run(seed, RULES, configuration=configuration)
