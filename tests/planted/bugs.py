# ruff: noqa: E501 - the replaced lines are quoted as they are
"""The bugs that are planted: what each rule of the storage protocol is there for, taken out of the real code.

A bug is a few exact replacements in the source, small enough that a tired person might have made them. The first part
follows the table in `tests/model/README.md`, rule by rule; the second holds bugs that the model cannot have.
"""

from __future__ import annotations

from dataclasses import dataclass

NAMES = "tests/protocol/test_names.py"
UPLOADS = "tests/protocol/test_uploads.py"
COLLECTING = "tests/protocol/test_collecting.py"
SYNCED = "tests/protocol/test_synced.py"
MISSES = "tests/protocol/test_misses.py"
REPAIR = "tests/protocol/test_repair.py"
DURABILITY = "tests/integration/test_directory_durability.py"
DOWNLOADS = "tests/unit/web/test_content.py"


@dataclass(frozen=True)
class Edit:
    """Replace `old`, which occurs exactly once, in a file below `src/reelstore`."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Bug:
    """A bug, and the test that must fail with it.

    Args:
        name: what was done wrong.
        rule: of the protocol, or a promise of the design.
        test: `file::test`, as pytest names it.
        edits: all of them together are the bug.
    """

    name: str
    rule: str
    test: str
    edits: tuple[Edit, ...]


def bug(name: str, rule: str, test: str, *edits: tuple[str, str, str]) -> Bug:
    return Bug(name, rule, test, tuple(Edit(*edit) for edit in edits))


WRITING = "chunkstore/writing.py"
COMMITTING = "chunkstore/committing.py"
PLACING = "chunkstore/placing.py"
FETCHING = "chunkstore/fetching.py"
TOPOLOGY = "chunkstore/topology.py"
REBALANCE = "services/rebalance.py"
SURVEY = "services/survey.py"
SERVERS = "services/servers.py"
REPAIRER = "services/repair.py"
VIDEOS = "services/videos.py"
ROUNDS = "services/delete_rounds.py"

RULES = (
    bug(
        "bytes are sent before the row and the reference are committed",
        "1 reference before bytes",
        f"{UPLOADS}::test_no_byte_is_sent_before_the_chunks_row_and_the_files_reference_are_committed",
        (
            WRITING,
            "            await uow.commit()\n        self._file.created = True\n        self._forget(placed)\n",
            (
                "            for piece, chunk in zip(hashed, chunks, strict=True):\n"
                "                piece.chunk = chunk\n"
                "                await self._place(piece)\n"
                "            await uow.commit()\n        self._file.created = True\n        self._forget(placed)\n"
            ),
        ),
        (
            WRITING,
            "            piece.chunk = chunk\n            self._start(self._place(piece))\n        if",
            "            pass\n        if",
        ),
    ),
    bug(
        "a chunk's id follows from its bytes",
        "2 chunk id in the name",
        f"{NAMES}::test_a_late_delete_of_a_collected_chunk_spares_the_same_bytes_stored_anew",
        (COMMITTING, "NewChunk(random_id(self.entropy), ", "NewChunk(piece.digest[:16].hex(), "),
    ),
    bug(
        "a shard's name does not hold the tenure",
        "2 tenure in the name",
        f"{NAMES}::test_a_late_delete_after_a_move_spares_the_shard_that_was_moved_back",
        (TOPOLOGY, "chunk.id, seat.slot, seat.tenure)", "chunk.id, seat.slot, 1)"),
    ),
    bug(
        "a tenure follows from the ring and is not drawn",
        "2, 11 tenure drawn in apply",
        f"{NAMES}::test_a_server_keeps_its_tenure_while_it_stays_and_gets_a_new_one_when_it_enters",
        (
            SERVERS,
            "tenures = np.frombuffer(entropy(8 * count), dtype=np.uint64).copy()",
            "tenures = np.arange(1, count + 1, dtype=np.uint64)",
        ),
    ),
    bug(
        "a handoff's name is always the same",
        "2 random handoff name",
        f"{NAMES}::test_a_late_delete_of_a_handoff_spares_the_next_handoff_of_the_same_chunk",
        (PLACING, "slot, random_tenure(self._entropy))", "slot, 1)"),
    ),
    bug(
        "what was placed under an older ring is confirmed",
        "3 confirm under the newest ring",
        f"{UPLOADS}::test_what_was_placed_under_an_older_ring_is_placed_again_before_it_is_confirmed",
        (
            WRITING,
            "piece.placement.epoch != epoch for piece in placed",
            "piece.placement.epoch > epoch for piece in placed",
        ),
    ),
    bug(
        "an expired upload is revived by its confirm",
        "3 file still open",
        f"{UPLOADS}::test_an_upload_that_expired_cannot_be_confirmed_and_shows_nothing",
        (
            COMMITTING,
            '            raise StoredFileNotFound("the upload has expired; begin it again", key=self.id)\n        if',
            "            self.created = False\n            return await self.begin(uow, expires_at)\n        if",
        ),
        (
            COMMITTING,
            "        if [ref.chunk.id for ref in references] != [piece.chunk.id for piece in placed if piece.chunk]:\n",
            "        if False:\n",
        ),
    ),
    bug(
        "a chunk placed on a handoff does not raise the version",
        "3 a handoff raises the version",
        f"{UPLOADS}::test_a_chunk_that_took_a_handoff_raises_its_partitions_version",
        (PLACING, "settled = all(first_try)", "settled = any(first_try)"),
    ),
    bug(
        "a live chunk is relied on without a look",
        "4 stat at dedup",
        f"{UPLOADS}::test_a_deduplicated_upload_writes_what_a_primary_lost",
        (PLACING, "if entry is not None and entry.size_bytes == memoryview(shard).nbytes:", "if entry or look:"),
    ),
    bug(
        "handoffs are counted by name, and one server stands in twice",
        "4 distinct servers",
        f"{UPLOADS}::test_one_server_that_stands_in_for_two_counts_once",
        (
            PLACING,
            "for number in attempt.handoffs:",
            "for number in attempt.ring.handoffs(attempt.ring.partition_of(chunk.digest)):",
        ),
        (
            PLACING,
            "            return False\n        attempt.acknowledged.add(member.server.number)",
            "            return False\n        attempt.acknowledged.add(name.tenure)",
        ),
    ),
    bug(
        "a put that timed out counts",
        "4 presence is counted",
        f"{UPLOADS}::test_a_put_whose_answer_was_lost_does_not_count_although_it_arrived",
        (
            PLACING,
            "        except ServerUnavailable as error:\n            member.failed(error)\n",
            "        except ServerUnavailable as error:\n            attempt.acknowledged.add(member.server.number)\n            member.failed(error)\n",
        ),
    ),
    bug(
        "chunks are collected that an open file refers to",
        "5 atomic collection (dictionary)",
        f"{COLLECTING}::test_a_chunk_that_an_open_file_refers_to_is_never_collected[memory]",
        (
            "repositories/memory/chunks.py",
            "unreferenced = [c for c in self._in_range(policy, start, stop) if c.id not in self._tables.references]",
            "unreferenced = [c for c in self._in_range(policy, start, stop) if c.state is ChunkState.WRITING]",
        ),
    ),
    bug(
        "chunks are collected that an open file refers to, and nothing refuses",
        "5 atomic collection (SQL)",
        f"{COLLECTING}::test_a_chunk_that_an_open_file_refers_to_is_never_collected[sqlite]",
        (
            "repositories/sql/chunks.py",
            "delete(chunks).where(*conditions, _UNREFERENCED)",
            'delete(chunks).where(*conditions, chunks.c.state == "writing")',
        ),
        ("repositories/sql/sqlite.py", '"foreign_keys": "ON"', '"foreign_keys": "OFF"'),
    ),
    bug(
        "a purge is two transactions",
        "5 atomic purge",
        f"{COLLECTING}::test_a_crash_in_a_purge_leaves_the_video_whole_or_nothing_of_it",
        (
            VIDEOS,
            "            await uow.videos.delete(video_id)\n            await uow.files.delete(video.file_id)\n",
            (
                "            await uow.videos.delete(video_id)\n            await uow.commit()\n"
                "        async with self._metadata.unit_of_work() as uow:\n            await uow.files.delete(video.file_id)\n"
            ),
        ),
    ),
    bug(
        "a purge frees what others share",
        "5, promise 6",
        f"{COLLECTING}::test_a_purge_leaves_what_another_video_shares_and_says_so[memory]",
        (
            "repositories/memory/files.py",
            "            if self._tables.references[chunk_id] == self._tables.file_references[chunk_id, file_id]\n",
            "",
        ),
    ),
    bug(
        "a row is kept until every server answers",
        "5 row dropped at once",
        f"{COLLECTING}::test_a_row_is_dropped_at_once_though_a_server_with_its_shards_is_down",
        (REBALANCE, "        if collect:\n", "        if collect and all(member.is_up for member in self._fleet):\n"),
    ),
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
            REBALANCE,
            "                if await member.driver.delete(entry.name):\n                    freed += entry.size_bytes\n",
            (
                "                for found in await member.driver.find(entry.name.policy, entry.name.digest):\n"
                "                    await member.driver.delete(found.name)\n"
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
            "if await uow.partitions.swap_synced(where.policy, state.index, epoch=epoch, version=state.version)\n",
            (
                "if (now := await uow.partitions.get(where.policy, state.index))\n"
                "                and await uow.partitions.swap_synced(where.policy, state.index, epoch=epoch, version=now.version)\n"
            ),
        ),
    ),
    bug(
        "a new ring does not raise the versions of the rows that it changes",
        "7 apply raises the version",
        f"{SYNCED}::test_adding_a_server_raises_the_version_of_exactly_the_rows_that_it_changes",
        (SERVERS, "await uow.partitions.raise_versions(policy, np.flatnonzero(changed).tolist())", "del changed"),
    ),
    bug(
        "rows that a new ring leaves alone are called clean at its epoch",
        "7 no shortcut for unchanged rows",
        f"{SYNCED}::test_no_partition_is_clean_at_a_new_epoch_before_it_was_listed_not_even_an_unchanged_one",
        (
            SERVERS,
            "                await uow.partitions.raise_versions(policy, np.flatnonzero(changed).tolist())\n",
            (
                "                await uow.partitions.raise_versions(policy, np.flatnonzero(changed).tolist())\n"
                "                for index in np.flatnonzero(~changed).tolist():\n"
                "                    await uow.partitions.swap_synced(policy, index, epoch=following.epoch, version=0)\n"
            ),
        ),
    ),
    bug(
        "synced is noted for another epoch than the one that was compared with",
        "7, 11 synced at the right epoch",
        f"{SYNCED}::test_a_round_under_an_older_ring_records_nothing",
        (
            REBALANCE,
            "            if await uow.rings.head(lock=True) != epoch:\n                await self._topology.refresh()\n                return set()\n",
            "            epoch = await uow.rings.head(lock=True)\n",
        ),
    ),
    bug(
        "a defect in a clean partition does not unsettle it",
        "7 a found defect raises the version",
        f"{SYNCED}::test_a_partition_is_not_clean_while_a_server_of_its_row_lacks_a_shard",
        (REBALANCE, "            await uow.partitions.raise_versions(where.policy, sorted(outcome.defects))\n", ""),
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
            "if not {member for member in unreachable if False}:",
        ),
    ),
    bug(
        "only the names that the ring promises are searched for",
        "8 a pass over all servers",
        f"{MISSES}::test_a_shard_under_any_name_of_the_digest_is_found_before_the_chunk_is_called_lost",
        (
            FETCHING,
            "data = await self._gather(chunk, topology, expected + others)",
            "data = await self._gather(chunk, topology, expected + others[:0])",
        ),
    ),
    bug(
        "one bad reading is enough to overwrite",
        "9 a second reading agrees",
        f"{REPAIR}::test_a_fault_on_the_way_that_a_second_reading_does_not_show_changes_nothing",
        (
            REPAIRER,
            "good = await self._is_good(member, shard) or await self._is_good(member, shard)",
            "good = await self._is_good(member, shard)",
        ),
    ),
    bug(
        "a repair deletes first",
        "9 repair overwrites",
        f"{REPAIR}::test_the_bad_bytes_stay_until_the_good_ones_take_their_place",
        (
            REPAIRER,
            "            await member.driver.put(shard.name, data)\n",
            "            await member.driver.delete(shard.name)\n            await member.driver.put(shard.name, data)\n",
        ),
    ),
    bug(
        "nothing is set aside",
        "9 a copy in quarantine",
        f"{REPAIR}::test_a_bad_shard_is_overwritten_and_a_copy_of_it_set_aside",
        (REPAIRER, "                await self._set_aside(member.driver, shard)\n", "                pass\n"),
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
        ("services/rebalancer.py", "        if self.clock() < self._scrub_at:\n", "        if self._passes:\n"),
    ),
    bug(
        "a server that returns is trusted to have what it had",
        "10 a return raises the versions",
        f"{SYNCED}::test_a_server_that_comes_back_is_looked_at_whole_before_the_next_survey",
        (
            "services/health.py",
            "                await uow.partitions.raise_versions(policy, rows.tolist())\n",
            "                del rows\n",
        ),
    ),
    bug(
        "a scrub reads only what changed",
        "10 scrub verifies every expected shard",
        f"{SYNCED}::test_a_scrub_reads_every_expected_shard_whatever_its_change_time_says",
        (REBALANCE, "elif verify is Verify.ALL or self._verified", "elif self._verified"),
    ),
    bug(
        "a marker ahead of the metadata is overlooked",
        "12 a marker ahead stops deletes",
        f"{COLLECTING}::test_a_marker_ahead_of_the_metadata_stops_every_delete_in_the_cluster",
        (ROUNDS, "elif marker.delete_rounds > cluster.delete_rounds:", "elif marker.delete_rounds < 0:"),
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
            "                del rounds\n                rounds = 0\n",
        ),
    ),
    bug(
        "a server that could not note the round takes part in it",
        "12 recorded before the deletes",
        f"{COLLECTING}::test_nothing_is_deleted_on_a_server_that_could_not_note_the_round",
        (
            ROUNDS,
            "                member.failed(error)\n            else:\n",
            "                member.failed(error)\n            finally:\n",
        ),
    ),
)

OTHERS = (
    bug(
        "fdatasync is forgotten",
        "promise 1",
        f"{DURABILITY}::test_a_put_syncs_the_file_then_renames_then_syncs_the_folder_and_its_new_parents",
        ("storage/directory/shard_files.py", "        os.fdatasync(fd)\n", ""),
    ),
    bug(
        "fsync of the folder is forgotten",
        "promise 1",
        f"{DURABILITY}::test_a_put_syncs_the_file_then_renames_then_syncs_the_folder_and_its_new_parents",
        ("storage/directory/shard_files.py", "            os.fsync(folder)\n", ""),
    ),
    bug(
        "what was read is not verified",
        "promise 2",
        f"{MISSES}::test_nothing_but_what_was_written_is_sent_whatever_lies_on_the_servers",
        (
            FETCHING,
            "if not await asyncio.to_thread(redundancy.is_good, shard, digest=chunk.digest, slot=name.slot):",
            "if not shard:",
        ),
    ),
    bug(
        "the cache goes by the beginning of the digest",
        "promise 2",
        f"{MISSES}::test_two_chunks_are_never_taken_for_each_other_by_the_cache",
        ("chunkstore/cache.py", "key = (chunk.policy, chunk.digest)", "key = (chunk.policy, chunk.digest[:1])"),
    ),
    bug(
        "the cache does not go by the policy",
        "promise 2",
        "tests/unit/chunkstore/test_cache.py::test_two_policies_and_two_digests_are_never_mixed_up",
        ("chunkstore/cache.py", "key = (chunk.policy, chunk.digest)", 'key = ("", chunk.digest)'),
    ),
    bug(
        "a bad shard that a read met is not reported",
        "promise 5",
        f"{MISSES}::test_a_reader_who_is_sent_good_bytes_has_the_bad_ones_repaired",
        (
            FETCHING,
            '            log.warning("server %s has a corrupt shard: %s", member.server.name, name)\n            self._report(chunk, candidate, topology, "corrupt")\n',
            '            log.warning("server %s has a corrupt shard: %s", member.server.name, name)\n',
        ),
    ),
    bug(
        "a range is one byte too long",
        "promise 2",
        f"{MISSES}::test_nothing_but_what_was_written_is_sent_whatever_lies_on_the_servers",
        (
            "chunkstore/reading.py",
            "[self._start - offset : self._stop - offset]",
            "[self._start - offset : self._stop - offset + 1]",
        ),
    ),
    bug(
        "a buffer is used again while a late put may read it",
        "promise 2",
        f"{UPLOADS}::test_a_buffer_that_a_late_put_may_still_read_is_never_used_again",
        (WRITING, "piece.reusable = piece.reusable and piece.placement.released", "piece.reusable = True"),
    ),
    bug(
        "an open file is expired without looking at its time again",
        "1 an open file expires, its gateway renews it",
        "tests/protocol/test_expiry.py::test_a_file_that_was_renewed_at_the_last_moment_does_not_expire",
        ("services/expiry.py", " or file.expires_at > now:", ":"),
    ),
    bug(
        "an upload is not renewed",
        "1 an open file expires, its gateway renews it",
        "tests/protocol/test_expiry.py::test_an_upload_that_takes_longer_than_its_term_is_renewed",
        (WRITING, "        self._start(self._renew())\n", ""),
    ),
    bug(
        "the space of an upload that broke off is forgotten",
        "10 nothing is left over",
        f"{UPLOADS}::test_the_space_of_an_upload_that_broke_off_comes_back_without_waiting_for_a_scrub",
        (
            VIDEOS,
            "        self._attention.add(writer.policy.name, await writer.abandon(), Need(collect=True))",
            "        await writer.abandon()",
        ),
    ),
    bug(
        "fewer acknowledgements than copies_min are enough",
        "promise 1",
        f"{UPLOADS}::test_an_upload_acknowledges_no_fewer_servers_than_copies_min_says",
        (WRITING, "acknowledged_min=self.policy.copies_min", "acknowledged_min=1"),
        (COMMITTING, "if acknowledged < self.policy.copies_min:", "if acknowledged < 1:"),
    ),
    bug(
        "a chunk is live before it is confirmed",
        "3 chunks live at their confirm",
        f"{UPLOADS}::test_chunks_become_live_only_when_they_are_confirmed",
        (
            COMMITTING,
            "        await uow.files.set_references(self.id, references)\n",
            "        await uow.files.set_references(self.id, references)\n        await uow.chunks.make_live([chunk.id for chunk in chunks])\n",
        ),
    ),
    bug(
        "If-Range is ignored",
        "promise 2",
        f"{DOWNLOADS}::test_if_range_protects_a_resumed_download",
        (
            "web/conditions.py",
            '    return if_range.strip() != "*" and tag_matches(if_range, etag, strong=True)',
            "    return True",
        ),
    ),
)

BUGS = RULES + OTHERS
