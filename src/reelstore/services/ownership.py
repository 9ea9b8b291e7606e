"""Rule 12: is this metadata the one that owns the servers, or a copy that knows less than they do?

A backup that was restored, a dump that was loaded elsewhere, a standby that was promoted: each looks like the database
that it was copied from, and takes for garbage what that one has stored since. So a copy deletes nothing, and keeps the
other one from it as well: it raises the count of delete rounds in the marker of each server before it puts a shard
there, and whoever finds a marker ahead of its own count stops. What was listed before that holds nothing of the copy.
An operator decides which of them goes on: `accept`, and the others find markers of another generation.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from reelstore.chunkstore.fleet import ANSWER_SECONDS, Fleet, FleetMember
from reelstore.domain.errors import Conflict, ServerFull, ServerUnavailable
from reelstore.domain.event import Event, EventKind
from reelstore.domain.ids import Entropy, random_id
from reelstore.repositories.interface import Metadata
from reelstore.services.leases import WORKERS

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Accepted:
    """What came of it: the servers that know it now, and those that did not answer, with the reason of each."""

    generation: str
    delete_rounds: int
    servers: tuple[str, ...]
    silent: tuple[tuple[str, str], ...]


async def recognise(metadata: Metadata) -> bool:
    """Say whether the metadata is where it was accepted; to be asked before any server is attached.

    Where it is not, deletes are stopped. Metadata that was never asked before is taken to be where it belongs.

    Raises:
        MetadataUnavailable: a retry can help.
    """
    async with metadata.snapshot() as view:
        cluster, here = await view.cluster.get(), await view.cluster.whereabouts()
    if cluster is None or cluster.home == here:
        return True
    if cluster.home is None:
        async with metadata.unit_of_work(frees=True) as uow:
            await uow.cluster.update(replace(cluster, home=here))
            await uow.commit()
        return True
    await stop_deletes(
        metadata,
        f"this metadata database is a copy: it was in {cluster.home}, and is in {here}; when the other one will never "
        "run again, stop all gateways and workers and run `reelstore db restored`",
    )
    return False


async def stop_deletes(metadata: Metadata, reason: str) -> None:
    """Write down that no shard is deleted any more, by any process, until an operator accepts; the first reason stays.

    Raises:
        MetadataUnavailable: a retry can help.
    """
    async with metadata.unit_of_work(frees=True) as uow:
        cluster = await uow.cluster.get()
        if cluster is None or cluster.deletes_stopped is not None:
            return
        await uow.cluster.update(replace(cluster, deletes_stopped=reason))
        message = f"no shard is deleted any more: {reason}"
        await uow.events.add(Event(EventKind.DELETES_STOPPED, "", message, await uow.now()))
        await uow.commit()
    log.error("%s", message)


async def accept(metadata: Metadata, fleet: Fleet, *, entropy: Entropy) -> Accepted:
    """Make this metadata the one that owns the servers; nothing else of the cluster runs.

    It gets a new generation, a count of delete rounds above every marker's, and all partitions are looked at anew. Its
    markers are written after that is committed: a crash before leaves deletes stopped, and the call can be repeated.

    Args:
        metadata: which.
        fleet: the servers, not attached yet. One that does not answer keeps its marker: when it returns it stops all
            deletes again, until it is accepted too.
        entropy: draws the generation.

    Raises:
        Conflict: there is no cluster in it, or workers are running.
        MetadataUnavailable: a retry can help.
    """
    rounds, silent = 0, dict[str, str]()
    answering = list[FleetMember]()
    for member in fleet:
        try:
            async with member.answering(ANSWER_SECONDS, "being attached"):
                marker = await fleet.attach(member.driver, member.server.name, claim=False)
        except ServerUnavailable as error:
            silent[member.server.name] = str(error)
        else:
            answering.append(member)
            rounds = max(rounds, marker.delete_rounds)
    generation = random_id(entropy)
    rounds = await _write_down(metadata, generation, rounds)
    told = []
    for member in answering:
        name = member.server.name
        try:
            async with member.answering(ANSWER_SECONDS, "a new generation"):
                await member.driver.record_delete_rounds(rounds, generation=generation)
        except (ServerUnavailable, ServerFull) as error:
            silent[name] = str(error)
        else:
            told.append(name)
    return Accepted(generation, rounds, tuple(told), tuple(silent.items()))


async def _write_down(metadata: Metadata, generation: str, rounds: int) -> int:
    async with metadata.unit_of_work(frees=True) as uow:
        await uow.rings.head(lock=True)
        cluster, now = await uow.cluster.get(), await uow.now()
        if cluster is None:
            raise Conflict("there is no cluster in this metadata database")
        if workers := await uow.leases.in_force(WORKERS, now=now):
            raise Conflict(
                f"{len(workers)} workers are running, or ended without saying so less than a minute ago: stop all "
                "gateways and workers, then try again"
            )
        rounds = max(rounds, cluster.delete_rounds) + 1
        accepted = replace(cluster, generation=generation, delete_rounds=rounds, deletes_stopped=None)
        await uow.cluster.update(replace(accepted, home=await uow.cluster.whereabouts()))
        for policy in await uow.policies.list():
            states = await uow.partitions.list(policy.name)
            await uow.partitions.raise_versions(policy.name, [state.index for state in states])
        message = "this metadata database was accepted: it owns the servers from now on, and may delete"
        await uow.events.add(Event(EventKind.METADATA_ACCEPTED, "", message, now, {"delete_rounds": rounds}))
        await uow.commit()
    return rounds
