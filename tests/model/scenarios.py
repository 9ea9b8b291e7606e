"""Two hand-made schedules, for what a search is slow to find or what is no violation but a standstill."""

from __future__ import annotations

from collections.abc import Callable

from tests.model.actions import Action, enabled, perform
from tests.model.rules import Rules
from tests.model.schedules import Run
from tests.model.state import Configuration, Message, Violation
from tests.model.world import World

PATIENCE_STEPS = 40
"""More than any actor takes to store, collect or reconcile one chunk."""


class Director:
    """Plays a schedule action by action, and keeps what it played."""

    def __init__(self, rules: Rules, configuration: Configuration) -> None:
        self.world = World(rules, configuration)
        self.trace: list[Action] = []

    def play(self, verb: str, subject: object = None) -> None:
        """Let an action happen, which must be enabled."""
        action = Action(verb, subject)
        assert action in enabled(self.world), f"{action} is not enabled"
        self.trace.append(action)
        perform(self.world, action)

    def deliver(self, chosen: Callable[[Message], bool]) -> None:
        """Deliver those messages on their way that are chosen."""
        for message in sorted(self.world.messages):
            if chosen(message):
                self.play("deliver", message)

    def as_run(self) -> Run:
        """Return what was played, and what it broke."""
        return Run(self.world.configuration, tuple(self.trace), self.world.violation)

    def finish(self, actor: str) -> None:
        """Let an actor work to its end, or as far as it gets, with the answers that it awaits delivered at once."""
        for _ in range(PATIENCE_STEPS):
            if actor not in self.world.actors:
                return
            if self.world.actors[actor].is_ready(self.world):
                self.play("step", actor)
            else:
                self.deliver(lambda message: message.sender == actor and message.number > 0)


def a_late_delete_meets_a_handoff_written_again(rules: Rules) -> Run:
    """Delete a handoff of an earlier upload late, when a later upload has counted one like it.

    Server 0 is down, so the first upload writes a handoff to server 2. Server 0 returns; the worker brings its copy
    there and sends the delete of the handoff, which is delayed. Then server 0 loses its disk and is down again. The
    second upload of the same bytes must not count on the handoff that is about to be deleted.
    """
    director = Director(rules, Configuration(preloaded=False, uploads=(("x",), ("x",)), down=2, wipe=1, reconcile=1))
    director.play("upload")
    director.play("down", 0)
    director.finish("upload1")
    director.play("up", 0)
    director.play("reconcile")
    director.finish("worker1")
    director.play("wipe", 0)
    director.play("upload")
    director.play("down", 0)
    director.finish("upload2")
    director.deliver(lambda message: message.verb == "delete")
    return director.as_run()


def the_same_bytes_again_while_a_server_is_down(rules: Rules) -> Run:
    """Store bytes again that were purged and collected while a server was down.

    A row that waits in a state `deleting` for every server's answer keeps the next upload of the same bytes
    waiting until that server is back: for ever, if it is lost.
    """
    director = Director(rules, Configuration(uploads=(("x",),), purge=1, collect=1, down=1))
    director.play("down", 1)
    director.play("purge", "file0")
    director.play("collect", "x1")
    director.finish("collector1")
    director.play("upload")
    director.finish("upload1")
    if "upload1" in director.world.actors:
        director.world.violation = Violation("stuck", "an upload waits while a server is down")
    return director.as_run()


HAND_MADE: dict[str, Callable[[Rules], Run]] = {
    "random_handoff_name": a_late_delete_meets_a_handoff_written_again,
    "row_dropped_at_once": the_same_bytes_again_while_a_server_is_down,
}
"""By the rule without which the schedule ends badly."""
