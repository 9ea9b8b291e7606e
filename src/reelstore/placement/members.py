"""Servers as placement sees them: a number, a zone, a weight; and the rule for spreading over zones."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reelstore.domain.errors import InvalidRing

NUMBER_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Member:
    """Describe one server to the ring.

    Args:
        number: small, stable, never reused; 0 to `NUMBER_MAX`.
        zone: servers of one zone may fail together.
        weight: its capacity in bytes; 0 drains it: it stays known, but no partition is placed on it.

    Raises:
        InvalidRing: a number or weight out of its range; a retry does not help.
    """

    number: int
    zone: str
    weight: int

    def __post_init__(self) -> None:
        if not 0 <= self.number <= NUMBER_MAX:
            raise InvalidRing(f"a server's number must be 0 to {NUMBER_MAX}, not {self.number}")
        if self.weight < 0:
            raise InvalidRing(f"the weight of server {self.number} is negative: {self.weight}")


def in_order(members: Iterable[Member]) -> tuple[Member, ...]:
    """Sort members by number, so that no result depends on the order in which they were listed.

    Raises:
        InvalidRing: two have the same number; a retry does not help.
    """
    ordered = tuple(sorted(members, key=lambda member: member.number))
    for member, following in itertools.pairwise(ordered):
        if member.number == following.number:
            raise InvalidRing(f"two servers have the number {member.number}")
    return ordered


def live_members(members: Iterable[Member]) -> tuple[Member, ...]:
    """Return those that may hold shards: every member that is not draining."""
    return tuple(member for member in members if member.weight > 0)


def spread_cap(members: Sequence[Member], width: int) -> int:
    """Return the most shards of a row that one zone must keep: the smallest number with which a row can be filled.

    Three zones for three copies give 1: every shard in a zone of its own. Fewer zones, or zones too small to take
    their part, give more; a single zone gives `width` at most.

    Args:
        members: all servers; those of weight 0 do not count.
        width: slots in a row, at least 1.
    """
    servers_per_zone = Counter(member.zone for member in live_members(members))
    filled = min(width, servers_per_zone.total())
    cap = 1
    while sum(min(servers, cap) for servers in servers_per_zone.values()) < filled:
        cap += 1
    return cap
