"""A small model of its own: two scrubbers repair the same rotten shard.

Server A has a rotten copy of a chunk, server B a good one. Two scrubbers, or a scrubber and a reader, find A's copy
bad. Either may crash, and messages may be late. In the end, where one has reported the repair, A must hold good
bytes: with B lost afterwards, A's copy is the last.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

Method = Literal["move away", "move away if still bad", "overwrite"]
"""How a bad shard is replaced: removed and put again, the same with a check at the server, or put over."""


class _Message(NamedTuple):
    verb: Literal["quarantine", "put"]
    sender: int


class _Repair(NamedTuple):
    """What server A holds, what is on its way there, and how far the scrubbers are."""

    held: Literal["bad", "good", "nothing"] = "bad"
    messages: frozenset[_Message] = frozenset()
    phases: tuple[str, ...] = ("look", "look")

    def with_phase(self, scrubber: int, phase: str) -> _Repair:
        return self._replace(phases=(*self.phases[:scrubber], phase, *self.phases[scrubber + 1 :]))


class Outcome(NamedTuple):
    """How many states there are, and the way to an end in which a reported repair is none."""

    states: int
    violation: tuple[str, ...] | None


def explore(method: Method) -> Outcome:
    """Explore every interleaving, with at most one crash."""
    first = _Repair()
    seen = {first}
    to_visit: list[tuple[_Repair, tuple[str, ...]]] = [(first, ())]
    violation: tuple[str, ...] | None = None
    while to_visit:
        repair, trace = to_visit.pop()
        successors = list(_successors(repair, method))
        if not successors and repair.held != "good" and "done" in repair.phases:
            violation = violation or trace
        for label, successor in successors:
            if successor not in seen:
                seen.add(successor)
                to_visit.append((successor, (*trace, label)))
    return Outcome(len(seen), violation)


def _successors(repair: _Repair, method: Method) -> Iterator[tuple[str, _Repair]]:
    for message in sorted(repair.messages):
        yield f"{message.verb} of scrubber {message.sender} arrives", _delivered(repair, message, method)
    for scrubber, phase in enumerate(repair.phases):
        if phase == "look":
            yield _look(repair, scrubber, method)
        if phase in {"await quarantine", "put"} and "dead" not in repair.phases:
            yield f"scrubber {scrubber} crashes", repair.with_phase(scrubber, "dead")
        if phase == "put":
            sent = repair._replace(messages=repair.messages | {_Message("put", scrubber)})
            yield f"scrubber {scrubber} sends the good copy", sent.with_phase(scrubber, "await put")


def _look(repair: _Repair, scrubber: int, method: Method) -> tuple[str, _Repair]:
    if repair.held == "good":
        return f"scrubber {scrubber} finds it good", repair.with_phase(scrubber, "done")
    if repair.held == "nothing" or method == "overwrite":
        return f"scrubber {scrubber} finds {repair.held}", repair.with_phase(scrubber, "put")
    sent = repair._replace(messages=repair.messages | {_Message("quarantine", scrubber)})
    return f"scrubber {scrubber} finds it bad, sends a quarantine", sent.with_phase(scrubber, "await quarantine")


def _delivered(repair: _Repair, message: _Message, method: Method) -> _Repair:
    if message.verb == "put":
        repair = repair._replace(held="good")
    elif method == "move away" or repair.held == "bad":
        repair = repair._replace(held="nothing")
    next_phase = {"await quarantine": "put", "await put": "done"}
    phase = repair.phases[message.sender]
    repair = repair._replace(messages=repair.messages - {message})
    return repair.with_phase(message.sender, next_phase.get(phase, phase))
