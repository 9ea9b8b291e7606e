"""JSON documents of events."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from reelstore.domain.event import EventKind
from reelstore.web.schemas import Document


class Event(Document):
    """Something that happened."""

    id: int = Field(description="Its place in the order of all events, from 1.")
    kind: EventKind
    subject: str = Field(description="The id or name of what it happened to; may be empty.")
    message: str = Field(description="One line for people.")
    at: datetime
    data: dict[str, Any] = Field(description="Details for programs.")
