"""Media types: which one content gets, and which are safe in a header. Pure: no file of the system is consulted."""

from __future__ import annotations

import re

from reelstore.web.limits import CONTENT_TYPE_LENGTH_MAX

UNKNOWN = "application/octet-stream"

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 -- a pattern of RFC 9110's `token`, no secret
_MEDIA_TYPE = re.compile(rf'{_TOKEN}/{_TOKEN}(?:\s*;\s*{_TOKEN}=(?:{_TOKEN}|"[\x20-\x21\x23-\x5b\x5d-\x7e]*"))*')

# What says nothing about the content: curl sends the second with `--data-binary` unless told otherwise.
_UNTOLD = {"", UNKNOWN, "application/x-www-form-urlencoded", "binary/octet-stream"}

_BY_EXTENSION = {
    "3gp": "video/3gpp",
    "avi": "video/x-msvideo",
    "flv": "video/x-flv",
    "m2ts": "video/mp2t",
    "m4a": "audio/mp4",
    "m4v": "video/mp4",
    "mkv": "video/matroska",
    "mov": "video/quicktime",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "mpeg": "video/mpeg",
    "mpg": "video/mpeg",
    "mts": "video/mp2t",
    "mxf": "application/mxf",
    "oga": "audio/ogg",
    "ogg": "audio/ogg",
    "ogv": "video/ogg",
    "opus": "audio/ogg",
    "ts": "video/mp2t",
    "vtt": "text/vtt",
    "wav": "audio/wav",
    "webm": "video/webm",
    "wmv": "video/x-ms-wmv",
}


def media_type(told: str | None, *, name: str) -> str:
    """Return the type of content: as told when that says something, else by the name's extension.

    What is malformed, or too long for a header, counts as not told.
    """
    told = (told or "").strip()
    if essence(told) not in _UNTOLD and is_media_type(told):
        return told
    return _BY_EXTENSION.get(name.rpartition(".")[2].lower(), UNKNOWN)


def is_media_type(text: str) -> bool:
    """Return whether the text is a media type with optional parameters, safe as a header's value."""
    return len(text) <= CONTENT_TYPE_LENGTH_MAX and _MEDIA_TYPE.fullmatch(text) is not None


def essence(content_type: str) -> str:
    """Return type and subtype in lower case, without parameters."""
    return content_type.partition(";")[0].strip().lower()
