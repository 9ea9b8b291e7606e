"""Query strings, strictly: text in them is UTF-8 or refused, never repaired into something else. Pure."""

from __future__ import annotations

from urllib.parse import quote_plus, unquote_to_bytes

from reelstore.domain.errors import InvalidInput
from reelstore.web.errors import QueryTooLong
from reelstore.web.limits import QUERY_PARAMETERS_MAX, QUERY_STRING_BYTES_MAX


def parse_query_string(raw: bytes) -> list[tuple[str, str]]:
    """Read `name=value` pairs in order: percent-encoded UTF-8, or plain UTF-8 as shells send it; `+` is a blank.

    Raises:
        QueryTooLong: more bytes than the limit; a retry does not help.
        InvalidInput: too many parameters, or one that is not UTF-8; a retry does not help.
    """
    if len(raw) > QUERY_STRING_BYTES_MAX:
        raise QueryTooLong(
            f"the query string has more than {QUERY_STRING_BYTES_MAX} bytes", limit=QUERY_STRING_BYTES_MAX
        )
    pairs = [pair for pair in raw.split(b"&") if pair]
    if len(pairs) > QUERY_PARAMETERS_MAX:
        raise InvalidInput(f"the query string has more than {QUERY_PARAMETERS_MAX} parameters")
    return [_pair(pair) for pair in pairs]


def canonical_query_string(raw: bytes) -> bytes:
    """Return the same parameters in percent-encoded ASCII, which any parser reads alike. Raises as the parser."""
    return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in parse_query_string(raw)).encode(
        "ascii"
    )


def _pair(pair: bytes) -> tuple[str, str]:
    name, _, value = pair.partition(b"=")
    try:
        field = _decoded(name)
    except UnicodeDecodeError:
        raise InvalidInput("a query parameter's name is not UTF-8") from None
    try:
        return field, _decoded(value)
    except UnicodeDecodeError:
        raise InvalidInput(f"the query parameter {field!r} is not UTF-8", field=field) from None


def _decoded(raw: bytes) -> str:
    return unquote_to_bytes(raw.replace(b"+", b" ")).decode()
