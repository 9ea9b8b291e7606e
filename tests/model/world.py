"""The world: four servers, one partition, the metadata, the network, and the actors at work.

Messages are asynchronous: they may be delivered at any later time, also after their sender has crashed or given
up. An actor crashes by never being scheduled again. There is no clock: that an upload expired or a lease was
lost is something that may happen at any time, unless the configuration assumes otherwise.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar, Literal, Self

from tests.model.rules import Rules
from tests.model.state import (
    COUNTED_ACTIONS,
    SERVER_COUNT,
    ChunkRow,
    Configuration,
    File,
    Listing,
    Message,
    Plan,
    Ring,
    ShardName,
    Violation,
)

FIRST_TENURE = "t0"


class Actor:
    """Somebody who works in steps: each is a transaction, a look at a server, or the sending of requests.

    What is sent takes effect when it is delivered.

    Attributes hold immutable values only, so that a clone shares them.
    """

    stores_bytes: ClassVar[bool] = False
    """Whether it is an upload."""

    def __init__(self, name: str, phase: str) -> None:
        self.name = name
        self.phase = phase
        self.sent = 0
        self.awaited: frozenset[tuple[int, int]] = frozenset()
        """Number and server of each request whose answer is still awaited."""
        self.acknowledged: frozenset[int] = frozenset()
        self.failed: frozenset[int] = frozenset()

    def clone(self) -> Self:
        """Return a copy that steps on its own."""
        twin = self.__class__.__new__(self.__class__)
        twin.__dict__.update(self.__dict__)
        return twin

    def key(self) -> Hashable:
        """Return a value that is equal for actors that will behave the same."""
        return tuple(self.__dict__.values())

    def is_ready(self, world: World) -> bool:
        """Return whether it can take its next step: it waits while a request is unanswered."""
        return not (self.awaited and self.phase == "wait")

    def step(self, world: World) -> None:
        """Do the next step."""
        raise NotImplementedError


class World:
    """Everything there is at one moment of a schedule."""

    def __init__(self, rules: Rules, configuration: Configuration) -> None:
        servers = range(SERVER_COUNT)
        self.rules = rules
        self.configuration = configuration

        # The servers.
        self.disks: list[Listing] = [frozenset()] * SERVER_COUNT
        self.up = (True,) * SERVER_COUNT
        self.removed: frozenset[int] = frozenset()
        self.disks_lost = 0
        self.listings_before: list[tuple[Listing, ...]] = [()] * SERVER_COUNT
        """What each server's listing was before; kept only where a stale listing may occur."""

        # The metadata. A partition's row is synced while `synced_epoch` is the newest and it is not unsettled.
        first_row = tuple((server, FIRST_TENURE) for server in servers[: configuration.copies])
        self.rings: tuple[Ring, ...] = (Ring(first_row, frozenset(servers)),)
        self.synced_epoch = 0
        self.unsettled = False
        self.version = 0
        self.rows: dict[str, ChunkRow] = {}
        self.files: dict[str, File] = {}
        self.plan: Plan | None = None

        # The network and the actors. Messages are a set in the order of sending, so that a seed means one schedule.
        self.messages: tuple[Message, ...] = ()
        self.actors: dict[str, Actor] = {}
        self.names_drawn: dict[str, int] = {}

        # What may still happen, and what went wrong.
        self.uploads_left = configuration.uploads
        self.changes_left = configuration.changes
        self.left: dict[str, int] = {verb: getattr(configuration, verb) for verb in COUNTED_ACTIONS}
        self.violation: Violation | None = None

        if configuration.preloaded:
            chunk = self.draw_name("x")
            self.rows[chunk] = ChunkRow("x", "live", 1)
            self.files["file0"] = File("acknowledged", frozenset([chunk]), (chunk,), 0)
            for server, tenure in first_row:
                self.disks[server] |= {self.shard_name("x", chunk, tenure)}

    def clone(self) -> World:
        """Return a copy that goes its own way."""
        twin = World.__new__(World)
        twin.__dict__.update(self.__dict__)
        twin.disks = list(self.disks)
        twin.listings_before = list(self.listings_before)
        twin.rows = dict(self.rows)
        twin.files = dict(self.files)
        twin.names_drawn = dict(self.names_drawn)
        twin.left = dict(self.left)
        twin.actors = {name: actor.clone() for name, actor in self.actors.items()}
        return twin

    def key(self) -> Hashable:
        """Return a value that is equal for worlds with the same future, however they came about.

        The counters of names are left out: worlds that differ in them alone differ in what is called how.
        """
        return (
            tuple(self.disks),
            self.up,
            self.removed,
            self.disks_lost,
            self.rings,
            self.synced_epoch,
            self.unsettled,
            self.version,
            frozenset(self.rows.items()),
            frozenset(self.files.items()),
            self.plan,
            frozenset(self.messages),
            frozenset([actor.key() for actor in self.actors.values()]),
            self.uploads_left,
            self.changes_left,
            tuple(self.left.values()),
            tuple(self.listings_before) if self.left["stale"] else None,
        )

    # Names.

    def draw_name(self, prefix: str) -> str:
        """Return a name that was never used before: the prefix and a number."""
        number = self.names_drawn.get(prefix, 0) + 1
        self.names_drawn[prefix] = number
        return f"{prefix}{number}"

    def shard_name(self, digest: str, chunk: str, tenure: str) -> ShardName:
        """Return the name of a shard, with the parts that the rules give it."""
        rules = self.rules
        return ShardName(
            digest, chunk if rules.chunk_id_in_name else "", tenure if rules.tenure_in_name else FIRST_TENURE
        )

    def handoff_name(self, digest: str, chunk: str, epoch: int) -> ShardName:
        """Return the name of a new handoff's shard."""
        rules = self.rules
        if rules.random_handoff_name:
            tenure = self.draw_name("handoff")
        elif rules.tenure_in_name:
            tenure = f"handoff of epoch {epoch}"
        else:
            tenure = FIRST_TENURE
        return ShardName(digest, chunk if rules.chunk_id_in_name else "", tenure)

    def is_of_chunk(self, name: ShardName, digest: str, chunk: str) -> bool:
        """Return whether a shard of that name holds the chunk's bytes, as far as the name can tell."""
        return name.digest == digest and (name.chunk == chunk or not self.rules.chunk_id_in_name)

    def holds(self, server: int, digest: str, chunk: str) -> bool:
        """Return whether the server has the chunk under any of its names."""
        return any(self.is_of_chunk(name, digest, chunk) for name in self.disks[server])

    def primary_names(self, server: int, digest: str, chunk: str) -> list[ShardName]:
        """Return every name that the chunk ever had on the server as a primary, the oldest first."""
        slots = dict.fromkeys(slot for ring in self.rings for slot in ring.row if slot[0] == server)
        return list(dict.fromkeys(self.shard_name(digest, chunk, tenure) for _, tenure in slots))

    # The metadata.

    @property
    def newest_epoch(self) -> int:
        """Return the epoch of the ring head."""
        return len(self.rings) - 1

    @property
    def is_clean(self) -> bool:
        """Return whether the metadata says that each chunk lies where the newest ring wants it."""
        return self.synced_epoch == self.newest_epoch and not self.unsettled

    def chunk_of(self, digest: str) -> str | None:
        """Return the chunk whose row has the digest, if there is one."""
        for chunk, row in self.rows.items():
            if row.digest == digest:
                return chunk
        return None

    def count_references(self, chunk: str, difference: int) -> None:
        """Change the number of references of a row, if it is there."""
        row = self.rows.get(chunk)
        if row is not None:
            self.rows[chunk] = row._replace(references=row.references + difference)

    def drop_references(self, file: str, chunks: frozenset[str], state: Literal["expired", "purged"]) -> None:
        """End a file, and let go of the given chunks."""
        self.files[file] = self.files[file]._replace(state=state, references=frozenset())
        for chunk in chunks:
            self.count_references(chunk, -1)

    def raise_version(self) -> None:
        """Say that the partition may no longer lie as it should."""
        self.unsettled = True
        self.version += 1

    # The network and the actors.

    def is_storing(self) -> bool:
        """Return whether an upload is at work, or a byte still on its way."""
        return any(actor.stores_bytes for actor in self.actors.values()) or any(
            message.verb == "put" for message in self.messages
        )

    def is_reachable(self, server: int) -> bool:
        """Return whether the server answers."""
        return self.up[server] and server not in self.removed

    def send(self, verb: Literal["put", "delete"], server: int, name: ShardName, sender: str, number: int = 0) -> None:
        """Send a request whose answer nobody awaits, unless a number is given."""
        message = Message(verb, server, name, sender, number)
        if message not in self.messages:
            self.messages += (message,)

    def request(self, verb: Literal["put", "delete"], server: int, name: ShardName, actor: Actor) -> None:
        """Send a request whose answer the actor awaits."""
        actor.sent += 1
        actor.awaited |= {(actor.sent, server)}
        self.send(verb, server, name, actor.name, actor.sent)

    def deliver(self, message: Message) -> None:
        """Let a request arrive, and its answer, if somebody still awaits it."""
        server, disks = message.server, self.disks
        self.messages = tuple([other for other in self.messages if other != message])
        reachable = self.is_reachable(server)
        if reachable:
            if self.left["stale"] and disks[server] not in self.listings_before[server]:
                self.listings_before[server] += (disks[server],)
            if message.verb == "put":
                disks[server] |= {message.name}
            else:
                disks[server] -= {message.name}
        sender = self.actors.get(message.sender)
        answer = (message.number, server)
        if sender is not None and answer in sender.awaited:
            sender.awaited -= {answer}
            if reachable:
                sender.acknowledged |= {server}
            else:
                sender.failed |= {server}

    def end(self, actor: Actor) -> None:
        """Let an actor be done."""
        del self.actors[actor.name]
