"""`reelstore upload`: files and folders, one after the other."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from reelstore.cli import output
from reelstore.cli.batch import Batch
from reelstore.cli.connection import DEFAULT_URL, Json, Token, Url, connect
from reelstore.cli.exit_codes import ExitCode
from reelstore.cli.failures import CommandFailed
from reelstore.cli.quantities import count, duration, size

MEDIA_EXTENSIONS = frozenset(
    (
        *("3g2", "3gp", "avi", "flv", "h264", "h265", "hevc", "m2ts", "m2v", "m4v", "mkv", "mov", "mp4", "mpe", "mpeg"),
        *("mpg", "mts", "mxf", "ogv", "ts", "vob", "webm", "wmv"),
        *("aac", "ac3", "flac", "m4a", "m4b", "mka", "mp3", "oga", "ogg", "opus", "wav", "wma"),
    )
)
STANDARD_INPUT = "-"


@dataclass(frozen=True, slots=True)
class Source:
    """A file to upload, and the name to store it under; None takes the file's."""

    path: str
    name: str | None


def upload(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH", help="Files and folders; '-' is standard input (needs --name).")
    ],
    name: Annotated[
        str | None, typer.Option(help="Store a single file under this name instead of its own.", metavar="NAME")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title, for people.", metavar="TEXT")] = None,
    description: Annotated[str | None, typer.Option(help="Description.", metavar="TEXT")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag; can be given several times.", metavar="TAG")] = None,
    policy: Annotated[str | None, typer.Option(help="How to make the bytes redundant.", metavar="NAME")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="From folders, take every file and not only media files.")
    ] = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
    json: Json = False,
) -> None:
    """Store files, and media files in folders.

    A folder is searched with all its subfolders, and its files are named by their path in it. Each file is stored
    as soon as its line is printed: its id, its size and its name. A file that fails leaves nothing behind and does
    not keep the others from being stored.
    """
    from reelstore.cli.progress import bars  # noqa: PLC0415 - see `reelstore.cli.app`

    batch = Batch(as_json=json)
    sources = list(_sources(paths, everything=everything, batch=batch))
    if name is not None and (len(sources) != 1 or batch.failures):
        raise CommandFailed("--name is for a single file", ExitCode.WRONG_USE)
    if name is None and STANDARD_INPUT in paths:
        raise CommandFailed("standard input has no name; give it one with --name", ExitCode.WRONG_USE)
    started, stored_bytes, interrupted = time.monotonic(), 0, False
    try:
        with connect(url, token) as client, bars(count=len(sources), total_bytes=_total_bytes(sources)) as drawn:
            for source in batch.each(sources, subject=lambda source: source.path):
                with batch.trying(source.path), drawn.one(source.path) as bar:
                    video = client.upload(
                        sys.stdin.buffer if source.path == STANDARD_INPUT else source.path,
                        name=name or source.name,
                        title=title,
                        description=description,
                        tags=tag or (),
                        policy=policy,
                        on_progress=bar,
                    )
                    stored_bytes += video.size_bytes
                    text = f"{video.id}  {size(video.size_bytes):>8}  {output.printable(video.name)}"
                    batch.done(video.document, text)
    except KeyboardInterrupt:
        interrupted = True
        stored = f"{len(batch.items)} of {count(len(sources), 'file')}"
        output.say(f"reelstore: interrupted after {stored}; of the one that was on its way nothing is kept")
    if batch.items:
        took = duration(time.monotonic() - started)
        output.say(f"stored {count(len(batch.items), 'video')}, {size(stored_bytes)}, in {took}")
    batch.end(interrupted=interrupted)


def _sources(paths: Sequence[str], *, everything: bool, batch: Batch) -> Iterator[Source]:
    for path in paths:
        if path != STANDARD_INPUT and os.path.isdir(path):  # noqa: PTH112 - unlike pathlib's, it never raises
            files = list(_files_in(Path(path), everything=everything, batch=batch))
            if not files:
                batch.fail(path, CommandFailed("no media files in this folder; --all takes every file"))
            yield from files
        else:
            yield Source(path, None)


def _files_in(folder: Path, *, everything: bool, batch: Batch) -> Iterator[Source]:
    """Walk a folder in the order of names; nothing hidden counts as media, links to folders are not followed."""

    def unreadable(error: OSError) -> None:
        batch.fail(str(error.filename), CommandFailed(error.strerror or str(error)))

    for parent, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if everything or not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            is_media = path.suffix.lower().removeprefix(".") in MEDIA_EXTENSIONS and not name.startswith(".")
            if (everything or is_media) and _is_file(path):
                relative = path.relative_to(folder).as_posix()
                # A file name may hold any bytes; the API's names are Unicode.
                yield Source(str(path), relative.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def _is_file(path: Path) -> bool:
    """Tell whether to send it: a file, or what cannot be looked at, so that the failure gets its line."""
    try:
        return path.is_file()
    except OSError:
        return True


def _total_bytes(sources: Sequence[Source]) -> int | None:
    """Add up the sizes, for the progress bar; None when one is not known."""
    try:
        return sum(Path(source.path).stat().st_size for source in sources)
    except OSError:
        return None


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(upload)
