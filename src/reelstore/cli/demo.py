"""`reelstore demo`: a few real videos to look at, made on the spot."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from reelstore.cli import output
from reelstore.cli.batch import Batch
from reelstore.cli.connection import DEFAULT_URL, Json, Token, Url, connect
from reelstore.cli.quantities import count, size


def demo(
    number: Annotated[int, typer.Option("--count", min=1, max=100, help="How many videos to make.", metavar="N")] = 3,
    url: Url = DEFAULT_URL,
    token: Token = None,
    json: Json = False,
) -> None:
    """Make a few short sample videos and store them.

    They are real ones, H.264 with AAC sound in MP4, drawn and encoded on this machine.
    """
    batch = Batch(as_json=json)
    with connect(url, token) as client, TemporaryDirectory(prefix="reelstore-demo-") as folder:
        client.health()  # before the work of encoding: is there a server at all?
        from reelstore.cli.demo_media import make, sample  # noqa: PLC0415 - numpy and PyAV take long to import

        for wanted in batch.each([sample(index) for index in range(number)], subject=lambda wanted: wanted.name):
            path = Path(folder, wanted.name)
            with batch.trying(wanted.name):
                make(wanted, path)
                video = client.upload(
                    path,
                    title=wanted.title,
                    description=f"{wanted.width} × {wanted.height}, {wanted.duration_seconds:.0f} s, made by the demo",
                    tags=("demo", wanted.pattern),
                )
                batch.done(video.document, f"{video.id}  {size(video.size_bytes):>8}  {output.printable(video.name)}")
            path.unlink(missing_ok=True)
    if batch.items:
        output.say(f"stored {count(len(batch.items), 'sample video')}; 'reelstore ls --tag demo' lists them")
    batch.end()


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)
