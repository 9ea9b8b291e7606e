"""Those who take rows away: the collector of unreferenced chunks, and the purge that the rules forbid."""

from __future__ import annotations

from tests.model.state import SERVER_COUNT
from tests.model.world import Actor, World


class Collector(Actor):
    """Collects one chunk that nothing refers to.

    With all rules it is one step: drop the row, then ask for the shards' deletion, best effort. Ablated rules
    give it more phases: `look` before it acts (`atomic_collection`), and `sweep` and `wait` between marking the
    row and dropping it (`row_dropped_at_once`).
    """

    def __init__(self, name: str, chunk: str) -> None:
        super().__init__(name, "mark")
        self.chunk = chunk
        self.has_looked = False

    def step(self, world: World) -> None:
        """Do the next step."""
        row = world.rows.get(self.chunk)
        if row is None:
            world.end(self)
        elif self.phase == "mark":
            self._mark(world)
        elif self.phase == "sweep":
            for server in range(SERVER_COUNT):
                for name in sorted(world.disks[server]):
                    if world.is_of_chunk(name, row.digest, self.chunk):
                        world.request("delete", server, name, self)
            self.phase = "wait"
        else:
            if not self.failed:
                del world.rows[self.chunk]
            world.end(self)

    def _mark(self, world: World) -> None:
        row = world.rows[self.chunk]
        if world.rules.atomic_collection:
            if row.references > 0 and row.state != "deleting":
                world.end(self)
                return
        elif not self.has_looked:
            if row.references > 0:
                world.end(self)
            self.has_looked = True
            return
        if not world.rules.row_dropped_at_once:
            world.rows[self.chunk] = row._replace(state="deleting")
            self.phase = "sweep"
            return
        del world.rows[self.chunk]
        world.raise_version()
        world.end(self)
        for server in range(SERVER_COUNT):
            for name in world.primary_names(server, row.digest, self.chunk):
                if name in world.disks[server] and world.is_reachable(server):
                    world.send("delete", server, name, self.name)


class NaivePurge(Actor):
    """Purges a file by a list of references that it read before (`atomic_collection` taken away)."""

    def __init__(self, name: str, file: str, chunks: frozenset[str]) -> None:
        super().__init__(name, "purge")
        self.file = file
        self.chunks = chunks

    def step(self, world: World) -> None:
        """Let go of the chunks, also when another purge has done so meanwhile."""
        world.drop_references(self.file, self.chunks, "purged")
        world.end(self)
