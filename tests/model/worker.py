"""The worker that reconciles the partition: list, read the metadata, put what lacks, swap synced, delete."""

from __future__ import annotations

from typing import NamedTuple

from tests.model.state import SERVER_COUNT, Listing, ShardName
from tests.model.world import Actor, World


class _Expected(NamedTuple):
    """What the metadata said of a chunk."""

    chunk: str
    digest: str
    state: str


class Worker(Actor):
    """Reconciles the partition once, without a lease.

    Phases: `list` asks one server per step; `metadata` reads the rows; `put` sends what a server of the row lacks;
    `wait` for the answers; `sync` is the compare-and-swap; `delete` sends what this round proved to be garbage.
    """

    def __init__(self, name: str, world: World) -> None:
        super().__init__(name, "list" if world.rules.list_then_metadata else "metadata")
        self.epoch = world.newest_epoch
        self.row = world.rings[-1].row
        self.version = world.version
        self.listings: tuple[Listing | None, ...] = ()
        """Of each server listed so far; None where it did not answer."""
        self.rows: tuple[_Expected, ...] = ()
        self.saw_no_upload = True
        """No upload was at work while it listed: all that it saw is old, as a long grace time would show."""

    def step(self, world: World) -> None:
        """Do the next step."""
        if self.phase == "list":
            self.list_next(world, None)
        elif self.phase == "metadata":
            self.rows = tuple(sorted(_Expected(chunk, row.digest, row.state) for chunk, row in world.rows.items()))
            self.phase = "put" if world.rules.list_then_metadata else "list"
        elif self.phase == "put":
            self._put(world)
        elif self.phase == "wait":
            if self.failed:
                world.end(self)
            else:
                self.phase = "sync"
        elif self.phase == "sync":
            self._sync(world)
        else:
            self._delete(world)
            world.end(self)

    @property
    def next_to_list(self) -> int:
        """Return the server that the next step of the phase `list` asks."""
        return len(self.listings)

    def list_next(self, world: World, stale: Listing | None) -> None:
        """List the next server, which answers with the given stale listing if there is one."""
        server = self.next_to_list
        if stale is None:
            stale = world.disks[server]
        self.saw_no_upload = self.saw_no_upload and not world.is_storing()
        self.listings += (stale if world.is_reachable(server) else None,)
        if self.next_to_list == SERVER_COUNT:
            self.phase = "metadata" if world.rules.list_then_metadata else "put"

    def _put(self, world: World) -> None:
        for chunk, digest, state in self.rows:
            if state != "live":
                continue
            for server, tenure in self.row:
                listing = self.listings[server]
                if listing is None:
                    world.end(self)
                    return
                name = world.shard_name(digest, chunk, tenure)
                if name in listing:
                    continue
                if not world.is_reachable(server):
                    world.end(self)
                    return
                if any(world.is_reachable(s) and world.holds(s, digest, chunk) for s in range(SERVER_COUNT)):
                    world.request("put", server, name, self)
                elif _is_needed(world, chunk):
                    world.end(self)  # Nobody can give the bytes: the partition cannot be synced.
                    return
        self.phase = "wait"

    def _sync(self, world: World) -> None:
        if world.rules.version_compare_and_swap and self.version != world.version:
            world.end(self)
            return
        if world.rings[-1].row == self.row:
            world.synced_epoch = world.newest_epoch
        else:
            world.synced_epoch = max(world.synced_epoch, self.epoch)
        world.unsettled = False
        self.phase = "delete"

    def _delete(self, world: World) -> None:
        """Delete what has no row, and what of a live chunk lies under other names than the row's."""
        live = {expected.chunk: expected.state == "live" for expected in self.rows}
        tenures = dict(self.row)
        for server in range(SERVER_COUNT):
            listing = self.listings[server] if world.rules.delete_only_listed else world.disks[server]
            for name in sorted(listing or ()):
                chunk = self._chunk_of(world, name)
                if chunk is None:
                    if world.configuration.long_grace and not self.saw_no_upload:
                        continue
                    world.send("delete", server, name, self.name)
                elif live[chunk]:
                    tenure = tenures.get(server)
                    if tenure is None or name != world.shard_name(name.digest, chunk, tenure):
                        world.send("delete", server, name, self.name)

    def _chunk_of(self, world: World, name: ShardName) -> str | None:
        """Return the chunk whose row the name belongs to, as far as the metadata read in this round knows."""
        for expected in self.rows:
            if world.is_of_chunk(name, expected.digest, expected.chunk):
                return expected.chunk
        return None


def _is_needed(world: World, chunk: str) -> bool:
    row = world.rows.get(chunk)
    return row is not None and row.state == "live" and row.references > 0
