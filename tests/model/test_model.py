"""The storage protocol keeps its promises in the model, and needs each of its rules."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.model import quarantine, upload_offset
from tests.model.__main__ import main
from tests.model.actions import enabled, perform
from tests.model.configurations import ABLATIONS, SMALL
from tests.model.exhaustive import explore
from tests.model.first_design import ASSUMPTIONS, run_first_design
from tests.model.healing import heal
from tests.model.invariants import check
from tests.model.long_run import check_configuration, report_all
from tests.model.rules import ALL_RULES, RULE_NAMES
from tests.model.scenarios import HAND_MADE
from tests.model.schedules import describe, draw_configuration, replay, run, shrink
from tests.model.state import ChunkRow, Configuration, File, ShardName
from tests.model.world import World

SCHEDULES = 5_000
"""Of each policy: a few seconds."""

STATES = {
    "dedup against collection": 59,
    "dedup against collection, retry": 2_557,
    "upload against reconcile": 3_550,
    "stale gateway and removal": 3_865,
    "handoff against reconcile": 8_685,
    "revert, two workers": 6_796,
    "reader during a move": 205,
    "dedup after a lost disk": 1_247,
    "stale listing, upload": 5_434,
    "stale listing, revert": 12_908,
    "duplicated message, revert": 27_041,
    "duplicated message, dedup, collection": 30_003,
    "purge during a move": 1_000,
    "three copies, upload against reconcile": 7_395,
    "three copies, one server down": 16_212,
    "three copies, dedup after a lost disk": 2_020,
}
"""A change of the model that sees fewer states than these has lost some behaviour; change them only with a reason."""


@pytest.mark.parametrize("copies", [2, 3])
def test_random_schedules_break_no_invariant(copies: int) -> None:
    broken = {
        seed: str(outcome.violation)
        for seed in range(SCHEDULES)
        if (outcome := run(seed, ALL_RULES, copies=copies)).violation is not None
    }
    assert not broken


@pytest.mark.parametrize("name", SMALL)
def test_no_interleaving_of_a_small_configuration_breaks_an_invariant(name: str) -> None:
    exploration = explore(ALL_RULES, SMALL[name])
    assert exploration.violation is None, exploration.trace
    assert exploration.is_complete
    assert exploration.states == STATES[name]


def test_every_rule_has_its_ablation() -> None:
    assert ABLATIONS.keys() | HAND_MADE.keys() == set(RULE_NAMES)


@pytest.mark.parametrize("rule", ABLATIONS)
def test_without_the_rule_exploration_finds_what_breaks_and_with_it_nothing(rule: str) -> None:
    ablation = ABLATIONS[rule]
    without = explore(ALL_RULES.without(rule), ablation.configuration)
    assert ablation.is_proved_by(without.violation), without.violation
    assert explore(ALL_RULES, ablation.configuration).violation is None


@pytest.mark.parametrize(
    ("rule", "kind"), [("random_handoff_name", "below copies_min"), ("row_dropped_at_once", "stuck")]
)
def test_without_the_rule_the_hand_made_schedule_ends_badly_and_with_it_well(rule: str, kind: str) -> None:
    without = HAND_MADE[rule](ALL_RULES.without(rule)).violation
    assert without is not None
    assert without.kind == kind
    assert HAND_MADE[rule](ALL_RULES).violation is None


@pytest.mark.parametrize("assumed", ASSUMPTIONS)
def test_the_design_that_was_not_taken_breaks_under_every_assumption_about_timing(assumed: str) -> None:
    assert any(run_first_design(seed, ASSUMPTIONS[assumed]).violation is not None for seed in range(300))


@given(seed=st.integers(0, 2**32), steps=st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_a_clone_goes_its_own_way(seed: int, steps: int) -> None:
    rng = random.Random(seed)
    world = World(ALL_RULES, draw_configuration(rng, 2))
    for _ in range(steps):
        actions = enabled(world)
        if not actions:
            break
        before = world.key()
        for action in actions:
            perform(world.clone(), action)
        heal(world.clone())
        assert world.key() == before
        assert world.clone().key() == before
        perform(world, rng.choice(actions))


def test_a_seed_means_one_schedule_in_every_process() -> None:
    program = (
        "from tests.model.rules import ALL_RULES\n"
        "from tests.model.schedules import run\n"
        "print([[str(action) for action in run(seed, ALL_RULES).trace] for seed in range(50)])\n"
    )
    root = Path(__file__).parents[2]
    schedules = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=root,
            check=True,
            capture_output=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(schedules) == 1


def test_a_broken_schedule_is_played_again_and_made_as_short_as_it_can_be() -> None:
    rules = ALL_RULES.without("reference_before_bytes")
    outcomes = (run(seed, rules) for seed in range(1_000))
    broken = next(outcome for outcome in outcomes if outcome.violation is not None)
    again = replay(rules, broken.configuration, broken.trace)
    assert again == broken
    assert broken.violation is not None

    short = shrink(rules, broken)

    assert short.violation is not None
    assert short.violation.kind == broken.violation.kind
    assert len(short.trace) < len(broken.trace)
    assert len(describe(rules, short.configuration, short.trace)) == len(short.trace)
    for index in range(len(short.trace)):
        less = replay(rules, short.configuration, short.trace[:index] + short.trace[index + 1 :])
        assert less.violation is None or less.violation.kind != broken.violation.kind


# Each invariant must be able to fail: a stored world is spoilt by hand.


def stored_world(*, disks_lost: int = 0) -> World:
    world = World(ALL_RULES, Configuration())
    world.disks_lost = disks_lost
    return world


def kind_of(world: World) -> str | None:
    check(world)
    return None if world.violation is None else world.violation.kind


def test_a_stored_world_breaks_no_invariant() -> None:
    assert kind_of(stored_world()) is None


def test_a_chunk_on_no_server_is_a_loss() -> None:
    world = stored_world()
    world.disks = [frozenset()] * 4
    assert kind_of(world) == "LOSS"


def test_a_chunk_on_no_server_is_excused_by_as_many_lost_disks() -> None:
    world = stored_world(disks_lost=2)
    world.disks = [frozenset()] * 4
    assert kind_of(world) is None


def test_a_chunk_on_one_server_is_below_copies_min_until_a_disk_is_lost() -> None:
    for disks_lost, kind in ((0, "below copies_min"), (1, None)):
        world = stored_world(disks_lost=disks_lost)
        world.disks[0] = frozenset()
        assert kind_of(world) == kind


def test_a_chunk_beside_the_row_makes_clean_a_lie() -> None:
    world = stored_world()
    world.disks[2], world.disks[1] = world.disks[1], frozenset()
    assert kind_of(world) == "LIE"
    world.violation = None
    world.raise_version()
    assert kind_of(world) is None


@pytest.mark.parametrize("row", [None, ChunkRow("x", "writing", 1), ChunkRow("x", "deleting", 0)])
def test_an_acknowledged_file_whose_chunk_is_not_live_is_dangling(row: ChunkRow | None) -> None:
    world = stored_world()
    if row is None:
        del world.rows["x1"]
    else:
        world.rows["x1"] = row
    assert kind_of(world) == "dangling"


def test_healing_tells_bytes_that_nobody_deletes_from_those_that_a_worker_does() -> None:
    garbage = ShardName("y", "y1", "t0")
    for rules, kind in ((ALL_RULES, None), (ALL_RULES.without("everything_seen_again"), "LEAK")):
        world = World(rules, Configuration())
        world.disks[3] |= {garbage}
        heal(world)
        assert (world.violation and world.violation.kind) == kind


def test_healing_calls_a_partition_stuck_that_is_never_synced() -> None:
    world = stored_world()
    world.removed = frozenset({0})
    world.disks[0] = frozenset()
    world.files["file0"] = File("purged", frozenset(), (), 0)
    heal(world)
    assert world.violation is not None
    assert world.violation.kind == "stuck"


# The small models.


@pytest.mark.parametrize(
    ("transactions", "states", "violation"),
    [
        (upload_offset.Transactions(), 88, None),
        (upload_offset.Transactions(chunk_with_offset=False), 979, "a finished video has other bytes"),
        (
            upload_offset.Transactions(finish_with_offset=False),
            154,
            "the client was told 'complete', and nobody makes the video",
        ),
    ],
)
def test_an_upload_needs_chunk_offset_and_video_in_one_transaction(
    transactions: upload_offset.Transactions, states: int, violation: str | None
) -> None:
    outcome = upload_offset.explore(transactions)
    assert set(outcome.violations) == ({violation} if violation else set())
    assert outcome.states == states


@pytest.mark.parametrize(
    ("method", "states", "is_safe"),
    [("overwrite", 24, True), ("move away if still bad", 45, True), ("move away", 51, False)],
)
def test_two_scrubbers_may_overwrite_a_bad_shard_but_not_move_it_away(
    method: quarantine.Method, states: int, is_safe: bool
) -> None:
    outcome = quarantine.explore(method)
    assert (outcome.violation is None) == is_safe
    assert outcome.states == states


# The command.


def test_the_command_shows_what_a_rule_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--without", "file_still_open"]) == 0
    assert "dangling: file1 refers to chunk x1, whose row is gone" in capsys.readouterr().out


def test_the_command_plays_a_schedule_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "3", "--copies", "3"]) == 0
    assert "no violation" in capsys.readouterr().out


def test_the_help_names_every_rule(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert all(rule in shown for rule in RULE_NAMES)


def test_a_broken_invariant_is_shown_and_fails_the_long_run(capsys: pytest.CaptureFixture[str]) -> None:
    name = "dedup against collection"
    checks = [
        partial(check_configuration, rules, name, SMALL[name])
        for rules in (ALL_RULES.without("chunk_id_in_name"), ALL_RULES)
    ]
    assert not report_all(checks)
    assert "collect x1" in capsys.readouterr().out
    assert report_all(checks[1:])


@pytest.mark.parametrize(("is_sound", "exit_code"), [(True, 0), (False, 1)])
def test_the_exit_code_says_whether_the_long_run_was_sound(
    monkeypatch: pytest.MonkeyPatch, is_sound: bool, exit_code: int
) -> None:
    monkeypatch.setattr("tests.model.__main__.check_everything", lambda *_, **__: is_sound)
    assert main(["--seconds", "1"]) == exit_code
