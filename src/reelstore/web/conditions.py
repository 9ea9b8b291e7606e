"""Conditional requests (RFC 9110, section 13): entity tags and dates. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from enum import Enum

_TAG = re.compile(r'(?P<weak>W/)?"(?P<quoted>[^"]*)"|(?P<bare>[^\s,"]+)')
_TAGS_LENGTH_MAX = 16 * 1024
_DATE_LENGTH_MAX = 64


class Outcome(Enum):
    """What the conditions of a request say."""

    PROCEED = "proceed"
    NOT_MODIFIED = "not modified"
    FAILED = "failed"


def http_date(moment: datetime) -> str:
    """Return the moment as an HTTP date, cut to the second (RFC 9110, section 5.6.7)."""
    return format_datetime(moment.astimezone(UTC).replace(microsecond=0), usegmt=True)


def parse_http_date(text: str) -> datetime | None:
    """Read an HTTP date, or return None for what is none (which must then be ignored)."""
    if len(text) > _DATE_LENGTH_MAX:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        return None


def tag_matches(header: str, etag: str, *, strong: bool = False) -> bool:
    """Return whether a list of entity tags, or `*`, names this one.

    Lenient on purpose: a tag without quotes counts as the tag with quotes, and (unless `strong`) a weak tag as a
    strong one, because proxies that compress make tags weak, and because people type tags in shells.

    Args:
        header: the value of `If-Match`, `If-None-Match` or `If-Range`.
        etag: the present tag with its quotes.
        strong: weak tags never match.
    """
    if header.strip() == "*":
        return True
    if len(header) > _TAGS_LENGTH_MAX:
        return False
    opaque = etag.removeprefix("W/").strip('"')
    return any(
        opaque == (match["bare"] if match["quoted"] is None else match["quoted"]) and not (strong and match["weak"])
        for match in _TAG.finditer(header)
    )


def evaluate(headers: Mapping[str, str], *, etag: str, last_modified: datetime) -> Outcome:
    """Evaluate the preconditions of a GET or HEAD in the order of section 13.2.2.

    Args:
        headers: the request's, by lower-case name.
        etag: the present tag with its quotes.
        last_modified: in UTC.
    """
    moment = last_modified.replace(microsecond=0)
    if (if_match := headers.get("if-match")) is not None:
        if not tag_matches(if_match, etag):
            return Outcome.FAILED
    elif (since := parse_http_date(headers.get("if-unmodified-since", ""))) is not None and moment > since:
        return Outcome.FAILED
    if (if_none_match := headers.get("if-none-match")) is not None:
        if tag_matches(if_none_match, etag):
            return Outcome.NOT_MODIFIED
    elif (since := parse_http_date(headers.get("if-modified-since", ""))) is not None and moment <= since:
        return Outcome.NOT_MODIFIED
    return Outcome.PROCEED


def range_applies(if_range: str | None, *, etag: str, last_modified: datetime) -> bool:
    """Return whether a `Range` may be honoured in spite of `If-Range` (section 13.1.5).

    A tag must be the same, strongly; a date must be exactly the last modification's. Anything else means that the
    client holds a part of something else: it gets the whole content.
    """
    if if_range is None:
        return True
    moment = parse_http_date(if_range)
    if moment is not None:
        return moment == last_modified.replace(microsecond=0)
    return if_range.strip() != "*" and tag_matches(if_range, etag, strong=True)
