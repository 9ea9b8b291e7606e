"""How a video is named on the command line: by its id, or by its exact name when only one video has it."""

from __future__ import annotations

import re
from itertools import islice

from reelstore.cli.exit_codes import ExitCode
from reelstore.cli.failures import CommandFailed
from reelstore.client import Client, Video

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_LOOKED_AT_MAX = 10_000


def find_video(client: Client, reference: str, *, trashed: bool = False) -> Video:
    """Return the video that is meant.

    Args:
        client: to ask.
        reference: an id, or a name.
        trashed: look for names in the trash as well.

    Raises:
        CommandFailed: no video, or more than one, has this name.
        Problem: there is no video of this id, or another answer of the server.
    """
    if _ID.fullmatch(reference):
        return client.video(reference.lower())
    states = (None, "trashed") if trashed else (None,)
    # The search finds names that contain these words; only an equal one is meant.
    found = {
        video.id: video
        for state in states
        for video in islice(client.videos(query=reference, state=state), _LOOKED_AT_MAX)
        if video.name == reference
    }
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        ids = " ".join(sorted(found)[:5])
        raise CommandFailed(f"{len(found)} videos are named {reference}; name one by its id: {ids}")
    raise CommandFailed(f"no video has the id or the name {reference}", ExitCode.NOT_FOUND)
