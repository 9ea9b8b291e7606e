"""What both implementations must agree on to list videos alike: how text is compared, and which queries make sense."""

from __future__ import annotations

import unicodedata
from datetime import datetime
from operator import attrgetter

from reelstore.domain.errors import InvalidCursor, InvalidInput
from reelstore.domain.video import Video
from reelstore.repositories.interface import SORTS, VideoQuery

SortValue = str | int | datetime

_SEPARATOR = "\x1f"  # no field can hold it: control characters are refused
_INTEGER_MAX = 2**63 - 1
_SORT_TYPES: dict[str, type] = {
    "created_at": datetime,
    "updated_at": datetime,
    "name": str,
    "title": str,
    "size_bytes": int,
}


def fold(text: str) -> str:
    """Make text comparable: canonical caseless matching (Unicode 3.13, D145), composed again.

    `STRASSE` and `straße` become equal, and so do the two ways to write `é`.
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def search_text(video: Video) -> str:
    """Return the text that a query's words are looked for in; no word matches across two fields."""
    return _SEPARATOR.join(map(fold, (video.name, video.title, video.description, *video.tags)))


def sort_key(video: Video, sort: str) -> tuple[SortValue, str]:
    """Return the video's place in that order; ties go by id."""
    value: SortValue = attrgetter(sort)(video)
    return value, video.id


def check_query(query: VideoQuery) -> None:
    """Refuse a query that makes no sense.

    Raises:
        InvalidInput: an unknown sort, or a limit below 1; a retry does not help.
        InvalidCursor: `after` is not of the type by which the list is sorted; a retry does not help.
    """
    if query.sort not in SORTS:
        raise InvalidInput(f"sort must be one of {', '.join(SORTS)}", field="sort")
    if query.limit < 1:
        raise InvalidInput("limit must be 1 or more", field="limit")
    if query.after is None:
        return
    value, _ = query.after
    if type(value) is not _SORT_TYPES[query.sort]:
        raise InvalidCursor("the cursor belongs to a list in another order", field="cursor")
    if isinstance(value, datetime) and value.tzinfo is None:
        raise InvalidCursor("the cursor's time has no zone", field="cursor")
    if isinstance(value, int) and abs(value) > _INTEGER_MAX:
        raise InvalidCursor("the cursor's number is too large", field="cursor")
