"""`Content-Disposition` (RFC 6266, 8187, 7578): writing names of any Unicode text, and reading what clients send."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, unquote_to_bytes

_ATTRIBUTE_CHARACTERS = "!#$&+-.^_`|~"  # RFC 8187, section 3.2.1, besides letters and digits
_UNSAFE_IN_FALLBACK = re.compile(r'[^ -~]|["\\/%*?:<>|]')
_PARAMETER = re.compile(
    r';\s*(?P<name>[^\s=;"]+)\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^;]*))', flags=re.DOTALL
)
_EXTENDED = re.compile(r"(?P<charset>[^']*)'[^']*'(?P<value>.*)", flags=re.DOTALL)


def content_disposition(kind: Literal["inline", "attachment"], filename: str) -> str:
    r"""Return a header value that names a file, safe in a header whatever the name is.

    `filename*` carries the exact name; `filename` is a fallback in ASCII without characters that need escaping or
    that mean something in a path. A pure ASCII name without such characters needs no `filename*`.
    """
    fallback = _UNSAFE_IN_FALLBACK.sub("_", filename)
    value = f'{kind}; filename="{fallback}"'
    if fallback == filename:
        return value
    exact = quote(filename.encode("utf-8", "replace"), safe=_ATTRIBUTE_CHARACTERS)
    return f"{value}; filename*=UTF-8''{exact}"


@dataclass(frozen=True, slots=True)
class Disposition:
    """What a client said about a body or a part of a form.

    Args:
        kind: lower-case, for example `attachment` or `form-data`.
        name: the form field's name, None if absent.
        filename: the file's name, None if absent; an empty one is kept.
    """

    kind: str
    name: str | None
    filename: str | None


def parse_disposition(value: bytes) -> Disposition:
    r"""Read a `Content-Disposition` header as clients really send it.

    Text is UTF-8 (browsers, curl) or else Latin-1. `filename*` is preferred, although RFC 7578 forbids it in forms:
    some clients send it nevertheless. In quoted text `\"` and `\\` are unescaped; `%22`, `%0D` and `%0A` are what
    browsers and curl write for the three characters that they cannot put into a form's name.
    """
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    kind, semicolon, rest = text.partition(";")
    parameters: dict[str, str] = {}
    for match in _PARAMETER.finditer(semicolon + rest):
        content = match["bare"].strip() if match["quoted"] is None else re.sub(r'\\(["\\])', r"\1", match["quoted"])
        parameters.setdefault(match["name"].lower(), content)
    kind = kind.strip().lower()
    filename = _extended(parameters.get("filename*", "")) or parameters.get("filename")
    if kind == "form-data":
        filename = _unescaped(filename)
    return Disposition(kind=kind, name=_unescaped(parameters.get("name")), filename=filename)


def _extended(value: str) -> str | None:
    """Decode RFC 8187's `UTF-8''…`, or return None for what is not it."""
    match = _EXTENDED.fullmatch(value)
    if match is None or match["charset"].lower() not in {"utf-8", "iso-8859-1"}:
        return None
    try:
        return unquote_to_bytes(match["value"]).decode(match["charset"])
    except UnicodeDecodeError:
        return None


def _unescaped(text: str | None) -> str | None:
    """Undo the three percent-escapes of HTML forms (WHATWG HTML, multipart/form-data encoding)."""
    if text is None:
        return None
    return re.sub(r"%(22|0A|0D)", lambda match: chr(int(match[1], 16)), text, flags=re.IGNORECASE)
