"""A second policy, put into the metadata as a service of the future will do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from reelstore.domain.policy import Policy
from reelstore.placement.builder import first_ring
from reelstore.repositories.interface import Metadata
from reelstore.services.epochs import members_of


async def add_policy(
    metadata: Metadata, policy: Policy, *, partition_bits: int, draw: Callable[[int], NDArray[np.uint64]]
) -> None:
    """Begin an epoch in which there is another policy, and all else is as it was."""
    async with metadata.unit_of_work() as uow:
        newest = await uow.rings.get(await uow.rings.head(lock=True))
        assert newest is not None
        epoch = newest.epoch + 1
        ring = first_ring(
            policy.name,
            members_of(await uow.servers.list()),
            partition_bits=partition_bits,
            width=policy.width,
            draw=draw,
            epoch=epoch,
        )
        others = {name: replace(other, epoch=epoch) for name, other in newest.rings.items()}
        await uow.policies.add(policy)
        await uow.rings.add(newest.followed_by({**others, policy.name: ring}), reason="a policy", at=await uow.now())
        await uow.partitions.add(policy.name, ring.partitions, epoch=epoch)
        await uow.commit()
