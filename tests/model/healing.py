"""What must hold once the faults are over: everything is healed, and nothing is left over."""

from __future__ import annotations

from tests.model.collector import Collector
from tests.model.invariants import check
from tests.model.state import SERVER_COUNT, ShardName, Violation
from tests.model.worker import Worker
from tests.model.world import Actor, World

ROUNDS = 8
"""Collections and reconciles after the faults: more than any history needs."""


def heal(world: World) -> None:
    """Let everything come back and the workers run undisturbed, then look whether all is well.

    Every actor dies, every server comes back, every message arrives, every open file expires. Records `stuck`,
    `not healed` or `LEAK`, or an invariant broken on the way.
    """
    rules = world.rules
    world.actors.clear()
    world.plan, world.changes_left, world.uploads_left = None, (), ()
    world.up = (True,) * SERVER_COUNT
    if world.violation is None and rules.everything_seen_again:
        world.raise_version()
    _deliver_everything(world)
    for name, file in list(world.files.items()):
        if file.state == "open":
            world.drop_references(name, file.references, "expired")
    for _ in range(ROUNDS):
        _collect_everything(world)
        if world.is_clean and not rules.everything_seen_again:
            break
        _run_to_its_end(world, Worker("last worker", world))
        check(world)
        if world.violation is not None:
            return
    if world.violation is None:
        world.violation = _violation_of(world)


def is_collectable(world: World, chunk: str) -> bool:
    """Return whether a collector may begin with the chunk."""
    row = world.rows.get(chunk)
    return row is not None and (row.references <= 0 or row.state == "deleting")


def _deliver_everything(world: World) -> None:
    while world.messages and world.violation is None:
        world.deliver(min(world.messages))
        check(world)


def _collect_everything(world: World) -> None:
    for chunk in list(world.rows):
        if world.violation is None and is_collectable(world, chunk):
            _run_to_its_end(world, Collector("last collector", chunk))


def _run_to_its_end(world: World, actor: Actor) -> None:
    world.actors[actor.name] = actor
    while actor.name in world.actors and world.violation is None:
        actor.step(world)
        _deliver_everything(world)


def _violation_of(world: World) -> Violation | None:
    live = [(chunk, row.digest) for chunk, row in world.rows.items() if row.state == "live"]
    if any(not any(world.holds(server, digest, chunk) for server in range(SERVER_COUNT)) for chunk, digest in live):
        return None  # Lost with the disks; otherwise the invariants had said so.
    if not world.is_clean:
        return Violation("stuck", "never synced")
    wanted: list[set[ShardName]] = [set() for _ in range(SERVER_COUNT)]
    for server, tenure in world.rings[-1].row:
        wanted[server] = {world.shard_name(row.digest, chunk, tenure) for chunk, row in world.rows.items()}
    for server in range(SERVER_COUNT):
        if server in world.removed:
            continue
        if lacking := wanted[server] - world.disks[server]:
            return Violation("not healed", f"server {server} lacks {sorted(lacking)}")
        if left_over := world.disks[server] - wanted[server]:
            return Violation("LEAK", f"server {server} keeps {sorted(left_over)} for ever")
    if any(row.references <= 0 for row in world.rows.values()):
        return Violation("LEAK", "a row without references stays")
    return None
