"""Pages of listings, and the opaque cursors between them."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeGuard, TypeVar

from reelstore.domain.errors import InvalidCursor, InvalidInput

Item = TypeVar("Item", covariant=True)  # noqa: PLC0105 - the item of a page

PAGE_SIZE_MAX = 1000
CURSOR_LENGTH_MAX = 8192

Value = str | int | datetime


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some items, and where the next ones begin: None at the end."""

    items: tuple[Item, ...]
    next_cursor: str | None


def check_limit(limit: int) -> int:
    """Return a page's size, or raise `InvalidInput` when it is out of its range (a retry does not help)."""
    if not 1 <= limit <= PAGE_SIZE_MAX:
        raise InvalidInput(f"limit must be 1 to {PAGE_SIZE_MAX}, not {limit}", field="limit")
    return limit


def encode_cursor(listing: str, value: Value, key: str) -> str:
    """Make the cursor of a listing that goes on after this sort value and key."""
    kind, plain = ("t", value.isoformat()) if isinstance(value, datetime) else ("v", value)
    text = json.dumps([listing, kind, plain, key], separators=(",", ":"), ensure_ascii=True)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(listing: str, cursor: str) -> tuple[Value, str]:
    """Read a cursor of this listing.

    Raises:
        InvalidCursor: it is none, or another listing's; a retry does not help.
    """
    wrong = InvalidCursor("the cursor is not one of this listing, with this sort order", field="cursor")
    if len(cursor) > CURSOR_LENGTH_MAX or not cursor.isascii():
        raise wrong
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        named, kind, value, key = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if kind == "t":
            value = datetime.fromisoformat(value)
        str(value).encode()  # a lone surrogate would fail in the database
        str(key).encode()
    except (binascii.Error, ValueError, TypeError, RecursionError) as error:
        raise wrong from error
    if named != listing or not isinstance(key, str) or not _is_value(value):
        raise wrong
    return value, key


def _is_value(value: object) -> TypeGuard[Value]:
    match value:
        case bool():
            return False
        case int():
            return 0 <= value < 2**63
        case datetime():
            return value.tzinfo is not None
        case _:
            return isinstance(value, str)
