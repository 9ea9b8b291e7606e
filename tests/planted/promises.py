# ruff: noqa: E501 - the replaced lines are quoted as they are
"""Bugs that the model cannot have: below its messages, or above its chunks."""

from __future__ import annotations

from tests.planted.bug import bug
from tests.planted.places import (
    COMMITTING,
    DOWNLOADS,
    DURABILITY,
    FETCHING,
    LAST_GOOD,
    MISSES,
    PLACING,
    REBALANCE,
    UPLOADS,
    VERIFYING,
    VIDEOS,
    WRITING,
)

PROMISES = (
    bug(
        "fdatasync is forgotten",
        "promise 1",
        f"{DURABILITY}::test_a_put_syncs_the_file_then_renames_then_syncs_the_folder_and_its_new_parents",
        ("storage/directory/shard_files.py", "        os.fdatasync(self._fd)\n", ""),
    ),
    bug(
        "fsync of the folder is forgotten",
        "promise 1",
        f"{DURABILITY}::test_a_put_syncs_the_file_then_renames_then_syncs_the_folder_and_its_new_parents",
        (
            "storage/directory/shard_files.py",
            "        os.fsync(self._folder)\n",
            "",
        ),
    ),
    bug(
        "fsync of the folder is forgotten in an adoption",
        "promise 1",
        f"{DURABILITY}::test_an_adoption_syncs_the_bytes_then_renames_a_link_to_them_then_syncs_the_folder",
        (
            "storage/directory/shard_files.py",
            "            os.fsync(folder)\n        return True\n",
            "        return True\n",
        ),
    ),
    bug(
        "a bad shard is forgotten when a listing shows nothing wrong",
        "9 nothing that may be the last shard is removed",
        f"{LAST_GOOD}::test_a_chunk_that_is_bad_on_all_servers_stays_lost_in_every_later_survey_until_a_good_copy_comes",
        (REBALANCE, "                or shard.name in self._bad\n", ""),
    ),
    bug(
        "what is bad counts as scrubbed",
        "14 idle means that nothing is lost",
        f"{LAST_GOOD}::test_a_chunk_that_is_bad_on_all_servers_is_lost_for_the_next_process_too",
        (REBALANCE, "outcome.bad = self._still_bad(findings)", "outcome.bad = set()"),
    ),
    bug(
        "an upload relies on shards that are known to be bad",
        "promise 1",
        f"{LAST_GOOD}::test_a_lost_chunk_is_healed_by_storing_its_bytes_again_for_every_video_that_shares_it",
        (PLACING, " and not self._is_known_bad(name)", ""),
    ),
    bug(
        "verification believes a miss while the ring changes",
        "8 a miss is final only when nothing moved",
        f"{VERIFYING}::test_what_has_not_moved_yet_is_no_problem_and_told_apart",
        ("services/proving.py", "if proof.state is ShardState.GOOD or standing.is_settled:", "if True:"),
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
        ("chunkstore/cache.py", "return (chunk.policy, chunk.digest)", "return (chunk.policy, chunk.digest[:1])"),
    ),
    bug(
        "the cache does not go by the policy",
        "promise 2",
        "tests/unit/chunkstore/test_cache.py::test_two_policies_and_two_digests_are_never_mixed_up",
        ("chunkstore/cache.py", "return (chunk.policy, chunk.digest)", 'return ("", chunk.digest)'),
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
