"""The shape of a chunk map, which both implementations keep: no holes, and what is confirmed stays."""

from __future__ import annotations

from collections.abc import Sequence

from reelstore.domain.chunk import ChunkRef


def misfit(references: Sequence[ChunkRef], *, chunk_count: int | None, previous_stop_bytes: int | None) -> str | None:
    """Say why these references cannot go into a file's chunk map, or None when they fit.

    Args:
        references: at least one, to be put from the first one's position on.
        chunk_count: how many places of the file are confirmed; None when there is no such file.
        previous_stop_bytes: where the place before the first one ends; None when there is no such place.
    """
    if chunk_count is None:
        return "there is no such file"
    first = references[0]
    if first.position < chunk_count:
        return f"place {first.position} is confirmed, and what is confirmed never changes"
    position, offset_bytes = first.position, 0 if first.position == 0 else previous_stop_bytes
    for reference in references:
        if (reference.position, reference.offset_bytes) != (position, offset_bytes):
            return f"place {reference.position} does not follow on the one before it"
        position, offset_bytes = position + 1, reference.stop_bytes
    return None
