"""Everything that may happen next in a world, and what it does when it happens.

The adversary is whoever chooses among the enabled actions. The faults it may inject, and why the protocol must
survive them:

- `crash`: a process ends between any two steps; its requests may still arrive.
- `deliver`, late or in any order; `duplicate`: networks and proxies do that, and a retried request is one.
- `timeout`: the sender counts a failure, the request arrives nevertheless.
- `down` and `up`: a machine restarts; `wipe`: a disk is lost and comes back empty.
- `stale`: a bucket's listing, or a proxy's cache, shows what was.
- `expire`: a clock jumps, or an upload takes longer than anybody thought.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.model.collector import Collector, NaivePurge
from tests.model.healing import is_collectable
from tests.model.invariants import check
from tests.model.reader import Reader
from tests.model.state import SERVER_COUNT, Change, File, Listing, Message, Plan, Ring
from tests.model.upload import Upload
from tests.model.worker import Worker
from tests.model.world import World

STALE_LISTINGS_REMEMBERED = 3


class Action(NamedTuple):
    """One thing that may happen: what, and to whom or with what."""

    verb: str
    subject: Any = None

    def __str__(self) -> str:
        if isinstance(self.subject, Message):
            message = self.subject
            return (
                f"{self.verb} {message.sender}'s {message.verb} of {'/'.join(message.name)} to server {message.server}"
            )
        return self.verb if self.subject is None else f"{self.verb} {self.subject}"


class StaleListing(NamedTuple):
    """A worker's next listing, answered with what the server had before."""

    worker: str
    listing: Listing

    def __str__(self) -> str:
        return f"listing for {self.worker}: {sorted('/'.join(name) for name in self.listing)}"


# What may happen.


def enabled(world: World) -> list[Action]:
    """Return all that may happen next, in an order that depends on the history only."""
    actions: list[Action] = []
    _add_steps(world, actions)
    _add_deliveries(world, actions)
    _add_beginnings(world, actions)
    _add_faults(world, actions)
    return actions


def _add_steps(world: World, actions: list[Action]) -> None:
    left = world.left
    for name, actor in world.actors.items():
        if actor.is_ready(world):
            actions.append(Action("step", name))
        if left["stale"] and isinstance(actor, Worker) and actor.phase == "list":
            server = actor.next_to_list
            if world.is_reachable(server):
                remembered = world.listings_before[server][-STALE_LISTINGS_REMEMBERED:]
                actions += [Action("stale", StaleListing(name, listing)) for listing in remembered]
        if left["crash"]:
            actions.append(Action("crash", name))


def _add_deliveries(world: World, actions: list[Action]) -> None:
    left = world.left
    for message in world.messages:
        actions.append(Action("deliver", message))
        if left["duplicate"]:
            actions.append(Action("duplicate", message))
        if left["timeout"]:
            sender = world.actors.get(message.sender)
            if sender is not None and (message.number, message.server) in sender.awaited:
                actions.append(Action("timeout", message))


def _add_beginnings(world: World, actions: list[Action]) -> None:
    left = world.left
    if world.uploads_left:
        actions.append(Action("upload"))
    if left["purge"] or left["read"]:
        stored = [name for name, file in world.files.items() if file.state == "acknowledged"]
        if left["purge"]:
            actions += [Action("purge", name) for name in stored]
        if left["read"]:
            actions += [Action("read", name) for name in stored]
    if (left["collect"] or left["reconcile"]) and not _is_held_back(world):
        if left["collect"] and not (world.configuration.long_grace and world.is_storing()):
            actions += [Action("collect", chunk) for chunk in world.rows if is_collectable(world, chunk)]
        if left["reconcile"]:
            actions.append(Action("reconcile"))
    if world.plan is not None:
        actions.append(Action("apply"))
    elif world.changes_left:
        actions.append(Action("plan"))
    if left["remove"] and world.is_clean:
        gone_or_needed = world.rings[-1].members | world.removed
        actions += [Action("remove", server) for server in range(SERVER_COUNT) if server not in gone_or_needed]


def _is_held_back(world: World) -> bool:
    """Return whether an assumption about timing keeps collectors and workers from beginning."""
    configuration = world.configuration
    if configuration.perfect_leases and any(isinstance(a, Collector | Worker) for a in world.actors.values()):
        return True
    return configuration.no_late_deletes and any(message.verb == "delete" for message in world.messages)


def _add_faults(world: World, actions: list[Action]) -> None:
    left = world.left
    for server, is_up in enumerate(world.up):
        if left["down"] and is_up:
            actions.append(Action("down", server))
        if not is_up and server not in world.removed:
            actions.append(Action("up", server))
        if left["wipe"] and world.disks[server]:
            actions.append(Action("wipe", server))
    if left["expire"]:
        actions += [Action("expire", name) for name, file in world.files.items() if file.state == "open"]


# What happens then.


def perform(world: World, action: Action) -> None:
    """Let an enabled action happen, and check the invariants.

    Changes the world in place: clone it first to keep what was.
    """
    verb = action.verb
    if verb in world.left:
        world.left[verb] -= 1
    _EFFECTS[verb](world, action.subject)
    check(world)


def _step(world: World, actor: str) -> None:
    world.actors[actor].step(world)


def _stale(world: World, answer: StaleListing) -> None:
    worker = world.actors[answer.worker]
    assert isinstance(worker, Worker)
    worker.list_next(world, answer.listing)


def _crash(world: World, actor: str) -> None:
    del world.actors[actor]


def _deliver(world: World, message: Message) -> None:
    world.deliver(message)


def _duplicate(world: World, message: Message) -> None:
    world.deliver(message)
    world.messages += (message,)


def _timeout(world: World, message: Message) -> None:
    sender = world.actors[message.sender]
    sender.awaited -= {(message.number, message.server)}
    sender.failed |= {message.server}


def _upload(world: World, _: None) -> None:
    digests, *later = world.uploads_left
    world.uploads_left = tuple(later)
    name = world.draw_name("upload")
    file = name.replace("upload", "file")
    world.files[file] = File("open", frozenset(), (), world.disks_lost)
    world.actors[name] = Upload(name, file, digests, world.newest_epoch)


def _read(world: World, file: str) -> None:
    name = world.draw_name("reader")
    world.actors[name] = Reader(name, file, world)


def _purge(world: World, file: str) -> None:
    chunks = world.files[file].references
    if world.rules.atomic_collection:
        world.drop_references(file, chunks, "purged")
    else:
        name = world.draw_name("purge")
        world.actors[name] = NaivePurge(name, file, chunks)


def _expire(world: World, file: str) -> None:
    world.drop_references(file, world.files[file].references, "expired")


def _collect(world: World, chunk: str) -> None:
    name = world.draw_name("collector")
    collector = world.actors[name] = Collector(name, chunk)
    if world.rules.atomic_collection:
        collector.step(world)


def _reconcile(world: World, _: None) -> None:
    name = world.draw_name("worker")
    world.actors[name] = Worker(name, world)


def _plan(world: World, _: None) -> None:
    change, *later = world.changes_left
    world.changes_left = tuple(later)
    world.plan = Plan(world.newest_epoch, change, world.synced_epoch)


def _apply(world: World, _: None) -> None:
    """Make the planned ring the newest, unless another came between or a server of it is gone."""
    assert world.plan is not None
    base_epoch, change, synced_when_planned = world.plan
    world.plan = None
    if base_epoch != world.newest_epoch or world.removed.intersection(change.servers):
        return
    rules = world.rules
    epoch = world.newest_epoch + 1
    row = _next_row(world, change, world.synced_epoch if rules.tenure_drawn_in_apply else synced_when_planned)
    if not rules.synced_needs_a_listing and not world.unsettled:
        synced_servers = tuple(server for server, _ in world.rings[world.synced_epoch].row)
        if synced_servers == change.servers:
            world.synced_epoch = epoch
    if rules.apply_raises_version and row != world.rings[-1].row:
        world.version += 1
    members = frozenset(range(SERVER_COUNT)) - world.removed - {change.drained}
    world.rings += (Ring(row, members),)


def _next_row(world: World, change: Change, synced_epoch: int) -> tuple[tuple[int, str], ...]:
    """Return the new row: who is in the synced or the newest row keeps its tenure, the others draw one."""
    kept = dict(world.rings[synced_epoch].row) | dict(world.rings[-1].row)
    drawn = f"t{world.newest_epoch + 1}"
    return tuple((server, kept.get(server, drawn)) for server in change.servers)


def _down(world: World, server: int) -> None:
    world.up = (*world.up[:server], False, *world.up[server + 1 :])


def _up(world: World, server: int) -> None:
    world.up = (*world.up[:server], True, *world.up[server + 1 :])
    world.raise_version()


def _wipe(world: World, server: int) -> None:
    world.disks[server] = frozenset()
    world.disks_lost += 1


def _remove(world: World, server: int) -> None:
    """Power off for good a server that was said to be removable. No excuse: it is not counted as a lost disk."""
    world.removed |= {server}
    world.disks[server] = frozenset()


_EFFECTS: dict[str, Callable[[World, Any], None]] = {
    "step": _step,
    "stale": _stale,
    "crash": _crash,
    "deliver": _deliver,
    "duplicate": _duplicate,
    "timeout": _timeout,
    "upload": _upload,
    "read": _read,
    "purge": _purge,
    "expire": _expire,
    "collect": _collect,
    "reconcile": _reconcile,
    "plan": _plan,
    "apply": _apply,
    "down": _down,
    "up": _up,
    "wipe": _wipe,
    "remove": _remove,
}
