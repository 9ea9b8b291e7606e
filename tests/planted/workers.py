# ruff: noqa: E501 - the replaced lines are quoted as they are
"""Bugs in what several workers do over one cluster, when they leave off, and in adopting what a server still has."""

from __future__ import annotations

from tests.planted.bug import bug
from tests.planted.places import ADOPTING, COLLECTING, LEASES, MOVES, REBALANCE, REBALANCER, REPAIRER, ROUNDS, WORKERS

PAUSE = f"{WORKERS}::test_nothing_begins_after_a_pause_wherever_it_comes_and_all_is_done_after_it"
UNPAUSED_PUT = (
    "                share = await self._control.check()\n                self._earn",
    "                share = self._control._share()\n                self._earn",
)

OF_WORKERS = (
    bug(
        "a block is worked on whoever leases it",
        "6 leases save double work",
        f"{WORKERS}::test_two_workers_share_a_move_and_put_no_shard_twice",
        (LEASES, "            yield held\n", "            yield True\n"),
    ),
    bug(
        "steps of one process do not look at each other's blocks",
        "6 leases save double work",
        f"{WORKERS}::test_steps_at_the_same_time_in_one_process_put_no_shard_twice_either",
        (LEASES, "        if block in self._busy:\n            yield False\n            return\n", ""),
        (LEASES, "        return block_of(where) in self._busy\n", "        return False\n"),
        (
            REBALANCER,
            "            if not self._sweep.waiting and not self._sweep.under_way:\n",
            "            if not self._sweep.waiting:\n",
        ),
    ),
    bug(
        "a lease of a dead worker never ends",
        "6 a crash repeats work and loses nothing",
        f"{WORKERS}::test_what_a_dead_worker_had_begun_is_passed_over_and_then_done_by_another",
        (
            LEASES,
            "taken = await uow.leases.take(_name(block), holder=self.holder, now=now, term_seconds=TERM_SECONDS)",
            "taken = await uow.leases.take(_name(block), holder=self.holder, now=now, term_seconds=2 * TERM_SECONDS)",
        ),
    ),
    bug(
        "a round of deletes compares markers with a count read before them",
        "12 a marker ahead stops deletes",
        f"{COLLECTING}::test_a_delete_round_that_another_worker_begins_at_the_same_moment_is_no_alarm",
        (
            ROUNDS,
            "        members = list(self._fleet)\n",
            "        async with self._metadata.snapshot() as view:\n            cluster, here = await view.cluster.get(), await view.cluster.whereabouts()\n        members = list(self._fleet)\n",
        ),
        (
            ROUNDS,
            "if marker is not None]\n        async with self._metadata.snapshot() as view:\n            cluster, here = await view.cluster.get(), await view.cluster.whereabouts()\n",
            "if marker is not None]\n",
        ),
    ),
    bug(
        "a shard is put after a pause that came while it was read",
        "6 pause",
        f"{PAUSE}[get]",
        (MOVES, *UNPAUSED_PUT),
    ),
    bug(
        "the next chunk is moved after a pause",
        "6 pause",
        f"{PAUSE}[put]",
        (MOVES, *UNPAUSED_PUT),
        (
            MOVES,
            "        share = await self._control.check()\n        at_once",
            "        share = self._control._share()\n        at_once",
        ),
    ),
    bug(
        "a round of deletes goes on after a pause",
        "6 pause",
        f"{PAUSE}[delete]",
        (
            ROUNDS,
            "            for entry in entries:\n                await self._control.check()\n",
            "            for entry in entries:\n",
        ),
    ),
    bug(
        "bytes under an older name are adopted unverified",
        "2 adopted: verified, then renamed",
        f"{ADOPTING}::test_older_bytes_that_are_bad_are_not_adopted",
        (REPAIRER, " or not await self._is_good(member, other.name):", ":"),
    ),
    bug(
        "an older name goes before synced is committed",
        "6 delete only what was listed and proved",
        f"{ADOPTING}::test_an_older_name_goes_only_when_synced_says_that_the_new_one_is_there",
        (REBALANCE, "        for partition in swapped:\n", "        for partition in findings.states:\n"),
        (
            REBALANCE,
            "        swapped = await self._swap(findings, where, outcome)\n        await self._delete(findings, swapped, outcome)\n",
            "        await self._delete(findings, frozenset(), outcome)\n        await self._swap(findings, where, outcome)\n",
        ),
    ),
)
