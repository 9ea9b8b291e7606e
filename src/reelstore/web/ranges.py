"""HTTP's byte ranges (RFC 9110, section 14): the only module that knows their inclusive form.

Everything else speaks of half-open `[start, stop)`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from reelstore.web.errors import RangeNotSatisfiable
from reelstore.web.limits import RANGES_MAX

_RANGE = re.compile(r"([0-9]*)[ \t]*-[ \t]*([0-9]*)")
_DIGITS_MAX = 18
_BEYOND = 10**_DIGITS_MAX


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `[start, stop)` of some content; never empty."""

    start: int
    stop: int

    @property
    def size_bytes(self) -> int:
        """Return the number of bytes."""
        return self.stop - self.start

    def content_range(self, size_bytes: int) -> str:
        """Return the value of `Content-Range` for this part of content of that size."""
        return f"bytes {self.start}-{self.stop - 1}/{size_bytes}"


def unsatisfied_content_range(size_bytes: int) -> str:
    """Return the value of `Content-Range` of an answer 416."""
    return f"bytes */{size_bytes}"


def parse_range(header: str, size_bytes: int, *, ranges_max: int = RANGES_MAX) -> tuple[Span, ...] | None:
    """Read a `Range` header for content of that size.

    Ranges that hold no byte are left out. Ranges that overlap or touch are joined, and then come in order of
    position; otherwise they stay in the order asked for. So never more bytes are sent than the content has.

    Args:
        header: the header's value.
        size_bytes: the content's size.
        ranges_max: with more ranges than this, all are ignored.

    Returns:
        The parts to send, or None to send the whole content: the unit is not `bytes`, the syntax is wrong (both
        must be ignored: section 14.2), there are too many ranges, or the content is empty (no range of it could be
        described; a client that always sends `Range` then gets 200 and nothing, not an error).

    Raises:
        RangeNotSatisfiable: every range lies behind the end; a retry does not help.
    """
    unit, equals, values = header.partition("=")
    if not equals or unit.strip().lower() != "bytes" or size_bytes == 0:
        return None
    items = [item.strip(" \t") for item in values.split(",", maxsplit=4 * ranges_max)]
    items = [item for item in items if item]  # a list may have empty elements: section 5.6.1.2
    if not items or len(items) > ranges_max:
        return None
    spans: list[Span] = []
    for item in items:
        bounds = _bounds(item, size_bytes)
        if bounds is None:
            return None
        start, stop = bounds
        if start < stop:
            spans.append(Span(start, stop))
    if not spans:
        raise RangeNotSatisfiable(f"the content has {size_bytes} bytes", size_bytes=size_bytes)
    return _joined(spans)


def _bounds(item: str, size_bytes: int) -> tuple[int, int] | None:
    """Return one range clamped to the content, `start >= stop` when it holds no byte; None for wrong syntax."""
    match = _RANGE.fullmatch(item)
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        return max(0, size_bytes - _number(match[2])), size_bytes
    first = _number(match[1])
    if not match[2]:
        return first, size_bytes
    last = _number(match[2])
    if last < first:
        return None
    return first, min(last + 1, size_bytes)


def _number(digits: str) -> int:
    """Return the number, or one beyond any content for more digits than any size has."""
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= _DIGITS_MAX else _BEYOND


def _joined(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Return the spans as they are if no two overlap or touch, else joined and in order of position."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda span: span.start):
        if joined and span.start <= joined[-1].stop:
            joined[-1] = Span(joined[-1].start, max(joined[-1].stop, span.stop))
        else:
            joined.append(span)
    return tuple(joined) if len(joined) < len(spans) else tuple(spans)


@dataclass(frozen=True, slots=True)
class MultipartRanges:
    """Frame several parts of some content as `multipart/byteranges` (RFC 9110, section 14.6).

    Args:
        spans: the parts, in order.
        size_bytes: of the whole content.
        content_type: of the whole content.
        boundary: letters and digits that do not occur in the content: random ones.
    """

    spans: tuple[Span, ...]
    size_bytes: int
    content_type: str
    boundary: str

    @property
    def media_type(self) -> str:
        """Return the value of the answer's `Content-Type`."""
        return f"multipart/byteranges; boundary={self.boundary}"

    def head(self, span: Span) -> bytes:
        """Return what goes before the bytes of a part."""
        return (
            f"\r\n--{self.boundary}\r\nContent-Type: {self.content_type}\r\n"
            f"Content-Range: {span.content_range(self.size_bytes)}\r\n\r\n"
        ).encode("latin-1")

    @property
    def tail(self) -> bytes:
        """Return what goes behind the last part."""
        return f"\r\n--{self.boundary}--\r\n".encode("ascii")

    @property
    def length_bytes(self) -> int:
        """Return the length of the whole answer."""
        return sum(len(self.head(span)) + span.size_bytes for span in self.spans) + len(self.tail)
