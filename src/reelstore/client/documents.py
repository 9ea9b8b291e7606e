"""Reading JSON answers leniently: what is needed is checked, what is unknown is passed over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reelstore.client.errors import UnexpectedAnswer

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Document:
    """Read fields of a JSON object by type.

    Every method raises `UnexpectedAnswer` (a retry does not help) when the field has another type, or is absent or
    null and there is no default.

    Args:
        fields: the object.
        what: named in errors, such as `video`.
    """

    fields: Json
    what: str

    @classmethod
    def of(cls, value: object, what: str) -> Document:
        """Return the value as a document, if it is a JSON object."""
        if not isinstance(value, Mapping):
            raise UnexpectedAnswer(f"the server sent a {what} that is no JSON object")
        return cls(value, what)

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string."""
        return str(self._read(key, str, default))

    def optional_text(self, key: str) -> str | None:
        """Return a string, or None when it is absent or null."""
        return None if self.fields.get(key) is None else self.text(key)

    def whole(self, key: str, default: int | None = None) -> int:
        """Return an integer."""
        return int(self._read(key, int, default))

    def optional_whole(self, key: str) -> int | None:
        """Return a whole number, or None where there is none."""
        return None if self.fields.get(key) is None else self.whole(key)

    def number(self, key: str, default: float | None = None) -> float:
        """Return a number, whole or not."""
        return float(self._read(key, (int, float), default))

    def optional_number(self, key: str) -> float | None:
        """Return a number, or None when it is absent or null."""
        return None if self.fields.get(key) is None else self.number(key)

    def flag(self, key: str, default: bool | None = None) -> bool:  # noqa: FBT001 - a default's type is the field's
        """Return a boolean."""
        return bool(self._read(key, bool, default))

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings; empty when it is absent."""
        values = self._read(key, list, [])
        if not all(isinstance(value, str) for value in values):
            raise self._wrong(key)
        return tuple(values)

    def children(self, key: str, what: str) -> tuple[Document, ...]:
        """Return a list of objects; empty when it is absent."""
        return tuple(Document.of(value, what) for value in self._read(key, list, []))

    def time(self, key: str) -> datetime | None:
        """Return an RFC 3339 time, aware of its zone, or None when it is absent or null."""
        text = self.optional_text(key)
        if text is None:
            return None
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise self._wrong(key) from error
        if moment.tzinfo is None:
            raise self._wrong(key)
        return moment

    def _read(self, key: str, kind: type[Any] | tuple[type[Any], ...], default: Any) -> Any:  # noqa: ANN401 - JSON
        value = self.fields.get(key)
        if value is None:
            value = default
        # In Python a bool is an int; in JSON it is not.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self._wrong(key)
        return value

    def _wrong(self, key: str) -> UnexpectedAnswer:
        return UnexpectedAnswer(f"the server sent a {self.what} without a readable {key!r}")
