"""`reelstore capacity`: how full it is, and for how long it lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from reelstore.cli import output
from reelstore.cli.connection import DEFAULT_URL, Json, Token, Url, connect
from reelstore.cli.output import Column
from reelstore.cli.quantities import percent, size

if TYPE_CHECKING:
    from reelstore.client import Capacity, Forecast


def capacity(url: Url = DEFAULT_URL, token: Token = None, json: Json = False) -> None:
    """Tell how full the servers are, and when they will be.

    The trend is that of the last 14 days. HEADROOM is what fits until a server is 85 % full: the rest is for repairs
    and moves.
    """
    with connect(url, token) as client:
        told = client.capacity()
    if json:
        output.document(told.document)
        return
    output.table(
        (
            Column("SERVER"), Column("USED", "right"), Column("CAPACITY", "right"), Column("FULL", "right"),
            Column("FREE", "right"), Column("HEADROOM", "right", optional=True), Column("A DAY", "right"),
            Column("DAYS LEFT", "right"), Column("STATE", optional=True),
        ),
        _rows(told),
    )  # fmt: skip
    output.line("")
    output.line(forecast(told.forecast))


def _rows(told: Capacity) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        (
            each.name, size(each.used_bytes), size(each.capacity_bytes), _full(each.used_bytes, each.capacity_bytes),
            size(each.free_bytes), size(each.headroom_bytes), _trend(each.trend_bytes_per_day),
            _days(each.days_to_full), each.state,
        )
        for each in told.servers
    ]  # fmt: skip
    if len(rows) > 1:
        rows.append(
            (
                "all", size(told.used_bytes), size(told.capacity_bytes), _full(told.used_bytes, told.capacity_bytes),
                size(told.free_bytes), size(told.headroom_bytes), _trend(told.forecast.trend_bytes_per_day),
                _days(told.days_to_full_by_sum), "",
            )
        )  # fmt: skip
    return rows


def forecast(told: Forecast) -> str:
    """Say in one line what still fits and for how long; nothing where an older gateway does not tell."""
    if told.usable_bytes is None:
        return ""
    fits = f"{size(told.usable_bytes)} of video still fit"
    if told.usable_bytes == 0 and told.first_full is not None:
        return f"no video fits any more: {told.first_full} is full"
    if told.trend_bytes_per_day is None:
        return f"{fits}; too little is known yet to say for how long"
    if told.days_to_full is None:
        return f"{fits}; it is not filling up"
    rate = f"{_trend(told.trend_bytes_per_day)} a day"
    return f"{fits}; {told.first_full} is full in {_days(told.days_to_full)} days, at {rate}"


def _full(used_bytes: int, capacity_bytes: int) -> str:
    return percent(used_bytes / capacity_bytes) if capacity_bytes else "-"


def _trend(bytes_per_day: float | None) -> str:
    if bytes_per_day is None:
        return "-"
    return f"{'+' if bytes_per_day > 0 else '-' if bytes_per_day < 0 else ''}{size(abs(bytes_per_day))}"


def _days(days: float | None) -> str:
    if days is None:
        return "-"
    return f"{days:.1f}" if days < 10 else f"{days:,.0f}"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(capacity)
