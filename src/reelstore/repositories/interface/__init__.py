"""The ports of the metadata. `VideoRepository` is the one that the mission names; the others are its sisters.

`tests/contract/test_repositories_*.py` is the definition: the dictionary and SQL pass the same suite.

All work happens inside a unit of work, which is rolled back unless committed:

    async with metadata.unit_of_work() as uow:
        ...
        await uow.commit()

Units of work that may write come one after the other; only what is transacted runs beside other such work
(`Metadata.transact`). Locks taken here are held until the end. Every method may raise `MetadataUnavailable` (a retry
of the whole unit can help). A write that a constraint refuses raises `IntegrityViolation`, a defect of the caller.
After either, the unit can only be rolled back.
"""

from __future__ import annotations

from reelstore.repositories.interface.operations import (
    ControlRepository,
    CounterRepository,
    EventRepository,
    KeptPlan,
    Lease,
    LeaseRepository,
    Need,
    NeedRepository,
    Partition,
    PlanRepository,
    RebalanceControl,
    UsageRepository,
    UsageSample,
)
from reelstore.repositories.interface.topology import (
    Cluster,
    ClusterRepository,
    PartitionRepository,
    PartitionState,
    PolicyRepository,
    RingRecord,
    RingRepository,
    ScrubTimes,
    ServerRepository,
)
from reelstore.repositories.interface.unit import (
    Metadata,
    UnitOfWork,
)
from reelstore.repositories.interface.videos import (
    SORTS,
    ChunkRepository,
    FileRepository,
    IdempotencyRepository,
    NewChunk,
    Totals,
    TransferRepository,
    VideoQuery,
    VideoRepository,
)

__all__ = [
    "SORTS",
    "ChunkRepository",
    "Cluster",
    "ClusterRepository",
    "ControlRepository",
    "CounterRepository",
    "EventRepository",
    "FileRepository",
    "IdempotencyRepository",
    "KeptPlan",
    "Lease",
    "LeaseRepository",
    "Metadata",
    "Need",
    "NeedRepository",
    "NewChunk",
    "Partition",
    "PartitionRepository",
    "PartitionState",
    "PlanRepository",
    "PolicyRepository",
    "RebalanceControl",
    "RingRecord",
    "RingRepository",
    "ScrubTimes",
    "ServerRepository",
    "Totals",
    "TransferRepository",
    "UnitOfWork",
    "UsageRepository",
    "UsageSample",
    "VideoQuery",
    "VideoRepository",
]
