"""What `/metrics` tells Prometheus: requests as they are counted here, and what the services know at the moment.

`docs/metrics.md` lists every metric; a test holds it to this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Metric,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Receive, Scope, Send

from reelstore import __version__
from reelstore.domain.errors import ReelstoreError
from reelstore.domain.server import ServerHealth
from reelstore.services.capacity import Capacity
from reelstore.services.rebalance_status import RebalanceState, RebalanceStatus
from reelstore.services.status import ClusterStatus
from reelstore.web.application import Application

SECONDS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
NO_ROUTE = "none"
ROUTE = "reelstore.route"
"""The key, in an ASGI scope, of a dictionary that gets the route's path under the same key."""

HEALTHS = ("ok", "degraded", "critical")


class RequestMetrics:
    """Count requests by route, method and status, and how long they took.

    A label is the route as it is declared, never a path as it was sent: their number is bounded.
    """

    def __init__(self) -> None:
        # When each series began is nobody's question, and doubles their number.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no types for it
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "reelstore_http_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "reelstore_http_request_seconds",
            "From a request's headers to the end of its answer.",
            ["method", "route"],
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)

    def observe(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that has ended."""
        known = method if method in METHODS else "other"
        self._requests.labels(known, route, str(status) if status else "none").inc()
        self._seconds.labels(known, route).observe(seconds)


class NotedRoute:
    """Note which route serves a request, for whoever counts it further out; the innermost layer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI asks."""
        try:
            await self._app(scope, receive, send)
        finally:
            if ROUTE in scope and "route" in scope:
                scope[ROUTE][ROUTE] = getattr(scope["route"], "path", NO_ROUTE)


async def scrape(application: Application, requests: RequestMetrics) -> bytes:
    """Return everything in Prometheus's text format.

    While the metadata does not answer, what this process knows by itself is told all the same.
    """
    streams = _gauge("event_streams", "Clients that follow the events.", application.feed.followers)
    found: list[Metric] = [_info(), streams]
    try:
        status, capacity = await application.health.status(), await application.capacity.report()
        rebalance = await application.rebalancer.status()
    except ReelstoreError:
        found.append(_gauge("metadata_up", "Whether the metadata answers.", 0))
    else:
        found.append(_gauge("metadata_up", "Whether the metadata answers.", 1))
        found += [*_of_status(status), *_of_capacity(capacity), *_of_servers(capacity), *_of_rebalance(rebalance)]
        held = application.clock_guard.holds() is not None
        found.append(_gauge("clock_jumped", "Whether nothing is dropped for its age: the clock has jumped.", held))
    return generate_latest(cast("Collector", _Joined([*found, *requests.registry.collect()])))


class _Joined:
    """Be what the library asks for its metrics."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"reelstore_{name}", text, value=value)


def _one_of(name: str, text: str, label: str, values: Iterable[str], present: str) -> Metric:
    """Return a gauge of each value, 1 for the present one: how Prometheus tells states."""
    family = GaugeMetricFamily(f"reelstore_{name}", text, labels=[label])
    for value in values:
        family.add_metric([value], value == present)
    return family


def _info() -> Metric:
    family = GaugeMetricFamily("reelstore_build_info", "The version that runs; always 1.", labels=["version"])
    family.add_metric([__version__], 1)
    return family


def _of_status(status: ClusterStatus) -> Iterator[Metric]:
    totals = status.totals
    yield _one_of("health", "How the cluster is.", "health", HEALTHS, status.health)
    yield _gauge("servers", "Servers that are not removed.", status.servers_total)
    yield _gauge("servers_up", "Servers that answer.", status.servers_up)
    yield _gauge("lost_chunks", "Chunks that are on no server.", status.lost_chunks)
    yield _gauge("videos", "Videos, without those in the trash.", totals.videos)
    yield _gauge("video_bytes", "Their bytes, each video counted by itself.", totals.video_bytes)
    yield _gauge("trashed_videos", "Videos in the trash.", totals.trashed)
    yield _gauge("trashed_video_bytes", "Their bytes.", totals.trashed_bytes)
    yield _gauge("chunks", "Chunks.", totals.chunks)
    yield _gauge("chunk_bytes", "Bytes of one copy of every chunk.", totals.chunk_bytes)
    yield _gauge("open_files", "Uploads that are under way.", totals.open_files)
    for counter, count in status.counts.items():
        yield CounterMetricFamily(f"reelstore_{counter}", _COUNTED.get(counter, _in_words(counter)), value=count)


_COUNTED: Mapping[str, str] = {
    "moving_seconds": "Seconds for which something was moved.",
    "chunks_collected": "Chunks that nothing referred to any more.",
    "garbage_shards_freed": "Shards deleted because no chunk needed them.",
    "misplaced_shards_freed": "Shards deleted because they had been moved elsewhere.",
}


def _in_words(counter: str) -> str:
    """Return a help text for a counter whose name says it."""
    words = counter.replace("_", " ")
    return f"Bytes of {words.removesuffix(' bytes')}." if counter.endswith("_bytes") else f"{words.capitalize()}."


def _of_capacity(capacity: Capacity) -> Iterator[Metric]:
    yield _gauge("usable_bytes", "Bytes of video that still fit.", capacity.usable_bytes)
    if capacity.trend_bytes_per_day is not None:
        yield _gauge("trend_bytes_per_day", "How fast all servers together fill.", capacity.trend_bytes_per_day)
    if capacity.days_to_full is not None:
        yield _gauge("days_to_full", "Days until the first server is full.", capacity.days_to_full)


def _of_servers(capacity: Capacity) -> Iterator[Metric]:
    labels = ["server", "zone", "state"]
    up = GaugeMetricFamily("reelstore_server_up", "Whether the server answers.", labels=labels)
    total = GaugeMetricFamily("reelstore_server_capacity_bytes", "Its weight in the ring.", labels=labels)
    used = GaugeMetricFamily("reelstore_server_used_bytes", "Bytes of shards on it.", labels=labels)
    free = GaugeMetricFamily("reelstore_server_free_bytes", "Bytes that it still takes.", labels=labels)
    for server in capacity.servers:
        named = [server.name, server.zone, server.state]
        up.add_metric(named, server.health is ServerHealth.UP)
        total.add_metric(named, server.capacity_bytes)
        used.add_metric(named, server.used_bytes)
        free.add_metric(named, server.free_bytes)
    yield from (up, total, used, free)


def _of_rebalance(status: RebalanceStatus) -> Iterator[Metric]:
    unsettled = status.partitions_total - status.partitions_done
    yield _one_of("rebalance_state", "What is going on.", "state", RebalanceState, status.state)
    yield _gauge("ring_epoch", "The epoch of the newest ring.", status.epoch)
    yield _gauge("partitions", "Partitions of all rings.", status.partitions_total)
    yield _gauge("partitions_unsettled", "Partitions not proved to lie where the newest ring wants them.", unsettled)
    yield _gauge("rebalance_bytes", "Bytes that the present run moves in all.", status.bytes_total)
    yield _gauge("rebalance_moved_bytes", "Bytes that it has moved.", status.bytes_moved)
    yield _gauge("rebalance_bytes_per_second", "How fast, lately.", status.rate_bytes_per_second)
    yield _gauge("garbage_bytes", "Bytes that nothing needs, as last listed, not deleted yet.", status.garbage_bytes)
    yield _gauge("workers", "Processes that move and mend.", status.workers)
