"""What the API answers about policies, as values; see `reelstore.client.values`."""

from __future__ import annotations

from dataclasses import dataclass, field

from reelstore.client.documents import Document, Json


@dataclass(frozen=True, slots=True)
class Policy:
    """How chunks are made redundant.

    Args:
        name: what videos are stored under.
        kind: `replicated` or `erasure`; `description` says it whole, such as `erasure(4, 2)`.
        copies: full copies of a chunk; None with `erasure`.
        k, m: fragments that make a chunk whole, and those besides; None with `replicated`.
        copies_min: servers that must have acknowledged before a write is.
        chunk_size_bytes: the size at which a body is cut.
        width: servers that keep something of each chunk.
        losses_tolerated: how many of them may be lost at once.
        bytes_per_byte: what is stored for each byte of video.
        default: whether it holds for videos that name none.
    """

    name: str
    kind: str
    description: str
    copies: int | None
    k: int | None
    m: int | None
    copies_min: int
    chunk_size_bytes: int
    width: int
    losses_tolerated: int
    bytes_per_byte: float
    default: bool
    document: Json = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Document) -> Policy:
        """Read a policy, or raise `UnexpectedAnswer`."""
        return cls(
            name=document.text("name"),
            kind=document.text("kind"),
            description=document.text("description", ""),
            copies=document.optional_whole("copies"),
            k=document.optional_whole("k"),
            m=document.optional_whole("m"),
            copies_min=document.whole("copies_min"),
            chunk_size_bytes=document.whole("chunk_size_bytes"),
            width=document.whole("width"),
            losses_tolerated=document.whole("losses_tolerated"),
            bytes_per_byte=document.number("bytes_per_byte"),
            default=document.flag("default", default=False),
            document=document.fields,
        )
