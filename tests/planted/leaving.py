# ruff: noqa: E501 - the replaced lines are quoted as they are
"""Bugs in how servers leave and come back: what is not proved, not looked at again, or decided too soon."""

from __future__ import annotations

from tests.planted.bug import bug
from tests.planted.places import (
    EVICTING,
    EVICTION,
    EVIDENCE,
    FORCED_REMOVAL,
    FORCING,
    HEALTH,
    MONITORING,
    REMOVAL,
    REMOVALS,
    REMOVING,
)

LEAVING = (
    bug(
        "a server is removed while it still has shards",
        "9 nothing that may be the last shard is removed",
        f"{REMOVING}::test_the_last_bad_copy_of_a_lost_chunk_keeps_its_server",
        (REMOVAL, 'proved superfluous"] if listed.shards else []', 'proved superfluous"] if listed.shards > 1 else []'),
    ),
    bug(
        "a server that does not answer counts as empty",
        "14 removable",
        f"{REMOVING}::test_a_server_that_does_not_answer_is_never_called_empty",
        (
            EVIDENCE,
            "        member.failed(error)\n        return None\n    return Contents",
            "        member.failed(error)\n    return Contents",
        ),
    ),
    bug(
        "a removal does not look again whether all is settled",
        "14 removable",
        f"{REMOVALS}::test_a_partition_that_is_unsettled_at_the_last_moment_puts_the_removal_off",
        (REMOVAL, " or now.obstacles(deletes_stopped=self._deletes_stopped())", ""),
    ),
    bug(
        "a removal does not look again whether the server is still to go",
        "11 one epoch for the cluster",
        f"{REMOVALS}::test_a_server_that_is_activated_at_the_last_moment_stays",
        (
            REMOVAL,
            "            if server is None or server.state is not ServerState.DRAINING or not server.remove_when_empty:",
            "            if server is None:",
        ),
        (
            REMOVAL,
            "            if epoch != proved.epoch or now.obstacles(deletes_stopped=self._deletes_stopped()):\n                return False\n",
            "",
        ),
    ),
    bug(
        "a server is called safe to power off while moving is paused",
        "14 removable",
        f"{REMOVING}::test_nothing_is_removed_while_moving_is_paused_or_deletes_are_stopped",
        (EVIDENCE, "        if self.paused:", "        if self.paused and self.partitions_unsettled:"),
    ),
    bug(
        "what was proved of one drain is believed of the next",
        "14 removable",
        f"{REMOVING}::test_a_plain_drain_stays_and_is_called_empty_once_that_is_proved",
        (
            "chunkstore/fleet.py",
            "                if server.state is not member.server.state:\n                    member.obstacles = None\n",
            "",
        ),
    ),
    bug(
        "a dead server is forced out on the first look alone",
        "3 confirm under the newest ring",
        f"{REMOVALS}::test_what_was_confirmed_on_a_dying_server_after_the_first_look_is_seen_by_the_second",
        (
            FORCED_REMOVAL,
            (
                "        risk = await self._risks.of(server)\n"
                "        _check(replace(server, state=ServerState.DRAINING), risk, accepted=accept_loss is not None)\n"
            ),
            "        risk = Risk(self._changes._topology.present.epoch)\n",
        ),
    ),
    bug(
        "a server that answers can be forced out",
        "9 nothing that may be the last shard is removed",
        f"{FORCING}::test_a_server_that_answers_is_not_forced_out",
        (FORCED_REMOVAL, "            if member.is_up:", "            if member.is_up and member.latency_seconds > 0:"),
    ),
    bug(
        "a torn copy counts as a copy",
        "9 nothing that may be the last shard is removed",
        f"{REMOVING}::test_a_copy_that_is_torn_is_no_copy",
        (EVIDENCE, "if entry.size_bytes == sizes.get(name.chunk) and", "if name.chunk in sizes and"),
    ),
    bug(
        "a copy that is known to be bad counts as a copy",
        "9 nothing that may be the last shard is removed",
        f"{REMOVING}::test_a_copy_that_is_known_to_be_bad_is_no_copy",
        (EVIDENCE, " and name not in known_bad:", ":"),
    ),
    bug(
        "what is only promised counts as there",
        "9 nothing that may be the last shard is removed",
        f"{FORCING}::test_a_second_silent_server_counts_as_having_nothing_and_is_named",
        (EVIDENCE, "                risk.silent.add(member.server.name)", "                return []"),
    ),
    bug(
        "servers are evicted one after the other without waiting",
        "14 eviction",
        f"{EVICTING}::test_one_server_at_a_time_and_the_next_only_when_all_has_healed",
        (EVICTION, "        if scene.healing:", "        if scene.healing > 10**6:"),
    ),
    bug(
        "a silent server waits for itself to heal",
        "14 eviction",
        f"{EVICTING}::test_what_waits_for_the_silent_server_itself_does_not_keep_it_in",
        (EVICTION, "int(np.count_nonzero(~np.isin(rows, list(silent)).any(axis=1)))", "len(rows)"),
    ),
    bug(
        "servers are evicted though half of them are silent",
        "14 eviction",
        f"{EVICTING}::test_nobody_is_evicted_when_half_of_the_servers_are_silent",
        (EVICTION, "        if 2 * answering <= len(scene.servers):", "        if 2 * answering < len(scene.servers):"),
    ),
    bug(
        "a server is evicted because it refuses our credentials",
        "14 eviction",
        f"{EVICTING}::test_nobody_is_evicted_for_refusing_our_credentials",
        (EVICTION, "        if member.is_unauthorized:", "        if member.is_up:"),
    ),
    bug(
        "a server is evicted by a clock that has jumped",
        "13 deciding times",
        f"{EVICTING}::test_nobody_is_evicted_while_moving_is_paused_or_the_clock_has_jumped",
        (EVICTION, "self._why_never(scene) or self._guard.check(scene.now)", "self._why_never(scene)"),
        (EVICTION, " or self._guard.check(now) is not None", ""),
    ),
    bug(
        "two processes evict at the same time",
        "14 eviction",
        f"{REMOVALS}::test_of_two_workers_that_would_evict_one_does",
        (EVICTION, " or _evicted(await uow.servers.list()) != _evicted(scene.servers)", ""),
    ),
    bug(
        "a server is evicted though it has answered again",
        "14 eviction",
        f"{EVICTING}::test_a_server_that_returns_at_the_last_moment_stays",
        (
            EVICTION,
            "        if not self._is_overdue(replace(server, state=ServerState.ACTIVE), now) or self._guard.check(now) is not None:",
            "        if self._guard.check(now) is not None:",
        ),
    ),
    bug(
        "a return after a moment of silence unsettles nothing",
        "10 everything is seen again",
        f"{MONITORING}::test_a_moment_of_silence_is_no_event_and_yet_everything_is_looked_at_again",
        (
            HEALTH,
            "server.health is ServerHealth.UNREACHABLE or number in self._missing",
            "server.health is ServerHealth.UNREACHABLE",
        ),
    ),
    bug(
        "misses are never forgotten",
        "14 eviction",
        f"{MONITORING}::test_misses_with_answers_between_them_never_add_up",
        (HEALTH, "                self._missing.pop(sighting.server.number, None)\n", ""),
    ),
)
