"""`reelstore status`: how the cluster is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from reelstore.cli import output
from reelstore.cli.capacity import forecast
from reelstore.cli.connection import DEFAULT_URL, Json, Token, Url, connect
from reelstore.cli.quantities import count, local_time, percent, size
from reelstore.cli.rebalance import moved

if TYPE_CHECKING:
    from reelstore.client import Garbage, Lost, Rebalance, Redundancy, Scrub, Server


def status(url: Url = DEFAULT_URL, token: Token = None, json: Json = False) -> None:
    """Tell how the cluster is.

    Its health with reasons, its servers, how full it is, and what is being moved or mended.
    """
    with connect(url, token) as client:
        health, rebalance, servers = client.health(), client.rebalance(), client.servers()
    if json:
        output.document({"health": health.document, "rebalance": rebalance.document})
        return
    fill = f" ({percent(health.used_bytes / health.capacity_bytes)})" if health.capacity_bytes else ""
    output.fields(
        [
            ("health", "\n".join((health.health, *health.reasons))),
            ("under way", "\n".join(health.notes)),
            ("servers", f"{health.servers_up} of {health.servers_total} up"),
            ("not up", "\n".join(_complaint(server) for server in servers if server.health != "up")),
            ("redundancy", _short(health.redundancy)),
            ("disks", f"{size(health.used_bytes)} of {size(health.capacity_bytes)} used{fill}"),
            ("videos", f"{health.totals.videos:,}, {size(health.totals.video_bytes)}"),
            (
                "trash",
                f"{health.totals.trashed:,}, {size(health.totals.trashed_bytes)}" if health.totals.trashed else "",
            ),
            ("forecast", forecast(health.forecast)),
            ("lost", _lost(health.lost)),
            ("garbage", f"{size(health.garbage.present_bytes)} not freed yet" if health.garbage.present_bytes else ""),
            ("freed", _freed(health.garbage)),
            ("epoch", str(health.epoch)),
            ("rebalance", _progress(rebalance)),
            ("scrub", _scrubbed(health.scrub)),
            ("server", client.url),
        ]
    )


def _complaint(server: Server) -> str:
    since = f", last seen {local_time(server.last_seen_at)}" if server.last_seen_at else ""
    return f"{server.name}: {server.health_reason or server.health}{since}"


def _short(redundancy: Redundancy) -> str:
    """Say how much has fewer shards than it should while servers do not answer; empty where all is as it should be."""
    if not redundancy.partitions_short:
        return ""
    total = count(redundancy.partitions_total, "partition")
    lines = [f"too few shards in {redundancy.partitions_short:,} of {total}, until all servers answer or it is mended"]
    if redundancy.partitions_without_spare:
        lines.append(f"none to spare in {redundancy.partitions_without_spare:,} of them")
    if redundancy.partitions_unreadable:
        lines.append(f"what is in {redundancy.partitions_unreadable:,} of them cannot be read now")
    return "\n".join(lines)


def _progress(rebalance: Rebalance) -> str:
    lines = [rebalance.state]
    if rebalance.state != "idle":
        lines.append(f"{rebalance.partitions_done:,} of {count(rebalance.partitions_total, 'partition')} settled")
    if rebalance.bytes_total:
        lines.append(f"moved {moved(rebalance)}")
    return "\n".join((*lines, *rebalance.reasons))


def _lost(lost: Lost) -> str:
    if not lost.chunks:
        return ""
    return "\n".join((f"{count(lost.chunks, 'chunk')}; parts of these videos cannot be read:", *lost.videos.values()))


def _freed(garbage: Garbage) -> str:
    """Say what was freed since the cluster was founded."""
    lines = [
        (garbage.freed_shards, f"{size(garbage.freed_bytes)} in {count(garbage.freed_shards, 'shard')} of garbage"),
        (garbage.expired_uploads, count(garbage.expired_uploads, "expired upload")),
        (garbage.purged_videos, count(garbage.purged_videos, "purged video")),
    ]
    return ", ".join(line for number, line in lines if number)


def _scrubbed(scrub: Scrub) -> str:
    """Say since when every shard was read and hashed, and how much is next."""
    if not scrub.partitions_total:
        return ""  # an older gateway
    never, due = scrub.partitions_never, scrub.partitions_due
    done = scrub.partitions_total - never
    since = f"everything verified since {local_time(scrub.oldest_scrub_at)}"
    if never:
        since = f"{done:,} of {count(scrub.partitions_total, 'partition')} verified so far"
    return f"{since}; {due - never:,} due again" if due > never else since


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)
