"""Plan, apply and revert changes of the topology (DESIGN section 7; rules 2, 7 and 11 of the storage protocol)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from reelstore.chunkstore.fleet import Fleet
from reelstore.chunkstore.topology import TopologyCache
from reelstore.domain.change import ChangeAction, Plan, ServerChange
from reelstore.domain.errors import InvalidInput, PlanNotFound, StalePlan, WarningsNotAccepted
from reelstore.domain.event import Event, EventKind
from reelstore.domain.ids import Entropy, random_id
from reelstore.domain.server import Server
from reelstore.repositories.interface import Metadata, UnitOfWork
from reelstore.services.attention import Attention
from reelstore.services.epochs import begin_epochs, draw_tenures, present_layout, pretend_tenures, split_layout
from reelstore.services.estimating import CountedBytes, Estimate, Intent, estimate, measure
from reelstore.services.lookup import SHOWN_LENGTH_MAX
from reelstore.services.places import Claimed, Places
from reelstore.services.plan_documents import kept, plan_of
from reelstore.services.planning import has_become_dearer
from reelstore.services.server_changes import check_are_new, check_changes, reason_of, way_back

Also = Callable[[UnitOfWork], Awaitable[None]]
"""Called inside the transaction that applies a change, once everything is written; what it raises undoes all of it."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Order:
    """A plan that is to be applied: as it was agreed to, or None if nobody has seen it."""

    intent: Intent
    agreed: Plan | None
    accept_warnings: bool
    disks: Mapping[str, str]
    counted: CountedBytes
    also: Also | None


class TopologyChanges:
    """Change which servers there are and what they hold, priced before and undone after.

    Args:
        metadata: where it is decided.
        topology, fleet: of this process; they follow at once. Other processes follow when they see the new epoch, and
            until then nothing that they place is confirmed (rule 3).
        places: claims those of new servers.
        attention: woken, so that moving begins.
        entropy: draws ids and tenures.
    """

    def __init__(
        self,
        metadata: Metadata,
        topology: TopologyCache,
        fleet: Fleet,
        places: Places,
        attention: Attention,
        *,
        entropy: Entropy,
    ) -> None:
        self._metadata = metadata
        self._topology = topology
        self._fleet = fleet
        self._places = places
        self._attention = attention
        self._entropy = entropy
        self._changing = asyncio.Lock()
        self._following = asyncio.Lock()

    # ------------------------------------------------------------------ plan

    async def plan(self, changes: Sequence[ServerChange], *, reason: str | None = None) -> Plan:
        """Compute and keep what changes would cost; nothing else happens.

        Args:
            changes: at least one, no server twice.
            reason: for people; by default the changes in words.

        Raises:
            InvalidInput, InvalidServerUrl, ServerNotFound, ServerExists: a change makes no sense.
            Conflict: a change would change nothing, or leave no server.
            ServerUnavailable: a new server's place does not answer; a retry can help.
        """
        found, _ = await self._estimate(changes, reason)
        await self._keep(found.plan)
        return found.plan

    async def plan_revert(self, epoch: int | None = None) -> Plan:
        """Plan the way back to the servers as they were at an epoch: by default the one before the newest.

        A server that was added since is drained; one that was drained is active again. What has not moved yet stays
        where it is, so that cancelling at once moves nothing.

        Raises:
            InvalidInput: there was no such epoch, or it is the newest.
            Conflict: the servers are as they were then, or one that is removed by now would have to come back.
        """
        changes, reason = await self._way_back(epoch)
        return await self.plan(changes, reason=reason)

    async def get(self, plan_id: str) -> Plan:
        """Return a plan, applied or not; raise `PlanNotFound` when there is none."""
        async with self._metadata.snapshot() as view:
            record = await view.plans.get(plan_id)
        if record is None:
            shown = plan_id[:SHOWN_LENGTH_MAX]
            raise PlanNotFound(f"there is no plan {shown!r}: it was never made, or is forgotten", key=shown)
        return plan_of(record)

    async def latest(self, limit: int) -> tuple[Plan, ...]:
        """Return up to `limit` plans, the newest first."""
        async with self._metadata.snapshot() as view:
            return tuple(plan_of(record) for record in await view.plans.latest(limit=limit))

    async def _estimate(self, changes: Sequence[ServerChange], reason: str | None) -> tuple[Estimate, _Order]:
        """Return what new changes would cost, and the order that would apply them."""
        check_changes(changes)
        async with self._metadata.snapshot() as view:
            servers = await view.servers.list()
        check_are_new(servers, changes)
        filled = await self._places.filled_in(changes, servers)
        return await self._ordered(Intent(random_id(self._entropy), tuple(filled), reason or reason_of(changes)))

    async def _ordered(self, intent: Intent) -> tuple[Estimate, _Order]:
        """Return what is wanted as it would be done now, from a snapshot that keeps nobody waiting."""
        answering = [member.server.url for member in self._fleet if member.is_up]
        added = [change.url for change in intent.changes if change.url is not None]
        disks = await self._places.disks([*answering, *added])
        await measure(self._fleet)
        async with self._metadata.snapshot() as view:
            found = await estimate(view, intent, self._fleet, disks=disks, draw=pretend_tenures)
        order = _Order(intent, None, accept_warnings=False, disks=disks, counted=found.counted, also=None)
        return found, order

    async def _keep(self, plan: Plan) -> None:
        async with self._metadata.unit_of_work() as uow:
            await uow.plans.add(kept(plan))
            data = {"plan_id": plan.id, "bytes_total": plan.bytes_total}
            await uow.events.add(
                Event(EventKind.RING_PLANNED, plan.id, f"planned: {plan.reason}", plan.created_at, data)
            )
            await uow.commit()

    async def _way_back(self, epoch: int | None) -> tuple[list[ServerChange], str]:
        async with self._metadata.snapshot() as view:
            head = await view.rings.head()
            target = head - 1 if epoch is None else epoch
            rings = await view.rings.get(target) if 1 <= target < head else None
            if rings is None:
                raise InvalidInput(f"there is no epoch {target} to go back to; the newest is {head}", field="epoch")
            changes = way_back(await view.servers.list(), rings)
        return changes, f"go back to the servers of epoch {target}"

    # ------------------------------------------------------------------ apply

    async def apply(self, plan_id: str, *, accept_warnings: bool = False) -> Plan:
        """Carry out a plan: its epoch begins, and what belongs elsewhere moves from now on.

        Computed anew from what is asked for and from where the shards are now. All or nothing; a crash before the end
        leaves at most claimed places of new servers, and the same call can be repeated.

        Args:
            plan_id: which.
            accept_warnings: somebody has read them, and agrees.

        Returns:
            the plan, with the epoch that it began.

        Raises:
            PlanNotFound: a retry does not help.
            StalePlan: it was applied already, the ring or the servers are others, or it would cost more; plan again.
            WarningsNotAccepted: there are warnings that must be accepted.
            ServerRefused, ServerUnavailable, ServerFull: a new server's place cannot be claimed.
        """
        agreed = await self.get(plan_id)
        async with self._metadata.snapshot() as view:
            await _check_base_epoch(view, agreed)
        found, order = await self._ordered(Intent(agreed.id, agreed.changes, agreed.reason))
        order = replace(order, agreed=agreed, accept_warnings=accept_warnings)
        _check_agreed(found.plan, order)
        return await self._shielded(order)

    async def change(
        self,
        changes: Sequence[ServerChange],
        *,
        accept_warnings: bool = False,
        reason: str | None = None,
        also: Also | None = None,
    ) -> Plan:
        """Plan changes and apply them at once; see `plan` and `apply`.

        Args:
            changes: at least one, no server twice.
            accept_warnings: apply it in spite of warnings that must be accepted.
            reason: for people; by default the changes in words.
            also: more to do in the same transaction.

        Raises:
            WarningsNotAccepted: the plan is kept, and named by the error.
            Conflict, InvalidInput, ServerNotFound, ServerExists, ServerUnavailable, ServerRefused: as there.
        """
        found, order = await self._estimate(changes, reason)
        order = replace(order, accept_warnings=accept_warnings, also=also)
        try:
            _check_agreed(found.plan, order)
        except WarningsNotAccepted:
            await self._keep(found.plan)  # so that whoever reads the warnings can apply this very plan
            raise
        return await self._shielded(order)

    async def revert(self, epoch: int | None = None, *, accept_warnings: bool = False) -> Plan:
        """Plan the way back and apply it at once; see `plan_revert` and `change`."""
        changes, reason = await self._way_back(epoch)
        return await self.change(changes, accept_warnings=accept_warnings, reason=reason)

    async def _shielded(self, order: _Order) -> Plan:
        # A caller who leaves must not leave the metadata and this process apart.
        return await asyncio.shield(self._carry_out(order))

    async def _carry_out(self, order: _Order) -> Plan:
        """Claim the places of new servers, begin the epoch, and let this process follow; one change after the other."""
        async with self._changing:
            async with self._metadata.snapshot() as view:  # nothing is claimed twice, or for what is refused
                if order.agreed is not None:
                    await _check_base_epoch(view, order.agreed)
                check_are_new(await view.servers.list(), order.intent.changes)
            async with self._places.claimed(order.intent.changes) as claimed:
                applied, servers = await self._begin(order, claimed)
            for server in servers:
                if server.name in claimed:
                    self._fleet.adopt(server, claimed[server.name].driver)
            await self.follow()
        self._attention.wake.set()
        log.info("epoch %d: %s", applied.applied_epoch, applied.reason)
        return applied

    async def _begin(self, order: _Order, claimed: Mapping[str, Claimed]) -> tuple[Plan, tuple[Server, ...]]:
        """Write down the servers and the rings as they are from now on, in one transaction that holds the ring head."""
        async with self._metadata.unit_of_work() as uow:
            await uow.rings.head(lock=True)
            if order.agreed is not None:
                await _check_base_epoch(uow, order.agreed)
            found = await estimate(
                uow,
                order.intent,
                self._fleet,
                disks=order.disks,
                draw=lambda count: draw_tenures(self._entropy, count),
                counted=order.counted,
            )
            _check_agreed(found.plan, order)
            now = await uow.now()
            epoch = found.following[-1].epoch
            servers = tuple(
                replace(server, last_seen_at=now, used_bytes=claimed[server.name].usage.used_bytes)
                if server.name in claimed
                else server
                for server in found.after
            )
            await _write_servers(uow, found.before, servers)
            await begin_epochs(uow, found.layout.newest, found.following, reason=order.intent.reason, at=now)
            applied = replace(order.agreed or found.plan, applied_epoch=epoch)
            if order.agreed is None:
                await uow.plans.add(kept(applied))
            elif not await uow.plans.mark_applied(applied.id, epoch=epoch):
                raise StalePlan(f"the plan {applied.id} was applied meanwhile")
            await _write_events(uow, applied)
            if order.also is not None:
                await order.also(uow)
            await uow.commit()
        return applied, servers

    async def split(self) -> int:
        """Begin an epoch in which every policy has twice the partitions, and return it. Nothing moves.

        It is done by itself when a change makes more servers than the partitions can be shared by evenly.

        Raises:
            InvalidRing: a ring has the most partitions that there may be.
        """
        return await asyncio.shield(self._split())

    async def _split(self) -> int:
        async with self._changing:
            async with self._metadata.unit_of_work() as uow:
                await uow.rings.head(lock=True)
                layout = await present_layout(uow)
                following = split_layout(layout, layout.newest.rings).newest
                now = await uow.now()
                await begin_epochs(uow, layout.newest, [following], reason="split the partitions", at=now)
                message = f"epoch {following.epoch}: split the partitions"
                await uow.events.add(Event(EventKind.RING_APPLIED, str(following.epoch), message, now))
                await uow.commit()
            await self.follow()
        self._attention.wake.set()
        return following.epoch

    async def follow(self) -> None:
        """Let this process follow the metadata: its fleet and its topology."""
        async with self._following:  # or an older list of servers might undo a newer one
            async with self._metadata.snapshot() as view:
                servers = await view.servers.list()
            await self._fleet.refresh(servers)
            await self._topology.refresh()


def _check_not_applied(plan: Plan) -> None:
    if plan.applied_epoch is not None:
        raise StalePlan(f"the plan {plan.id} was applied already: it began epoch {plan.applied_epoch}")


async def _check_base_epoch(uow: UnitOfWork, agreed: Plan) -> None:
    """Make sure that a plan is not applied, and that no other epoch began since it was made."""
    record = await uow.plans.get(agreed.id)
    if record is None:
        raise PlanNotFound(f"the plan {agreed.id} is forgotten by now", key=agreed.id)
    _check_not_applied(plan_of(record))
    head = await uow.rings.head()
    if head != agreed.base_epoch:
        raise StalePlan(f"it was made for epoch {agreed.base_epoch}, and now is epoch {head}: plan again")


def _check_agreed(plan: Plan, order: _Order) -> None:
    """Make sure that what is to be applied costs what was agreed to, and that what it warns of is accepted."""
    agreed = order.agreed
    if agreed is not None and has_become_dearer(
        bytes_total=plan.bytes_total,
        bytes_stored=plan.bytes_stored,
        planned_total=agreed.bytes_total,
        planned_stored=agreed.bytes_stored,
    ):
        raise StalePlan(
            f"it would move {plan.bytes_total:,} bytes now, and was planned for {agreed.bytes_total:,}: plan again"
        )
    unaccepted = tuple(warning.message for warning in plan.warnings if warning.needs_acceptance)
    if unaccepted and not order.accept_warnings:
        raise WarningsNotAccepted("; ".join(unaccepted), warnings=unaccepted, plan_id=plan.id)


async def _write_servers(uow: UnitOfWork, before: Sequence[Server], after: Sequence[Server]) -> None:
    known = {server.number: server for server in before}
    for server in after:
        if server.number not in known:
            await uow.servers.add(server)
        elif server != known[server.number]:
            await uow.servers.update(server)


_SERVER_EVENTS = {
    ChangeAction.ADD: (EventKind.SERVER_ADDED, "server {} was added"),
    ChangeAction.UPDATE: (EventKind.SERVER_CHANGED, "server {} has another capacity or zone"),
    ChangeAction.ACTIVATE: (EventKind.SERVER_CHANGED, "server {} takes part in the ring again"),
    ChangeAction.DRAIN: (EventKind.SERVER_DRAINING, "server {} is being drained"),
    ChangeAction.REMOVE: (EventKind.SERVER_DRAINING, "server {} is being drained, to be removed when it is empty"),
}


async def _write_events(uow: UnitOfWork, plan: Plan) -> None:
    now = await uow.now()
    states = {server.name: server for server in plan.servers}
    for change in plan.changes:
        kind, message = _SERVER_EVENTS[change.action]
        after = states[change.name]
        data = {
            "plan_id": plan.id,
            "epoch": plan.applied_epoch,
            "state": after.state_after,
            "zone": after.zone,
            "capacity_bytes": after.capacity_bytes,
        }
        await uow.events.add(Event(kind, change.name, message.format(change.name), now, data))
    data = {"plan_id": plan.id, "bytes_total": plan.bytes_total}
    message = f"epoch {plan.applied_epoch}: {plan.reason}"
    await uow.events.add(Event(EventKind.RING_APPLIED, str(plan.applied_epoch), message, now, data))
