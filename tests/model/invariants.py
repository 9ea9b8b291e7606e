"""What must hold after every step."""

from __future__ import annotations

from tests.model.state import SERVER_COUNT, File, Violation
from tests.model.world import World


def check(world: World) -> None:
    """Record the first broken invariant in the world, unless one is recorded already.

    For each acknowledged file: its chunks have live rows (else `dangling`); each has a copy (else `LOSS`) on at
    least `copies_min` servers, less the disks lost since the upload began (else `below copies_min`); and while the
    metadata says 'clean', each is under its name on every server of the newest row (else `LIE`).
    """
    if world.violation is None:
        for name, file in world.files.items():
            if file.state == "acknowledged":
                world.violation = _violation_of(world, name, file)
                if world.violation is not None:
                    return


def _violation_of(world: World, file_name: str, file: File) -> Violation | None:
    configuration = world.configuration
    disks_lost_since = world.disks_lost - file.disks_lost_before
    need = configuration.copies_min - disks_lost_since
    for chunk in file.chunk_map:
        row = world.rows.get(chunk)
        if row is None or row.state != "live":
            state = "gone" if row is None else row.state
            return Violation("dangling", f"{file_name} refers to chunk {chunk}, whose row is {state}")
        if need < 1:
            continue
        have = sum([world.holds(server, row.digest, chunk) for server in range(SERVER_COUNT)])
        if have == 0:
            return Violation("LOSS", f"no copy of {chunk} ({file_name})")
        if configuration.only_loss:
            continue
        if have < need:
            return Violation("below copies_min", f"{have} of {need} copies of {chunk} ({file_name})")
        if disks_lost_since == 0 and world.is_clean:
            for server, tenure in world.rings[-1].row:
                if world.shard_name(row.digest, chunk, tenure) not in world.disks[server]:
                    return Violation("LIE", f"'clean', but {chunk} ({file_name}) is not on server {server}")
    return None
