"""Bugs in how the topology is changed: prices that are not true, epochs that overtake each other, splits."""

from __future__ import annotations

from tests.planted.bug import bug
from tests.planted.places import (
    APPLYING,
    CHANGES,
    EPOCHS,
    ESTIMATING,
    PLANNING,
    REVERTING,
    SPLITTING,
    TOPOLOGY,
    TOPOLOGY_CHANGES,
)

CHANGES_OF_TOPOLOGY = (
    bug(
        "a plan is applied although another epoch began after it was looked at",
        "11 one epoch for the cluster",
        f"{CHANGES}::test_of_two_plans_for_one_epoch_the_second_is_refused_at_the_last_moment_too",
        (
            TOPOLOGY_CHANGES,
            "            if order.agreed is not None:\n                await _check_base_epoch(uow, order.agreed)\n",
            "",
        ),
    ),
    bug(
        "the price is compared only before the transaction",
        "11 the price at apply",
        f"{CHANGES}::test_what_has_moved_since_the_plan_was_looked_at_makes_it_stale",
        (
            TOPOLOGY_CHANGES,
            "            _check_agreed(found.plan, order)\n            now = await uow.now()\n",
            "            now = await uow.now()\n",
        ),
    ),
    bug(
        "the next ring is computed from the newest one, wherever the shards are",
        "11 from the present synced rows",
        f"{REVERTING}::test_cancelling_at_once_moves_nothing_and_gives_the_old_rows_back",
        (
            EPOCHS,
            "next_ring(ring, layout.effective[policy], members, draw=draw)",
            "next_ring(ring, None, members, draw=draw)",
        ),
    ),
    bug(
        "a plan is priced from the newest ring, wherever the shards are",
        "plans are true",
        f"{REVERTING}::test_half_way_only_what_has_moved_comes_back",
        (
            ESTIMATING,
            "effective = widened(layout.effective[name], ring.partition_bits)",
            "effective = widened(layout.newest.rings[name], ring.partition_bits)",
        ),
    ),
    bug(
        "the peak leaves out what has not been given away yet",
        "plans are true",
        f"{PLANNING}::test_fill_is_highest_before_what_goes_is_deleted",
        (
            "services/planning.py",
            "used_bytes_peak=server.used_bytes + incoming[server.number],",
            "used_bytes_peak=server.used_bytes + incoming[server.number] - outgoing[server.number],",
        ),
    ),
    bug(
        "a change of a capacity does not reach the server's driver",
        "a quota holds",
        f"{APPLYING}::test_the_new_capacity_holds_for_the_driver_at_once",
        (
            "chunkstore/fleet.py",
            "                    member.driver.resize(server.capacity_bytes)\n",
            "                    pass\n",
        ),
    ),
    bug(
        "a split leaves the versions as they are",
        "7 a split raises the version",
        f"{CHANGES}::test_both_halves_of_a_split_partition_have_a_version_that_no_earlier_round_has_read",
        (
            "repositories/memory/topology.py",
            "replace(state, index=half, version=state.version + 1)",
            "replace(state, index=half)",
        ),
    ),
    bug(
        "rings from before a split are read by the partitions of after it",
        "promise 3 readable all the time",
        f"{SPLITTING}::test_rows_from_before_a_split_are_read_until_they_have_moved",
        (
            TOPOLOGY,
            "rings = {policy: widened(ring, bits[policy]) for policy, ring in older.rings.items()}",
            "rings = older.rings",
        ),
    ),
    bug(
        "what is noted of partitions keeps its numbers over a split",
        "6 a purge frees",
        f"{SPLITTING}::test_a_purge_before_a_split_frees_its_bytes_after_it",
        (TOPOLOGY, "        self._note_split(known[epoch])\n", ""),
    ),
)
