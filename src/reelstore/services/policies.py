"""Policies: create them, list them, and say which one holds for videos that name none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from reelstore.chunkstore.topology import TopologyCache
from reelstore.domain.errors import Conflict, PolicyExists, PolicyNotFound
from reelstore.domain.event import Event, EventKind
from reelstore.domain.ids import Entropy
from reelstore.domain.policy import Policy
from reelstore.domain.server import ServerState
from reelstore.repositories.interface import Metadata, UnitOfWork
from reelstore.services.attention import Attention
from reelstore.services.epochs import begin_epochs, draw_tenures, ring_set, with_policy
from reelstore.services.lookup import SHOWN_LENGTH_MAX

POLICIES_MAX = 16
"""Each has a table of its own in every ring set, and partitions of its own that are looked at in turn."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PolicyView:
    """A policy, and whether it holds for videos that name none."""

    policy: Policy
    is_default: bool


class Policies:
    """Look after the policies, which are created and never edited: a chunk's shards are what they are.

    Args:
        metadata: where they are kept.
        topology: those that this process knows.
        attention: woken when an epoch begins.
        follow: has this process follow the metadata.
        entropy: draws tenures.
    """

    def __init__(
        self,
        metadata: Metadata,
        topology: TopologyCache,
        attention: Attention,
        *,
        follow: Callable[[], Awaitable[None]],
        entropy: Entropy,
    ) -> None:
        self._metadata = metadata
        self._topology = topology
        self._attention = attention
        self._follow = follow
        self._entropy = entropy

    async def list(self) -> tuple[PolicyView, ...]:
        """Return all policies, in order of name."""
        topology = self._topology.present
        return tuple(
            PolicyView(policy, is_default=name == topology.default_policy)
            for name, policy in sorted(topology.policies.items())
        )

    async def get(self, name: str) -> PolicyView:
        """Return a policy; raise `PolicyNotFound` when there is none of that name."""
        topology = self._topology.present
        policy = topology.policies.get(name)
        if policy is None:
            raise _not_found(name)
        return PolicyView(policy, is_default=name == topology.default_policy)

    async def add(self, policy: Policy, *, default: bool = False) -> PolicyView:
        """Create a policy and begin the epoch in which it has a ring. Nothing of other policies moves.

        All or nothing; durable on return, and known to other gateways within seconds.

        Args:
            policy: its name must be new.
            default: it is to hold for videos that name none, from now on.

        Raises:
            PolicyExists: there is one of that name, maybe made by this very request whose answer was lost.
            Conflict: nothing could be stored under it, as there are too few servers, or there are too many policies.
            MetadataUnavailable: a retry can help.
        """
        return await asyncio.shield(self._add(policy, default=default))

    async def _add(self, policy: Policy, *, default: bool) -> PolicyView:
        async with self._metadata.unit_of_work() as uow:
            newest = await ring_set(uow, await uow.rings.head(lock=True))
            known = {each.name: each for each in await uow.policies.list()}
            servers = await uow.servers.list()
            active = sum(server.state is ServerState.ACTIVE for server in servers)
            _check_can_be_added(policy, known, active)
            following = await asyncio.to_thread(
                with_policy, newest, policy, servers, draw=lambda count: draw_tenures(self._entropy, count)
            )
            now, reason = await uow.now(), f"add policy {policy.name} = {policy}"
            await uow.policies.add(policy)
            await begin_epochs(uow, newest, [following], reason=reason, at=now)
            data = {"epoch": following.epoch, "policy": str(policy), "default": default}
            await uow.events.add(Event(EventKind.POLICY_ADDED, policy.name, reason, now, data))
            message = f"epoch {following.epoch}: {reason}"
            await uow.events.add(Event(EventKind.RING_APPLIED, str(following.epoch), message, now))
            if default:
                await _make_default(uow, policy)
            await uow.commit()
        await self._follow()
        self._attention.wake.set()
        log.info("%s", message)
        return await self.get(policy.name)

    async def make_default(self, name: str) -> PolicyView:
        """Have a policy hold for videos that name none, from now on; those that are stored keep theirs.

        Raises:
            PolicyNotFound: a retry does not help.
            MetadataUnavailable: a retry can help.
        """
        return await asyncio.shield(self._change_default(name))

    async def _change_default(self, name: str) -> PolicyView:
        async with self._metadata.unit_of_work() as uow:
            policy = next((each for each in await uow.policies.list() if each.name == name), None)
            if policy is None:
                raise _not_found(name)
            cluster = await uow.cluster.get()
            if cluster is not None and cluster.default_policy != name:
                await _make_default(uow, policy)
                await uow.commit()
        await self._follow()
        return await self.get(name)


async def _make_default(uow: UnitOfWork, policy: Policy) -> None:
    await uow.cluster.set_default_policy(policy.name)
    message = f"videos that name no policy are stored under {policy.name} = {policy}"
    await uow.events.add(Event(EventKind.POLICY_DEFAULT, policy.name, message, await uow.now()))


def _not_found(name: str) -> PolicyNotFound:
    shown = name[:SHOWN_LENGTH_MAX]
    return PolicyNotFound(f"there is no policy {shown!r}", key=shown)


def _check_can_be_added(policy: Policy, known: dict[str, Policy], active: int) -> None:
    if policy.name in known:
        there = known[policy.name]
        raise PolicyExists(f"there is a policy {there.name} = {there} already; it is never edited: choose another name")
    if len(known) >= POLICIES_MAX:
        raise Conflict(f"there are {len(known)} policies, and no more than {POLICIES_MAX} may be")
    if active < policy.copies_min:
        raise Conflict(
            f"{policy} needs {policy.width} servers, and {policy.copies_min} to acknowledge a write; "
            f"{active} take part in the ring: add servers first"
        )
