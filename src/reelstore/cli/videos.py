"""`reelstore ls`, `show`, `rm` and `restore`."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from reelstore.cli import output
from reelstore.cli.asking import check_terminal, confirm
from reelstore.cli.batch import Batch
from reelstore.cli.connection import DEFAULT_URL, Json, Token, Url, connect
from reelstore.cli.output import Column
from reelstore.cli.quantities import count, duration, local_time, size

if TYPE_CHECKING:
    from reelstore.client import Video

_References = Annotated[list[str], typer.Argument(metavar="VIDEO", help="Ids, or exact names.")]
PAGE_SIZE_MAX = 1000


class State(StrEnum):
    """The states of a video, for `--state` and its completion."""

    UPLOADING = "uploading"
    PROCESSING = "processing"
    READY = "ready"
    STORED = "stored"
    FAILED = "failed"
    TRASHED = "trashed"


def ls(
    query: Annotated[str, typer.Option(help="Words in the name, title, description or tags.", metavar="WORDS")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="A tag; with several, all of them.", metavar="TAG")] = None,
    state: Annotated[State | None, typer.Option(help="Only videos in this state.")] = None,
    server: Annotated[str | None, typer.Option(help="Only videos on this storage server.", metavar="NAME")] = None,
    sort: Annotated[
        str,
        typer.Option(
            help="created_at, updated_at, name, title or size_bytes; '-' before it for descending order.",
            metavar="FIELD",
        ),
    ] = "-created_at",
    limit: Annotated[int, typer.Option(min=1, max=PAGE_SIZE_MAX, help="How many to list.", metavar="N")] = 50,
    cursor: Annotated[str | None, typer.Option(help="Go on after a list's next_cursor.", metavar="CURSOR")] = None,
    everything: Annotated[bool, typer.Option("--all", help="List all, however many.")] = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
    json: Json = False,
) -> None:
    """List videos, the newest first.

    Those in the trash are listed only with --state trashed.
    """
    videos: list[Video] = []
    with connect(url, token) as client:
        while True:
            page = client.video_page(
                query=query,
                tags=tag or (),
                state=state.value if state else None,
                server=server,
                sort=sort,
                limit=PAGE_SIZE_MAX if everything else limit,
                cursor=cursor,
            )
            videos += page.items
            cursor = page.next_cursor
            if cursor is None or not everything:
                break
    if json:
        output.document({"items": [video.document for video in videos], "next_cursor": cursor})
        return
    columns = (
        Column("ID"), Column("SIZE", "right"), Column("STATE"), Column("CREATED", optional=True), Column("NAME")
    )  # fmt: skip
    if videos:
        output.table(columns, (_row(video) for video in videos))
    else:
        output.say("no videos match" if query or tag or state or server else "no videos yet")
    if cursor is not None:
        output.say(f"there are more than these {len(videos)}; --all lists all")


def _row(video: Video) -> tuple[str, ...]:
    return video.id, size(video.size_bytes), video.state, local_time(video.created_at), video.name


def show(
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="Id, or exact name.")],
    placement: Annotated[bool, typer.Option("--placement", help="List every chunk and its servers.")] = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
    json: Json = False,
) -> None:
    """Show what is known of a video."""
    from reelstore.cli.naming import ANYWHERE, find_video  # noqa: PLC0415 - see `reelstore.cli.app`

    with connect(url, token) as client:
        found = find_video(client, video, states=ANYWHERE)
        chunks = tuple(client.placement(found.id)) if placement else ()
    if json:
        extra = {"placement": [chunk.document for chunk in chunks]} if placement else {}
        output.document({**found.document, **extra})
        return
    output.fields(_described(found))
    if placement:
        output.line("")
        output.table(
            (
                Column("CHUNK", "right"), Column("OFFSET", "right"), Column("SIZE", "right"),
                Column("DIGEST", optional=True), Column("SERVERS"),
            ),
            (
                (str(chunk.position), f"{chunk.offset_bytes:,}", size(chunk.size_bytes), chunk.digest[:16],
                 " ".join(chunk.servers))
                for chunk in chunks
            ),
        )  # fmt: skip


def _described(video: Video) -> list[tuple[str, str]]:
    media = video.media or {}
    seconds = media.get("duration_seconds")
    return [
        ("id", video.id),
        ("name", video.name),
        ("title", video.title if video.title != video.name else ""),
        ("description", video.description),
        ("tags", ", ".join(video.tags)),
        ("state", video.state),
        ("size", f"{size(video.size_bytes)} ({video.size_bytes:,} bytes)"),
        ("type", video.content_type),
        ("duration", duration(seconds) if isinstance(seconds, int | float) else ""),
        ("policy", video.policy),
        ("created", local_time(video.created_at)),
        ("updated", local_time(video.updated_at) if video.updated_at != video.created_at else ""),
        ("trashed", local_time(video.deleted_at) if video.deleted_at else ""),
    ]


def rm(
    videos: _References,
    purge: Annotated[
        bool, typer.Option("--purge", help="Delete for good and free the bytes, instead of the trash.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before a purge.")] = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
    json: Json = False,
) -> None:
    """Put videos into the trash, or purge them.

    From the trash they can be restored. With --purge they are deleted for good, whether or not they were in the
    trash, and the bytes that no other video needs are freed.
    """
    from reelstore.cli.naming import ANYWHERE, find_video  # noqa: PLC0415 - see `reelstore.cli.app`

    batch = Batch(as_json=json)
    freed_bytes, interrupted = 0, False
    try:
        with connect(url, token) as client:
            found: list[tuple[str, Video]] = []
            for reference in batch.each(videos):
                with batch.trying(reference):
                    found.append((reference, find_video(client, reference, states=ANYWHERE if purge else (None,))))
            if purge and found and not yes:
                _confirm_purge([video for _, video in found])
            for reference, video in found:
                name = output.printable(video.name)
                with batch.trying(reference):
                    if purge:
                        purged = client.purge(video.id)
                        freed_bytes += purged.freed_bytes
                        batch.done(purged.document, f"purged   {video.id}  freed {size(purged.freed_bytes)}  {name}")
                    else:
                        batch.done(client.trash(video.id).document, f"trashed  {video.id}  {name}")
    except KeyboardInterrupt:
        interrupted = True
        output.say("reelstore: interrupted; the videos listed above are done, the others are as they were")
    if purge and len(batch.items) > 1:
        output.say(f"freed {size(freed_bytes)}")
    batch.end(interrupted=interrupted)


def _confirm_purge(videos: Sequence[Video]) -> None:
    """Ask before what cannot be undone.

    Raises:
        CommandFailed: the answer is no, or there is nobody to ask.
    """
    check_terminal("--purge")
    what = output.printable(videos[0].name) if len(videos) == 1 else count(len(videos), "video")
    total = size(sum(video.size_bytes for video in videos))
    confirm(f"Delete {what} ({total}) for good? This cannot be undone.", otherwise="nothing was deleted")


def restore(
    videos: _References,
    url: Url = DEFAULT_URL,
    token: Token = None,
    json: Json = False,
) -> None:
    """Take videos out of the trash."""
    from reelstore.cli.naming import IN_TRASH, find_video  # noqa: PLC0415 - see `reelstore.cli.app`

    batch = Batch(as_json=json)
    with connect(url, token) as client:
        for reference in batch.each(videos):
            with batch.trying(reference):
                video = client.restore(find_video(client, reference, states=IN_TRASH).id)
                batch.done(video.document, f"restored  {video.id}  {output.printable(video.name)}")
    batch.end()


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (ls, show, rm, restore):
        app.command()(command)
