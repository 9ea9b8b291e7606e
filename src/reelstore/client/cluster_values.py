"""What the API answers about the cluster, as values; see `reelstore.client.values`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from reelstore.client.capacity_values import Forecast, Garbage, Lost
from reelstore.client.documents import Document, Json
from reelstore.client.plan_values import PlanWarning, planned_warnings


@dataclass(frozen=True, slots=True)
class Server:
    """A storage server.

    Args:
        name: unique and stable.
        url: which driver, and where.
        zone: servers that may fail together share one.
        capacity_bytes, used_bytes: its weight in the ring, and what it held when it was last asked.
        state: `active`, `draining` or `removed`.
        health: `up` or `unreachable`, with `health_reason` in words.
        last_seen_at: when it last answered.
        unreachable_since: None while it answers.
        evicted_at: when it was taken out of the ring because it did not answer.
        remove_when_empty: it is drained in order to be removed.
        empty: it is drained, and a listing proved that nothing on it is needed.
        waiting_for: what keeps a drained server from being empty.
        share: its part of the ring's slots, from 0 to 1.
    """

    name: str
    url: str
    zone: str
    capacity_bytes: int
    used_bytes: int
    state: str
    health: str
    health_reason: str | None
    last_seen_at: datetime | None
    unreachable_since: datetime | None
    evicted_at: datetime | None
    remove_when_empty: bool
    empty: bool
    waiting_for: tuple[str, ...]
    share: float
    document: Json = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Document) -> Server:
        """Read a server, or raise `UnexpectedAnswer`."""
        return cls(
            name=document.text("name"),
            url=document.text("url", ""),
            zone=document.text("zone", ""),
            capacity_bytes=document.whole("capacity_bytes"),
            used_bytes=document.whole("used_bytes", 0),
            state=document.text("state"),
            health=document.text("health"),
            health_reason=document.optional_text("health_reason"),
            last_seen_at=document.time("last_seen_at"),
            unreachable_since=document.time("unreachable_since"),
            evicted_at=document.time("evicted_at"),
            remove_when_empty=document.flag("remove_when_empty", default=False),
            empty=document.flag("empty", default=False),
            waiting_for=document.texts("waiting_for"),
            share=document.number("share", 0.0),
            document=document.fields,
        )


@dataclass(frozen=True, slots=True)
class ChangedServer:
    """A storage server after a change.

    Args:
        server: as it is now.
        plan_id: of the plan that was made for it, and applied.
        epoch: that this began.
        warnings: what the plan warned of.
    """

    server: Server
    plan_id: str
    epoch: int
    warnings: tuple[PlanWarning, ...]

    @classmethod
    def parse(cls, document: Document) -> ChangedServer:
        """Read the answer to a change, or raise `UnexpectedAnswer`."""
        return cls(
            server=Server.parse(document),
            plan_id=document.text("plan_id", ""),
            epoch=document.whole("epoch", 0),
            warnings=planned_warnings(document),
        )


@dataclass(frozen=True, slots=True)
class RingServer:
    """One server's part of a ring: its share of the slots, from 0 to 1, and their number where it is told."""

    name: str
    zone: str
    share: float
    slots: int | None


@dataclass(frozen=True, slots=True)
class Ring:
    """The table from partitions to servers, for one policy.

    Args:
        policy: its name; `kind` says what it does, such as `replicated(2)`.
        epoch: grows by one with each change of the topology.
        partition_bits: there are 2 to the power of these partitions.
        servers: that have a part in it.
        balance: the largest load over the fair one; 1.0 is perfect.
        warnings: what these servers cannot give to the policy, for people.
    """

    policy: str
    kind: str
    epoch: int
    partition_bits: int
    servers: tuple[RingServer, ...]
    balance: float
    warnings: tuple[str, ...]
    document: Json = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Document) -> Ring:
        """Read a ring, or raise `UnexpectedAnswer`."""
        return cls(
            policy=document.text("policy"),
            kind=document.text("kind", ""),
            epoch=document.whole("epoch"),
            partition_bits=document.whole("partition_bits"),
            servers=tuple(
                RingServer(
                    name=server.text("name"),
                    zone=server.text("zone", ""),
                    share=server.number("share", 0.0),
                    slots=None if server.fields.get("slots") is None else server.whole("slots"),
                )
                for server in document.children("servers", "server of the ring")
            ),
            balance=document.number("balance"),
            warnings=document.texts("warnings"),
            document=document.fields,
        )


@dataclass(frozen=True, slots=True)
class Totals:
    """How much is stored: numbers of things, and bytes of one copy of them."""

    videos: int
    video_bytes: int
    trashed: int
    trashed_bytes: int
    chunks: int
    chunk_bytes: int
    open_files: int

    @classmethod
    def parse(cls, document: Document) -> Totals:
        """Read the totals, or raise `UnexpectedAnswer`; what is not told counts as 0."""
        return cls(**{name: document.whole(name, 0) for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class Redundancy:
    """What has fewer shards than it should, as servers do not answer; each number counts in those before it.

    Args:
        partitions_total: parts of the cluster.
        partitions_short: with fewer shards on servers that answer than the policy asks for.
        partitions_without_spare: that may lose no further shard.
        partitions_unreadable: with too few to read what is there.
    """

    partitions_total: int
    partitions_short: int
    partitions_without_spare: int
    partitions_unreadable: int

    @classmethod
    def parse(cls, document: Document) -> Redundancy:
        """Read the counts, or raise `UnexpectedAnswer`; what is not told counts as 0."""
        return cls(**{name: document.whole(name, 0) for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class Scrub:
    """How far the scrub is, which reads and hashes every shard again and again.

    Args:
        partitions_total: parts of the cluster.
        partitions_never: parts that were never scrubbed so far.
        partitions_due: parts that are next.
        oldest_scrub_at: since then all but the `partitions_never` were scrubbed.
        shards_verified, shards_verified_bytes: since the cluster was founded.
    """

    partitions_total: int
    partitions_never: int
    partitions_due: int
    oldest_scrub_at: datetime | None
    shards_verified: int
    shards_verified_bytes: int

    @classmethod
    def parse(cls, document: Document) -> Scrub:
        """Read the progress, or raise `UnexpectedAnswer`; what is not told counts as 0."""
        return cls(
            partitions_total=document.whole("partitions_total", 0),
            partitions_never=document.whole("partitions_never", 0),
            partitions_due=document.whole("partitions_due", 0),
            oldest_scrub_at=document.time("oldest_scrub_at"),
            shards_verified=document.whole("shards_verified", 0),
            shards_verified_bytes=document.whole("shards_verified_bytes", 0),
        )


@dataclass(frozen=True, slots=True)
class Health:
    """How the cluster is.

    Args:
        health: `ok`, `degraded` or `critical`, with `reasons` in words.
        notes: what is under way or waits for somebody, and is no fault by itself.
        servers_up, servers_total: how many storage servers answer, of how many.
        epoch: of the newest ring.
        capacity_bytes, used_bytes: of all servers together.
        totals: how much is stored.
        redundancy: how much of it has fewer shards than it should.
        scrub: when everything was last verified.
        lost, garbage, forecast: what is on no server, what nothing needs, and what still fits.
    """

    health: str
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    servers_up: int
    servers_total: int
    epoch: int
    capacity_bytes: int
    used_bytes: int
    totals: Totals
    redundancy: Redundancy
    scrub: Scrub
    lost: Lost
    garbage: Garbage
    forecast: Forecast
    document: Json = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Document) -> Health:
        """Read the cluster's health, or raise `UnexpectedAnswer`."""
        return cls(
            health=document.text("health"),
            reasons=document.texts("reasons"),
            notes=document.texts("notes"),
            servers_up=document.whole("servers_up"),
            servers_total=document.whole("servers_total"),
            epoch=document.whole("epoch", 0),
            capacity_bytes=document.whole("capacity_bytes", 0),
            used_bytes=document.whole("used_bytes", 0),
            totals=Totals.parse(Document.of(document.fields.get("totals", {}), "count of what is stored")),
            redundancy=Redundancy.parse(Document.of(document.fields.get("redundancy", {}), "count of what is short")),
            scrub=Scrub.parse(Document.of(document.fields.get("scrub", {}), "progress of the scrub")),
            lost=Lost.parse(Document.of(document.fields.get("lost", {}), "count of what is lost")),
            garbage=Garbage.parse(Document.of(document.fields.get("garbage", {}), "count of what was freed")),
            forecast=Forecast.parse(Document.of(document.fields.get("forecast", {}), "forecast")),
            document=document.fields,
        )


@dataclass(frozen=True, slots=True)
class Rebalance:
    """How far the cluster is in moving and mending shards.

    Args:
        state: `idle`, `running`, `paused` or `blocked`, with `reasons` in words.
        epoch: of the newest ring.
        partitions_total, partitions_done: how many lie where they should, of how many.
        bytes_total, bytes_moved: of the present run; of the last one, when nothing is left.
        rate_bytes_per_second, eta_seconds: None when nothing is measured.
        garbage_bytes: of shards that nothing needs any more, and that are not deleted yet.
        paused, bytes_per_second, concurrency: what is set for all workers; None for no limit.
        workers: processes that take part.
    """

    state: str
    reasons: tuple[str, ...]
    epoch: int
    partitions_total: int
    partitions_done: int
    bytes_total: int
    bytes_moved: int
    rate_bytes_per_second: float | None
    eta_seconds: float | None
    garbage_bytes: int
    paused: bool
    bytes_per_second: int | None
    concurrency: int | None
    workers: int
    document: Json = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Document) -> Rebalance:
        """Read the progress of reconciling, or raise `UnexpectedAnswer`."""
        return cls(
            state=document.text("state"),
            reasons=document.texts("reasons"),
            epoch=document.whole("epoch", 0),
            partitions_total=document.whole("partitions_total", 0),
            partitions_done=document.whole("partitions_done", 0),
            bytes_total=document.whole("bytes_total", 0),
            bytes_moved=document.whole("bytes_moved", 0),
            rate_bytes_per_second=document.optional_number("rate_bytes_per_second"),
            eta_seconds=document.optional_number("eta_seconds"),
            garbage_bytes=document.whole("garbage_bytes", 0),
            paused=document.text("state") == "paused",
            bytes_per_second=document.optional_whole("bytes_per_second"),
            concurrency=document.optional_whole("concurrency"),
            workers=document.whole("workers", 0),
            document=document.fields,
        )
