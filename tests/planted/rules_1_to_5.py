# ruff: noqa: E501 - the replaced lines are quoted as they are
"""Bugs against rules 1 to 5: what an upload, a name and a purge must keep to."""

from __future__ import annotations

from tests.planted.bug import bug
from tests.planted.places import (
    COLLECTING,
    COMMITTING,
    EPOCHS,
    FRAGMENTS,
    NAMES,
    PLACING,
    REBALANCE,
    REPAIRER,
    TOPOLOGY,
    UPLOADS,
    VIDEOS,
    WRITING,
)

RULES_1_TO_5 = (
    bug(
        "bytes are sent before the row and the reference are committed",
        "1 reference before bytes",
        f"{UPLOADS}::test_no_byte_is_sent_before_the_chunks_row_and_the_files_reference_are_committed",
        (
            WRITING,
            "            return chunks, completed\n",
            (
                "            for piece, chunk in zip(hashed, chunks, strict=True):\n"
                "                piece.chunk = chunk\n"
                "                await self._place(piece)\n"
                "            return chunks, completed\n"
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
            EPOCHS,
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
        "the file is complete in one transaction, and the video there in another",
        "3 the last confirm completes the file and makes the video",
        f"{UPLOADS}::test_a_crash_after_any_commit_of_an_upload_leaves_a_whole_video_or_nothing",
        (
            COMMITTING,
            "        await completion(uow, file, now)\n        return file\n",
            "        return file\n",
        ),
        (
            WRITING,
            "        self._file.created = True\n",
            (
                "        if ending is not None and completed is not None:\n"
                "            async with self._tools.metadata.unit_of_work() as uow:\n"
                "                await ending(uow, completed, now)\n"
                "                await uow.commit()\n        self._file.created = True\n"
            ),
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
            "            self.acknowledged.add(member.server.number)",
            "            self.acknowledged.add(-len(self.acknowledged))",
        ),
    ),
    bug(
        "a second fragment of one slot counts as another server",
        "4 distinct servers",
        f"{FRAGMENTS}::test_a_stand_in_and_the_primary_that_returns_hold_one_fragment_and_count_once",
        (PLACING, "if self.alike or slot not in self.slots:", "if self.alike or slot is not None:"),
    ),
    bug(
        "a fragment is adopted as that of another slot",
        "2 adopted: verified, then renamed",
        f"{FRAGMENTS}::test_a_fragment_is_never_adopted_as_that_of_another_slot",
        (REPAIRER, "alike or shard.name.slot == other.name.slot", "alike or shard.name.slot != other.name.tenure"),
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
)
