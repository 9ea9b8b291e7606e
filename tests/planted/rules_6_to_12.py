# ruff: noqa: E501 - the replaced lines are quoted as they are
"""Bugs against rules 6 to 12: what workers and readers must keep to."""

from __future__ import annotations

from tests.planted.bug import bug
from tests.planted.places import (
    COLLECTING,
    EPOCHS,
    FETCHING,
    MISSES,
    REBALANCE,
    REPAIR,
    REPAIRER,
    ROUNDS,
    SURVEY,
    SYNCED,
    UPLOADS,
    WRITING,
)

RULES_6_TO_12 = (
    bug(
        "an upload that gives up cleans up after itself",
        "6 gateways never delete",
        f"{UPLOADS}::test_an_upload_that_gives_up_takes_nothing_from_another_of_the_same_bytes",
        (
            WRITING,
            "        await self._stop()\n        if not self._file.created:\n",
            (
                "        for piece in self._pieces:\n"
                "            for member in self._tools.placer._fleet:\n"
                "                for entry in await member.driver.find(self.policy.name, piece.digest or bytes(32)):\n"
                "                    await member.driver.delete(entry.name)\n"
                "        await self._stop()\n        if not self._file.created:\n"
            ),
        ),
    ),
    bug(
        "the metadata is read before the servers are listed",
        "6 list, then metadata",
        f"{COLLECTING}::test_an_upload_that_comes_between_the_listing_and_the_metadata_loses_nothing",
        (
            SURVEY,
            "    start, stop = where.digests(topology)\n    members",
            (
                "    start, stop = where.digests(topology)\n    async with metadata.snapshot() as view:\n"
                "        chunks = await view.chunks.in_range(where.policy, start, stop)\n    members"
            ),
        ),
        (
            SURVEY,
            "    async with metadata.snapshot() as view:\n        chunks = await view.chunks.in_range(where.policy, start, stop)\n    listed",
            "    listed",
        ),
    ),
    bug(
        "a handoff is deleted before its primary has the shard",
        "6 delete only what was proved",
        f"{COLLECTING}::test_a_handoff_is_kept_until_its_primary_has_the_shard",
        (REBALANCE, "        for partition in swapped:\n", "        for partition in findings.misplaced:\n"),
    ),
    bug(
        "what lies under a digest is deleted, listed or not",
        "6 delete only what was listed",
        f"{COLLECTING}::test_nothing_is_deleted_that_the_listing_did_not_show",
        (
            ROUNDS,
            "                    gone = await member.driver.delete(entry.name)\n",
            (
                "                    gone = True\n"
                "                    for found in await member.driver.find(entry.name.policy, entry.name.digest):\n"
                "                        await member.driver.delete(found.name)\n"
            ),
        ),
    ),
    bug(
        "shards that are being written count as misplaced",
        "6 names being written are left alone",
        f"{UPLOADS}::test_a_worker_that_comes_between_the_bytes_and_their_confirmation_removes_nothing",
        (
            SURVEY,
            "elif row.state is ChunkState.LIVE and (server, name) not in promised:",
            "elif (server, name) not in promised:",
        ),
    ),
    bug(
        "synced is written without comparing the version",
        "7 version compare-and-swap",
        f"{SYNCED}::test_a_round_that_was_overtaken_by_an_upload_does_not_call_its_partition_clean",
        (
            REBALANCE,
            "            swapped = await uow.partitions.swap_synced(where.policy, proved, epoch=epoch)\n",
            (
                "            proved |= {each.index: each.version for each in await uow.partitions.list(where.policy) if each.index in proved}\n"
                "            swapped = await uow.partitions.swap_synced(where.policy, proved, epoch=epoch)\n"
            ),
        ),
    ),
    bug(
        "a new ring does not raise the versions of the rows that it changes",
        "7 apply raises the version",
        f"{SYNCED}::test_adding_a_server_raises_the_version_of_exactly_the_rows_that_it_changes",
        (EPOCHS, "await uow.partitions.raise_versions(policy, np.flatnonzero(changed).tolist())", "del changed"),
    ),
    bug(
        "rows that a new ring leaves alone are called clean at its epoch",
        "7 no shortcut for unchanged rows",
        f"{SYNCED}::test_no_partition_is_clean_at_a_new_epoch_before_it_was_listed_not_even_an_unchanged_one",
        (
            EPOCHS,
            "            await uow.partitions.raise_versions(policy, np.flatnonzero(changed).tolist())\n",
            (
                "            await uow.partitions.raise_versions(policy, np.flatnonzero(changed).tolist())\n"
                "            for index in np.flatnonzero(~changed).tolist():\n"
                "                await uow.partitions.swap_synced(policy, {index: 0}, epoch=rings.epoch)\n"
            ),
        ),
    ),
    bug(
        "synced is noted for another epoch than the one that was compared with",
        "7, 11 synced at the right epoch",
        f"{SYNCED}::test_a_round_under_an_older_ring_records_nothing",
        (
            REBALANCE,
            "            if await uow.rings.head(lock=True) != epoch:\n                await self._topology.refresh()\n                return frozenset()\n",
            "            epoch = await uow.rings.head(lock=True)\n",
        ),
    ),
    bug(
        "a defect in a clean partition does not unsettle it",
        "7 a found defect raises the version",
        f"{SYNCED}::test_a_partition_is_not_clean_while_a_server_of_its_row_lacks_a_shard",
        (REBALANCE, "            await uow.partitions.raise_versions(where.policy, sorted(defects))\n", ""),
    ),
    bug(
        "a miss is final although the ring changed during the search",
        "8 retry of a miss",
        f"{MISSES}::test_a_shard_that_moves_while_it_is_searched_for_is_found_at_the_next_pass",
        (
            FETCHING,
            "            if await self._version(chunk.policy, partition) != before:\n                continue\n",
            "            del before\n",
        ),
    ),
    bug(
        "a chunk is called lost although a server did not answer",
        "8 all servers answered",
        f"{MISSES}::test_a_chunk_is_not_lost_while_a_server_does_not_answer",
        (
            FETCHING,
            "if not unreachable and all(member.is_up for member in self._fleet):",
            "if True:",
        ),
    ),
    bug(
        "a server that another process has added is not asked, and counts as having answered",
        "8 all servers answered",
        f"{MISSES}::test_a_chunk_is_not_lost_that_is_on_a_server_of_which_this_process_does_not_know_yet",
        (FETCHING, "            unreachable |= await self._unknown_servers()\n", ""),
    ),
    bug(
        "a server counts as having answered when a probe finds it up again",
        "8 all servers answered",
        f"{MISSES}::test_a_chunk_is_not_lost_when_a_server_that_failed_is_up_again_before_the_search_ends",
        (FETCHING, "expected + others, silent=unreachable)", "expected + others, silent=set())"),
    ),
    bug(
        "only the names that the ring promises are searched for",
        "8 a pass over all servers",
        f"{MISSES}::test_a_shard_under_any_name_of_the_digest_is_found_before_the_chunk_is_called_lost",
        (
            FETCHING,
            "data = await self._gather(chunk, topology, expected + others, silent=unreachable)",
            "data = await self._gather(chunk, topology, expected + others[:0], silent=unreachable)",
        ),
    ),
    bug(
        "one bad reading is enough to overwrite",
        "9 a second reading agrees",
        f"{REPAIR}::test_a_fault_on_the_way_that_a_second_reading_does_not_show_changes_nothing",
        (
            REPAIRER,
            "good = await self._is_good(member, shard.name) or await self._is_good(member, shard.name)",
            "good = await self._is_good(member, shard.name)",
        ),
    ),
    bug(
        "a repair deletes first",
        "9 repair overwrites",
        f"{REPAIR}::test_the_bad_bytes_stay_until_the_good_ones_take_their_place",
        (
            REPAIRER,
            "                await member.driver.put(shard.name, data)\n",
            "                await member.driver.delete(shard.name)\n                await member.driver.put(shard.name, data)\n",
        ),
    ),
    bug(
        "nothing is set aside",
        "9 a copy in quarantine",
        f"{REPAIR}::test_a_bad_shard_is_overwritten_and_a_copy_of_it_set_aside",
        (REPAIRER, "                await self._set_aside(member, member.driver, shard)\n", "                pass\n"),
    ),
    bug(
        "repair goes on whatever is corrupt",
        "9 too many defects stop it",
        f"{REPAIR}::test_repair_stops_when_more_is_corrupt_than_disks_can_explain",
        (REPAIRER, "        if len(self._corrupt_at) >= self._corrupt_per_hour_max:\n            return False\n", ""),
    ),
    bug(
        "a bad copy of a lost chunk is deleted as misplaced",
        "9 never the last shard",
        f"{COLLECTING}::test_copies_of_a_lost_chunk_are_left_where_they_are_though_none_is_good",
        (REBALANCE, "                if entry.name.chunk not in self.lost:", "                if entry.name.chunk:"),
    ),
    bug(
        "there is one survey and no second",
        "10 everything is seen again",
        f"{SYNCED}::test_a_shard_that_vanished_unseen_is_put_again",
        ("services/rebalancer.py", "            if began < self._next_pass_at:\n", "            if self._passes:\n"),
        (
            "services/rebalancer.py",
            "        if self._looking.locked() or self.progress.clock() < self._scrub_at:\n",
            "        if self._passes:\n",
        ),
    ),
    bug(
        "a server that returns is trusted to have what it had",
        "10 a return raises the versions",
        f"{SYNCED}::test_a_server_that_comes_back_is_looked_at_whole_before_the_next_survey",
        (
            "services/health.py",
            "        await uow.partitions.raise_versions(policy, rows.tolist())\n",
            "        del rows\n",
        ),
    ),
    bug(
        "a scrub reads only what changed",
        "10 scrub verifies every expected shard",
        f"{SYNCED}::test_a_scrub_reads_every_expected_shard_whatever_its_change_time_says",
        (REBALANCE, "                verify is Verify.ALL\n                or shard", "                shard"),
    ),
    bug(
        "a superfluous copy goes before those that stay are read",
        "9 nothing that may be the last shard is removed",
        "tests/unit/services/test_reconciling.py::test_a_superfluous_copy_is_the_last_good_one_and_does_not_go",
        (REBALANCE, "                or shard.chunk.id in losing_a_copy\n", ""),
    ),
    bug(
        "a marker ahead of the metadata is overlooked",
        "12 a marker ahead stops deletes",
        f"{COLLECTING}::test_a_marker_ahead_of_the_metadata_stops_every_delete_in_the_cluster",
        (ROUNDS, "if marker.delete_rounds > cluster.delete_rounds:", "if marker.delete_rounds < 0:"),
    ),
    bug(
        "a marker of another generation is overlooked",
        "12 another generation stops deletes",
        f"{COLLECTING}::test_a_marker_of_another_generation_stops_every_delete_in_the_cluster",
        (ROUNDS, "if marker.generation != cluster.generation:", "if not marker.generation:"),
    ),
    bug(
        "a round is not recorded in the markers",
        "12 recorded before the deletes",
        f"{COLLECTING}::test_a_round_of_deletes_is_counted_in_the_metadata_and_then_in_the_marker_before_the_first_delete",
        (
            ROUNDS,
            "                await member.driver.record_delete_rounds(rounds)\n",
            "                del rounds\n",
        ),
    ),
    bug(
        "a server that could not note the round takes part in it",
        "12 recorded before the deletes",
        f"{COLLECTING}::test_nothing_is_deleted_on_a_server_that_could_not_note_the_round",
        (
            ROUNDS,
            "            member.failed(error)\n            return None\n        return member.server.number\n",
            "            member.failed(error)\n        return member.server.number\n",
        ),
    ),
)
