"""Force a server out that does not answer, unless it may hold the last shard of something.

**Why nothing is lost in silence.** What the server may hold alone is looked for twice. The first look is a courtesy: it
refuses before anything has changed. Then the server is drained, so that the newest ring is without it: from then on
nothing that is confirmed lies on it (rules 3 and 4), should it answer again for a moment. Only the second look decides,
at that very epoch. Between it and the removal nothing that it counted can become less but by another failure: a
worker deletes a copy only after every server of the newest row was found to have its own (rule 6).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from reelstore.chunkstore.fleet import ANSWER_SECONDS, Fleet
from reelstore.domain.change import ChangeAction, ServerChange
from reelstore.domain.errors import Conflict, InvalidInput, RemovalUnsafe, ServerUnavailable
from reelstore.domain.server import Server, ServerState
from reelstore.domain.video import Video
from reelstore.repositories.interface import Metadata
from reelstore.services.lookup import found_server
from reelstore.services.removal import write_removed
from reelstore.services.removal_evidence import Risk, RiskSurvey
from reelstore.services.topology_changes import TopologyChanges

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ForcedOut:
    """A server that was forced out, and what was accepted to be lost with it: nothing, as a rule."""

    name: str
    risk: Risk


class ForcedRemoval:
    """Take servers away that do not answer.

    Args:
        metadata: where they are registered.
        fleet: asked whether the server does answer.
        changes: drains it first.
        risks: finds what only it may hold.
    """

    def __init__(self, metadata: Metadata, fleet: Fleet, changes: TopologyChanges, risks: RiskSurvey) -> None:
        self._metadata = metadata
        self._fleet = fleet
        self._changes = changes
        self._risks = risks

    async def remove(self, name: str, *, accept_loss: str | None = None, accept_warnings: bool = False) -> ForcedOut:
        """Remove a server that does not answer. It lists all others, which takes as long as a survey.

        What it held is made again from the others. Should it ever answer again, it is never written to nor read from.

        Args:
            name: which server.
            accept_loss: its name once more, to remove it though it may hold the last shard of something.
            accept_warnings: drain it in spite of what the plan warns of.

        Returns:
            what may be lost with it.

        Raises:
            RemovalUnsafe: it may hold a last shard, and that was not accepted. Nothing has changed, or, when that came
                up only at the second look, the server is drained; the message says which.
            WarningsNotAccepted: the ring without it has warnings that must be accepted.
            Conflict: it answers: it can be drained; or it was changed meanwhile.
            ServerNotFound, InvalidInput: a retry does not help.
            MetadataUnavailable: a retry can help.
        """
        if accept_loss is not None and accept_loss != name:
            raise InvalidInput(f"to accept a loss, repeat the name of the server: {name}", field="accept_loss")
        server = await self._silent(name)
        if server.state is ServerState.ACTIVE:
            _check(server, await self._risks.of(server), accepted=accept_loss is not None)
            drain = ServerChange(ChangeAction.DRAIN, name)
            reason = f"take out server {name}, which does not answer"
            await self._changes.change([drain], accept_warnings=accept_warnings, reason=reason)
        risk = await self._risks.of(server)
        _check(replace(server, state=ServerState.DRAINING), risk, accepted=accept_loss is not None)
        await self._silent(name)
        await self._write(name, risk)
        await self._changes.follow()
        log.warning("server %s was forced out; chunks that may be lost with it: %d", name, risk.chunks)
        return ForcedOut(name, risk)

    async def _silent(self, name: str) -> Server:
        """Return a server that was asked just now and did not answer."""
        async with self._metadata.snapshot() as view:
            server = found_server(await view.servers.get(name), name)
        member = self._fleet.get(server.number)
        if member is not None:
            try:
                async with member.answering(ANSWER_SECONDS, "a probe"):
                    await self._fleet.probe(member)
            except ServerUnavailable as error:
                member.failed(error)
            if member.is_up:
                raise Conflict(
                    f"server {name} answers: remove it without force, and it is drained first, so that nothing is lost"
                )
        return server

    async def _write(self, name: str, risk: Risk) -> None:
        async with self._metadata.unit_of_work() as uow:
            epoch = await uow.rings.head(lock=True)
            server = found_server(await uow.servers.get(name), name)
            if epoch != risk.epoch or server.state is not ServerState.DRAINING:
                raise Conflict(f"the ring changed while it was looked for what only server {name} may hold; try again")
            lost = f"; {_of(risk.chunks)} may be lost with it" if risk.chunks else ""
            data: dict[str, object] = {
                "forced": True,
                "chunks_at_risk": risk.chunks,
                "bytes_at_risk": risk.size_bytes,
                "videos_at_risk": [_named(video) for video in risk.videos],
            }
            await write_removed(uow, server, f"server {name}, which did not answer, was forced out{lost}", data=data)
            await uow.commit()


def _check(server: Server, risk: Risk, *, accepted: bool) -> None:
    """Refuse when something may be lost and nobody has accepted that."""
    if not risk.chunks or accepted:
        return
    total = f"{risk.chunks:,}, {risk.size_bytes:,} bytes"
    reasons = [
        f"chunks that the servers which answer have too few good shards of: {total}",
        *(f"server {name} does not answer either: what it holds counts as not there" for name in sorted(risk.silent)),
    ]
    drained = "" if server.state is ServerState.ACTIVE else "; it is drained, and takes nothing new until activated"
    raise RemovalUnsafe(
        f"server {server.name} may hold the last shards of {_of(risk.chunks)}: bring it back, or accept the loss "
        f"by repeating its name ({_of_videos(risk)}){drained}",
        reasons=tuple(reasons),
        videos=tuple(_named(video) for video in risk.videos),
    )


def _of(chunks: int) -> str:
    return "1 chunk" if chunks == 1 else f"{chunks:,} chunks"


def _of_videos(risk: Risk) -> str:
    if not risk.videos:
        return "no video needs them, only uploads that are not complete"
    names = ", ".join(video.name for video in risk.videos[:3])
    return f"videos at risk: {names}{', …' if len(risk.videos) > 3 else ''}"


def _named(video: Video) -> dict[str, str]:
    return {"id": video.id, "name": video.name}
