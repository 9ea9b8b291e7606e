"""`reelstore verify`: prove every shard of videos, or of the whole cluster."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reelstore.cli import output
from reelstore.cli.batch import Batch
from reelstore.cli.connection import DEFAULT_URL, Json, Token, Url, connect
from reelstore.cli.exit_codes import ExitCode
from reelstore.cli.failures import CommandFailed
from reelstore.cli.quantities import count, percent, size

if TYPE_CHECKING:
    from reelstore.client import Client, ShardProblem, Verification, VerifiedSlice, Video

_PROBLEMS_SHOWN_MAX = 20
_PROBLEMS_KEPT_MAX = 10_000
_SLICE_SECONDS = 2.0  # how often the bar moves
_POLL_SECONDS = 1.0
_IDLE_POLLS = 3  # what was found is taken up a moment later


def verify(
    videos: Annotated[list[str] | None, typer.Argument(metavar="VIDEO", help="Ids, or exact names.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Verify the whole cluster: every shard of every chunk, each once.")
    ] = False,
    cursor: Annotated[
        str | None, typer.Option(help="With --all: go on where an earlier verification stopped.", metavar="CURSOR")
    ] = None,
    repair_wait: Annotated[
        bool, typer.Option("--repair-wait", help="If anything is wrong, wait for its repair and verify once more.")
    ] = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
    json: Json = False,
) -> None:
    """Check every shard of videos, or of the whole cluster.

    Each is read and hashed on the server that should keep it, or while the ring changes, on the one that has it still.
    What is wrong is listed and queued for repair, and the exit code is 5. A video with problems may still be readable:
    that takes one good copy of each chunk. With --all, Ctrl-C says how to go on later.
    """
    references = videos or []
    if bool(references) == everything:
        raise CommandFailed("name the videos to verify, or say --all", ExitCode.WRONG_USE)
    if cursor is not None and not everything:
        raise CommandFailed("--cursor is for --all", ExitCode.WRONG_USE)
    with connect(url, token) as client:
        if everything:
            _verify_all(client, cursor, repair_wait=repair_wait, json=json)
        else:
            _verify_videos(client, references, repair_wait=repair_wait, json=json)


# ---------------------------------------------------------------------- the whole cluster


@dataclass
class _Findings:
    """What all slices together showed."""

    cursor: str | None
    progress: float = 0.0
    shards_total: int = 0
    shards_ok: int = 0
    shards_moving: int = 0
    shards_bytes: int = 0
    problems: list[ShardProblem] = field(default_factory=list)
    documents: list[Any] = field(default_factory=list)
    is_complete: bool = False

    def add(self, found: VerifiedSlice) -> Sequence[ShardProblem]:
        """Add a slice; return those of its problems that are kept."""
        verification = found.verification
        self.shards_total += verification.shards_total
        self.shards_ok += verification.shards_ok
        self.shards_moving += verification.shards_moving
        self.shards_bytes += found.shards_bytes
        kept = verification.problems[: _PROBLEMS_KEPT_MAX - len(self.problems)]
        self.problems += kept
        self.documents += verification.document.get("problems", [])[: len(kept)]
        self.cursor, self.progress = found.next_cursor, found.progress
        self.is_complete = found.next_cursor is None
        return kept

    @property
    def has_seen_something(self) -> bool:
        """Whether there is anything to tell, if only how far it came."""
        return self.progress > 0

    @property
    def bad(self) -> int:
        """How many shards are not as they should be."""
        return self.shards_total - self.shards_ok

    @property
    def document(self) -> dict[str, Any]:
        return {
            "shards_total": self.shards_total,
            "shards_ok": self.shards_ok,
            "shards_moving": self.shards_moving,
            "shards_bytes": self.shards_bytes,
            "problems": self.documents,
            "problems_truncated": self.bad > len(self.problems),
            "complete": self.is_complete,
            "next_cursor": self.cursor,
        }


def _verify_all(client: Client, cursor: str | None, *, repair_wait: bool, json: bool) -> None:
    found = _Findings(cursor)
    interrupted = False
    try:
        _go_through(client, found, quiet=json)
        if repair_wait and found.bad:
            _say_summary(found)
            _wait_for_repair(client)
            found = _Findings(None)
            _go_through(client, found, quiet=json)
    except KeyboardInterrupt:
        interrupted = True
        output.say("reelstore: interrupted")
    finally:
        _say_summary(found)
        if json and found.has_seen_something:
            output.document(found.document)
    if interrupted:
        raise typer.Exit(ExitCode.INTERRUPTED)
    if found.bad:
        raise typer.Exit(ExitCode.PROBLEMS_FOUND)


def _go_through(client: Client, found: _Findings, *, quiet: bool) -> None:
    from reelstore.cli.progress import bars  # noqa: PLC0415 - see `reelstore.cli.app`

    # How far a cursor is, nobody tells: the first slice from there does.
    known = (0, 0.0) if found.cursor is None else None
    with bars(count=1) as drawn, drawn.one("verifying") as bar:
        for each in client.verify_all(cursor=found.cursor, slice_seconds=_SLICE_SECONDS):
            shown = len(found.problems)
            kept = found.add(each)
            if not quiet:
                _list_problems(kept[: max(0, _PROBLEMS_SHOWN_MAX - shown)])
            known_bytes, known_progress = known = known or (found.shards_bytes, found.progress)
            if found.progress > known_progress:
                whole_bytes = (found.shards_bytes - known_bytes) / (found.progress - known_progress)
                bar(round(whole_bytes * found.progress), round(whole_bytes))


def _say_summary(found: _Findings) -> None:
    hidden = found.bad - _PROBLEMS_SHOWN_MAX
    if hidden > 0:
        output.say(f"and {count(hidden, 'more problem')}; --json lists what the server tells")
    if found.has_seen_something:
        shards = f"{found.shards_ok:,} of {count(found.shards_total, 'shard')} as they should be"
        moving = f", {found.shards_moving:,} of them not yet where the ring wants them" if found.shards_moving else ""
        output.say(f"verified {size(found.shards_bytes)}: {shards}{moving}")
    if found.has_seen_something and not found.is_complete:
        seen = f"{percent(found.progress)} of the cluster is seen"
        output.say(f"{seen}; 'reelstore verify --all --cursor {found.cursor}' goes on from there")


# ---------------------------------------------------------------------- single videos


def _verify_videos(client: Client, references: Sequence[str], *, repair_wait: bool, json: bool) -> None:
    batch = Batch(as_json=json)
    shards_ok, shards_total, interrupted = 0, 0, False
    try:
        for reference in batch.each(references):
            with batch.trying(reference):
                video, found = _verified(client, reference)
                if repair_wait and not found.whole:
                    _wait_for_repair(client)
                    found = client.verify(video.id)
                shards_ok += found.shards_ok
                shards_total += found.shards_total
                mark = "ok     " if found.whole else "PROBLEM"
                text = f"{mark}  {video.id}  {found.shards_ok}/{found.shards_total} shards  "
                batch.done({"id": video.id, "name": video.name, **found.document}, text + output.printable(video.name))
                if not found.whole:
                    batch.note(ExitCode.PROBLEMS_FOUND)
                    if not json:
                        _list_problems(found.problems[:_PROBLEMS_SHOWN_MAX], indent=9)
                        _say_hidden(found)
    except KeyboardInterrupt:
        interrupted = True
        output.say("reelstore: interrupted")
    if batch.items:
        shards = f"{shards_ok:,} of {count(shards_total, 'shard')}"
        output.say(f"verified {count(len(batch.items), 'video')}: {shards} as they should be")
    batch.end(interrupted=interrupted)


def _verified(client: Client, reference: str) -> tuple[Video, Verification]:
    from reelstore.cli.naming import ANYWHERE, find_video  # noqa: PLC0415 - see `reelstore.cli.app`

    video = find_video(client, reference, states=ANYWHERE)
    return video, client.verify(video.id)


def _say_hidden(found: Verification) -> None:
    hidden = len(found.problems) - _PROBLEMS_SHOWN_MAX
    if hidden > 0 or found.problems_truncated:
        output.line(f"         and {max(hidden, 0) or 'some'} more; --json lists what the server tells")


# ---------------------------------------------------------------------- both


def _list_problems(problems: Sequence[ShardProblem], *, indent: int = 0) -> None:
    for problem in problems:
        names = f"  {', '.join(problem.videos)}" if problem.videos else ""
        text = f"{problem.problem:<11}  {problem.chunk[:16]}  on {problem.server}{names}"
        output.line(" " * indent + output.printable(text))


def _wait_for_repair(client: Client) -> None:
    """Wait until the cluster has nothing left to mend, or cannot go on by itself."""
    output.say("waiting for repair")
    idle = 0
    while idle < _IDLE_POLLS:
        time.sleep(_POLL_SECONDS)
        status = client.rebalance()
        if status.state in {"blocked", "paused"}:
            output.say(f"repair is {status.state}: {output.printable('; '.join(status.reasons)) or 'see its status'}")
            return
        idle = idle + 1 if status.state == "idle" else 0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(verify)
