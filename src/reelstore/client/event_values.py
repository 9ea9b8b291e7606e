"""What happened in the cluster, as values; see `reelstore.client.values`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from reelstore.client.documents import Document, Json


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened.

    Args:
        id: its place in the order of all events, from 1.
        kind: what, such as `server.returned`.
        subject: the id or name of what it happened to; may be empty.
        message: one line for people.
        at: when.
    """

    id: int
    kind: str
    subject: str
    message: str
    at: datetime | None
    document: Json = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Document) -> Event:
        """Read an event, or raise `UnexpectedAnswer`."""
        return cls(
            id=document.whole("id"),
            kind=document.text("kind"),
            subject=document.text("subject", ""),
            message=document.text("message", ""),
            at=document.time("at"),
            document=document.fields,
        )
