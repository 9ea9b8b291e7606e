"""How a video is named on the command line: by its id, or by its exact name when only one video has it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reelstore.cli.exit_codes import ExitCode
from reelstore.cli.failures import CommandFailed
from reelstore.client import Client, Video

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
LOOKED_AT_MAX = 10_000
ANYWHERE = (None, "trashed")
IN_TRASH = ("trashed",)


def find_video(client: Client, reference: str, *, states: Sequence[str | None] = (None,)) -> Video:
    """Return the video that is meant.

    Args:
        client: to ask.
        reference: an id, or a name.
        states: where to look for a name: None for what is not in the trash.

    Raises:
        CommandFailed: no video, or more than one, has this name.
        Problem: there is no video of this id, or another answer of the server.
    """
    if _ID.fullmatch(reference):
        return client.video(reference.lower())
    # The search finds what contains these words; only an equal name is meant.
    found: dict[str, Video] = {}
    for state in states:
        for looked_at, video in enumerate(client.videos(query=reference, state=state)):
            if looked_at == LOOKED_AT_MAX:
                raise CommandFailed(f"more than {LOOKED_AT_MAX:,} videos are like {reference}; name it by its id")
            if video.name == reference:
                found[video.id] = video
    if not found:
        raise CommandFailed(f"no video has the id or the name {reference}", ExitCode.NOT_FOUND)
    if len(found) > 1:
        ids = " ".join(sorted(found)[:5])
        raise CommandFailed(f"{len(found)} videos are named {reference}; name one by its id: {ids}")
    return next(iter(found.values()))
