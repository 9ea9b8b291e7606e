"""Names from a server, made safe as names of local files."""

from __future__ import annotations

import re
import unicodedata

# File systems allow 255 bytes (or UTF-16 units); `.part.json` and a number must still fit.
NAME_BYTES_MAX = 230
_EXTENSION_BYTES_MAX = 16

_SEPARATORS_AND_WILDCARDS = frozenset('/\\:*?"<>|')
# Control characters, invisible ones (which can turn the text around, to hide an extension), lone surrogates,
# and line and paragraph separators.
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = frozenset("\u200c\u200d")  # invisible, harmless, and part of emoji and of several scripts
_RESERVED_ON_WINDOWS = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\..*)?", re.IGNORECASE)


def safe_file_name(name: str, *, fallback: str = "video") -> str:
    """Return a file name as near to `name` as is safe in any folder of any common file system.

    The result is one path component, not empty, neither hidden nor like an option (no leading `.` or `-`), has at
    most `NAME_BYTES_MAX` bytes of UTF-8, and no character or device name that Windows forbids. A safe name comes
    back unchanged, so that the function is idempotent.

    Args:
        name: any text.
        fallback: a safe name for when nothing is left.
    """
    safe = "".join("_" if _is_unsafe(character) else character for character in name).strip()
    if safe[:1] in {".", "-", "~"}:
        safe = "_" + safe[1:]
    safe = _shortened(safe)
    if _RESERVED_ON_WINDOWS.fullmatch(safe):
        safe = _shortened("_" + safe)
    return safe if safe.strip("_") else fallback


def _is_unsafe(character: str) -> bool:
    if character in _SEPARATORS_AND_WILDCARDS:
        return True
    return unicodedata.category(character) in _UNSAFE_CATEGORIES and character not in _JOINERS


def _shortened(name: str) -> str:
    """Cut the stem, keep the extension, never cut a character in two, and end with neither a dot nor a blank."""
    name = name.rstrip(". ")
    if len(name.encode()) <= NAME_BYTES_MAX:
        return name
    stem, dot, extension = name.rpartition(".")
    suffix = dot + extension
    if not stem or len(suffix.encode()) > _EXTENSION_BYTES_MAX:
        stem, suffix = name, ""
    room = NAME_BYTES_MAX - len(suffix.encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip(". ") + suffix
