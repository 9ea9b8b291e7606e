"""The gateway that reads a file's first chunk while everything else goes on."""

from __future__ import annotations

from tests.model.state import SERVER_COUNT, Violation
from tests.model.world import Actor, World


class Reader(Actor):
    """Asks the servers one by one, those of the newest row first; a miss everywhere must be true."""

    def __init__(self, name: str, file: str, world: World) -> None:
        super().__init__(name, "look")
        self.file = file
        self.chunk = world.files[file].chunk_map[0]
        self.digest = world.rows[self.chunk].digest
        self.began_at: tuple[int, int, int] | None = None
        """Newest epoch, synced epoch and version at the beginning of the pass."""
        self.servers_left: tuple[int, ...] = ()
        self.saw_server_down: bool | None = None
        """Unknown before the first pass."""

    def step(self, world: World) -> None:
        """Ask the next server, or decide what the pass has shown."""
        now = (world.newest_epoch, world.synced_epoch, world.version)
        if self.began_at is None:
            primaries = [server for server, _ in world.rings[-1].row]
            others = [server for server in range(SERVER_COUNT) if server not in primaries]
            self.servers_left = (*primaries, *others)
            self.began_at = now
            self.saw_server_down = False
        if not self.servers_left:
            self._decide(world, now)
            return
        server, *left = self.servers_left
        self.servers_left = tuple(left)
        if not world.up[server]:
            self.saw_server_down = True
        elif server not in world.removed and world.holds(server, self.digest, self.chunk):
            world.end(self)

    def _decide(self, world: World, now: tuple[int, int, int]) -> None:
        """Answer after a pass that found the chunk nowhere."""
        was_purged = world.files[self.file].state != "acknowledged"
        if was_purged or self.saw_server_down or world.disks_lost:
            world.end(self)  # 404, 503, or a loss that another invariant judges.
        elif world.rules.retry_of_a_miss and now != self.began_at:
            self.began_at = None
        else:
            world.violation = Violation("unreadable", f"{self.file} answered 'missing' although it is stored")
