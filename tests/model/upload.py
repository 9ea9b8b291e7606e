"""The gateway that stores a file: refer to the chunk, send its shards, count the answers, confirm."""

from __future__ import annotations

from typing import NamedTuple

from tests.model.state import ChunkRow
from tests.model.world import Actor, World

RESTARTS_MAX = 2
NOBODY: frozenset[int] = frozenset()


class _Stored(NamedTuple):
    """A chunk whose bytes are on the servers before anything refers to it (`reference_before_bytes` taken away)."""

    digest: str
    chunk: str
    was_live: bool
    with_handoff: bool


class Upload(Actor):
    """Stores one file, chunk by chunk.

    Phases: `refer` commits the row and the reference; `send` asks one primary per step; `wait` adds handoffs until
    `copies_min` servers have acknowledged; `confirm` is the transaction that makes the chunk count.
    """

    stores_bytes = True

    def __init__(self, name: str, file: str, digests: tuple[str, ...], epoch: int) -> None:
        super().__init__(name, "refer")
        self.file = file
        self.digests = digests
        self.position = 0
        self.epoch = epoch
        self.restarts = 0
        self.stored: tuple[_Stored, ...] = ()
        # Of the chunk in flight:
        self.digest = ""
        self.chunk = ""
        self.was_live = False
        self.slot = 0
        self.handoffs_tried = NOBODY
        self.with_handoff = False
        self.placed_again = False

    def is_ready(self, world: World) -> bool:
        """Return whether it can take its next step; a row that is being deleted keeps it waiting."""
        if self.phase == "refer" and not world.rules.row_dropped_at_once:
            chunk = world.chunk_of(self.digests[self.position])
            return chunk is None or world.rows[chunk].state != "deleting"
        return super().is_ready(world)

    def step(self, world: World) -> None:
        """Do the next step."""
        if self.phase == "send":
            self._send(world)
        elif self.phase == "wait":
            self._count_or_hand_off(world)
        elif self.phase == "refer":
            self._refer(world)
        elif world.rules.reference_before_bytes:
            self._confirm(world)
        else:
            self._confirm_all_at_the_end(world)

    def _refer(self, world: World) -> None:
        digest = self.digests[self.position]
        chunk = world.chunk_of(digest)
        if world.rules.reference_before_bytes:
            file = world.files[self.file]
            if file.state != "open":
                self._give_up(world)
                return
            if chunk is None:
                chunk = world.draw_name(digest)
                world.rows[chunk] = ChunkRow(digest, "writing", 1)
            elif chunk not in file.references:
                world.count_references(chunk, 1)
            world.files[self.file] = file._replace(references=file.references | {chunk})
            self.was_live = world.rows[chunk].state == "live"
        else:
            self.was_live = chunk is not None
            chunk = chunk or world.draw_name(digest)
        self.digest = digest
        self.chunk = chunk
        self.with_handoff = self.placed_again = False
        self._begin_sending()

    def _begin_sending(self) -> None:
        self.phase = "send"
        self.slot = 0
        self.acknowledged = self.failed = self.handoffs_tried = NOBODY
        self.awaited = frozenset()

    def _send(self, world: World) -> None:
        row = world.rings[self.epoch].row
        server, tenure = row[self.slot]
        name = world.shard_name(self.digest, self.chunk, tenure)
        if self.was_live and not world.rules.stat_at_dedup:
            self.acknowledged |= {server}
        elif not world.is_reachable(server):
            self.failed |= {server}
        elif self.was_live and name in world.disks[server]:
            self.acknowledged |= {server}
        else:
            world.request("put", server, name, self)
        self.slot += 1
        if self.slot == len(row):
            self.phase = "wait"

    def _count_or_hand_off(self, world: World) -> None:
        if len(self.acknowledged) >= world.configuration.copies_min:
            self.phase = "confirm"
            return
        ring = world.rings[self.epoch]
        excluded = self.acknowledged | self.failed | self.handoffs_tried | {server for server, _ in ring.row}
        server = next((s for s in sorted(ring.members - excluded) if world.is_reachable(s)), None)
        if server is None:
            self._give_up(world)
            return
        self.handoffs_tried |= {server}
        self.with_handoff = True
        name = world.handoff_name(self.digest, self.chunk, self.epoch)
        # A name that can be foretold tempts a gateway to count the shard that is there already.
        if not world.rules.random_handoff_name and self.was_live and name in world.disks[server]:
            self.acknowledged |= {server}
        else:
            world.request("put", server, name, self)

    def _confirm(self, world: World) -> None:
        file, row = world.files[self.file], world.rows.get(self.chunk)
        if row is None or (world.rules.file_still_open and file.state != "open"):
            self._give_up(world)
            return
        if self.epoch != world.newest_epoch:
            if world.rules.confirm_under_newest_ring:
                self.was_live = row.state == "live"
                self.epoch = world.newest_epoch
                self.placed_again = True
                self._begin_sending()
                return
            world.raise_version()
        if self.with_handoff or self.placed_again or self.failed:
            world.raise_version()
        world.rows[self.chunk] = row._replace(state="live")
        self.position += 1
        is_last = self.position == len(self.digests)
        world.files[self.file] = file._replace(
            state="acknowledged" if is_last else file.state,
            references=file.references | {self.chunk},
            chunk_map=(*file.chunk_map, self.chunk),
        )
        if is_last:
            world.end(self)
        else:
            self.phase = "refer"

    def _confirm_all_at_the_end(self, world: World) -> None:
        """Commit rows and references after the last byte: what `reference_before_bytes` forbids.

        Generous: it fails where the row is being deleted, and begins again where a chunk is gone, or another
        gateway made the row meanwhile, or the ring is another.
        """
        self.stored += (_Stored(self.digest, self.chunk, self.was_live, self.with_handoff),)
        if self.position + 1 < len(self.digests):
            self.position += 1
            self.phase = "refer"
            return
        rules = world.rules
        begin_again = rules.confirm_under_newest_ring and self.epoch != world.newest_epoch
        for stored in self.stored:
            present = world.chunk_of(stored.digest)
            if present is not None and world.rows[present].state == "deleting":
                self._give_up(world)
                return
            if stored.was_live:
                begin_again |= stored.chunk not in world.rows
            else:
                begin_again |= rules.chunk_id_in_name and present not in {None, stored.chunk}
        if not begin_again:
            self._commit_stored(world)
        elif self.restarts == RESTARTS_MAX:
            self._give_up(world)
        else:
            self.restarts += 1
            self.stored = ()
            self.position = 0
            self.epoch = world.newest_epoch
            self.phase = "refer"

    def _commit_stored(self, world: World) -> None:
        chunk_map: tuple[str, ...] = ()
        for stored in self.stored:
            chunk = world.chunk_of(stored.digest) or stored.chunk
            references = world.rows[chunk].references if chunk in world.rows else 0
            world.rows[chunk] = ChunkRow(stored.digest, "live", references + 1)
            chunk_map += (chunk,)
            if stored.with_handoff or self.epoch != world.newest_epoch:
                world.raise_version()
        world.files[self.file] = world.files[self.file]._replace(
            state="acknowledged", references=frozenset(chunk_map), chunk_map=chunk_map
        )
        world.end(self)

    def _give_up(self, world: World) -> None:
        """Answer with an error. Without `gateways_never_delete`, tidy up what was put."""
        world.end(self)
        if world.rules.gateways_never_delete or not self.chunk:
            return
        for server in sorted(self.acknowledged):
            for name in world.primary_names(server, self.digest, self.chunk):
                if name in world.disks[server]:
                    world.send("delete", server, name, self.name)
