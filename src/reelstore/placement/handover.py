"""Hand-overs: one server leaves a slot of some row to another, in as many rows as is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reelstore.placement.draft import VACANT, Draft, Indices, Mask


@dataclass(frozen=True, slots=True)
class HandOver:
    """Let `giver` (a server, or a vacancy) leave slots to `taker`.

    Args:
        giver: index of a server, or `VACANT`.
        taker: index of a server.
        with_kept: whether it may cost a move. One is free where the giver's shard is moving anyway, or where the
            taker held a shard of the row before the update and so need not be sent one.
        restoring: only where both are so: that takes a move back.
    """

    giver: int
    taker: int
    with_kept: bool = False
    restoring: bool = False


def admitted(draft: Draft, rows: Indices, leaving: Indices | int) -> Mask:
    """Return which servers could enter each row once `leaving` has left it, (rows, servers)."""
    row = draft.slots[rows]
    at, column = np.nonzero(row != VACANT)
    held = row[at, column]
    in_zone = np.zeros((len(rows), draft.zone_count + 1), np.int64)  # the last column takes what is vacant
    np.add.at(in_zone, (at, draft.zone_of[held]), 1)
    in_zone[np.arange(len(rows)), draft.zone_or_none[leaving]] -= 1
    admits: Mask = (in_zone < draft.cap)[:, draft.zone_of]
    admits[at, held] = False
    return admits


def held_before(draft: Draft, rows: Indices) -> Mask:
    """Return which servers held a shard of each row before the update, (rows, servers)."""
    held = np.zeros((len(rows), len(draft.quota) + 1), np.bool_)  # the last column takes what was vacant
    held[np.arange(len(rows))[:, None], draft.before[rows]] = True
    return held[:, :-1]


def hand_over(draft: Draft, steps: Sequence[HandOver], *, most: int, within: Sequence[Indices] | None = None) -> int:
    """Carry out a sequence of hand-overs as often as there are rows for all of them, no row twice.

    Args:
        draft: is edited.
        steps: each is done equally often.
        most: times, at most.
        within: for each step, the distinct rows to look at; without it, all of them.

    Returns:
        How often it was done.
    """
    everywhere = np.arange(len(draft.slots))
    free = np.ones(len(draft.slots), np.bool_)
    picked: list[tuple[Indices, Indices]] = []
    times = most
    for step, candidates in zip(steps, within or [everywhere] * len(steps), strict=True):
        rows, columns = _rows_for(draft, step, candidates[free[candidates]])
        times = min(times, len(rows))
        if not times:
            return 0
        picked.append((rows[:times], columns[:times]))
        free[rows[:times]] = False
    for step, (rows, columns) in zip(steps, picked, strict=True):
        draft.place(rows[:times], columns[:times], np.full(times, step.taker))
    return times


def _rows_for(draft: Draft, step: HandOver, rows: Indices) -> tuple[Indices, Indices]:
    """Return those of the rows, each with a slot, that a hand-over can use; those that cost no move come first."""
    row, before, zone = draft.slots[rows], draft.before[rows], draft.zone_of[step.taker]
    given = row == step.giver
    in_zone = (draft.zone_or_none[row] == zone).sum(axis=1) - (draft.zone_or_none[step.giver] == zone)
    fits = given.any(axis=1) & (in_zone < draft.cap) & ~(row == step.taker).any(axis=1)
    moves_anyway = np.full(len(rows), step.giver != VACANT) & ~(before == step.giver).any(axis=1)
    returns = (before == step.taker).any(axis=1)
    if step.restoring:
        fits &= moves_anyway & returns
    elif not step.with_kept:
        fits &= moves_anyway | returns
    usable = np.flatnonzero(fits)
    usable = usable[np.argsort(~(moves_anyway | returns)[usable], kind="stable")]
    return rows[usable], given[usable].argmax(axis=1)
