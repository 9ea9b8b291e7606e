"""`reelstore download`: one or many, going on where an earlier one was cut."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from reelstore.cli import output
from reelstore.cli.batch import Batch
from reelstore.cli.connection import DEFAULT_URL, Json, Token, Url, connect
from reelstore.cli.exit_codes import ExitCode
from reelstore.cli.failures import CommandFailed
from reelstore.cli.quantities import count, duration, size


def download(
    videos: Annotated[list[str], typer.Argument(metavar="VIDEO", help="Ids, or exact names.")],
    out: Annotated[
        str, typer.Option("-o", "--output", help="A folder, or for a single video the file to be.", metavar="PATH")
    ] = ".",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
    json: Json = False,
) -> None:
    """Fetch videos to disk.

    A file appears under its name only when it is complete and every byte has been checked against the digests of
    the video's chunks. Until then it is NAME.part; the same command goes on from there. Prints each file's path.
    """
    from reelstore.cli.naming import find_video  # noqa: PLC0415 - see `reelstore.cli.app`
    from reelstore.cli.progress import bars  # noqa: PLC0415 - see `reelstore.cli.app`

    target = Path(out)
    if len(videos) > 1 or out.endswith(("/", os.sep)):
        if target.exists() and not target.is_dir():
            raise CommandFailed(f"{out} is a file, and several videos need a folder", ExitCode.WRONG_USE)
        target.mkdir(parents=True, exist_ok=True)
    batch = Batch(as_json=json)
    started, fetched_bytes, unverified, interrupted = time.monotonic(), 0, 0, False
    try:
        with connect(url, token) as client, bars(count=len(videos)) as drawn:
            for reference in batch.each(videos):
                with batch.trying(reference), drawn.one(reference) as bar:
                    video = find_video(client, reference)
                    done = client.download(video.id, target, on_progress=bar, overwrite=overwrite)
                    fetched_bytes += done.size_bytes - done.resumed_bytes
                    unverified += not done.verified
                    item = {
                        "id": video.id,
                        "name": video.name,
                        "path": str(done.path),
                        "size_bytes": done.size_bytes,
                        "resumed_bytes": done.resumed_bytes,
                        "verified": done.verified,
                    }
                    batch.done(item, output.printable(str(done.path)))
    except KeyboardInterrupt:
        interrupted = True
        output.say("reelstore: interrupted; what was received is kept, and the same command goes on from there")
    if batch.items:
        checked = "" if unverified else ", every byte checked"
        took = duration(time.monotonic() - started)
        output.say(f"fetched {count(len(batch.items), 'video')}, {size(fetched_bytes)}, in {took}{checked}")
    if unverified:
        output.say(f"of {count(unverified, 'video')} only the size was checked: the server tells no digests")
    batch.end(interrupted=interrupted)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(download)
