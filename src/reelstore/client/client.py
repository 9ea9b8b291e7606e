"""The client: one object for one gateway."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from reelstore.client.cluster import ClusterCalls
from reelstore.client.downloading import Download
from reelstore.client.filenames import safe_file_name
from reelstore.client.observing import ObservingCalls
from reelstore.client.uploading import Progress, content_type_of, default_name, opened, upload
from reelstore.client.values import ChunkPlace, Downloaded, Purged, Video, VideoPage
from reelstore.client.verifying import VerifyingCalls
from reelstore.client.wire import Wire, segment

DEFAULT_URL = "http://127.0.0.1:5000"
DEFAULT_TIMEOUT_SECONDS = 60.0
DEFAULT_RETRIES = 6  # 16 seconds of waiting: enough for a gateway to start anew


class Client(ClusterCalls, ObservingCalls, VerifyingCalls):
    """Store, find and fetch videos, and look at the cluster, through one gateway.

    Every method raises, besides what it names itself: `ConnectionFailed` (no whole answer came; reading calls have
    been retried), `Problem` (the server said no; its `retryable` says whether the same call may succeed later) and
    `UnexpectedAnswer` (a retry does not help). A client may be shared by threads.

    Args:
        url: of the gateway.
        token: for a gateway that asks for one.
        timeout_seconds: how long the server may be silent.
        retries: how often an upload or a download is tried again after a failure that passes, with growing waits;
            other reading calls are tried again at most twice.

    Raises:
        InvalidRequest: the URL or the token is none.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str | None = None,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        retries: int = DEFAULT_RETRIES,
    ) -> None:
        super().__init__(Wire(url, token=token, timeout_seconds=timeout_seconds, retries=retries))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A Ctrl-C may have come while a lock of the connection pool was taken: to close would wait for it for ever.
        if not isinstance(error, KeyboardInterrupt):
            self.close()

    @property
    def url(self) -> str:
        """The gateway's URL."""
        return self._wire.url

    def close(self) -> None:
        """Close every connection."""
        self._wire.close()

    # Videos

    def upload(
        self,
        source: str | os.PathLike[str] | BinaryIO,
        *,
        name: str | None = None,
        title: str | None = None,
        description: str | None = None,
        tags: Sequence[str] = (),
        policy: str | None = None,
        content_type: str | None = None,
        on_progress: Progress | None = None,
        idempotency_key: str | None = None,
    ) -> Video:
        """Store a file; when this returns, it is durable on as many servers as its policy asks for.

        It is streamed from disk in one request, and sent again from its beginning when the connection fails before
        the answer; the idempotency key makes sure that it is stored once. Of an upload that fails, nothing remains.

        Args:
            source: a path, or a binary file, which is read from where it stands; one that cannot seek is sent once.
            name: to store it under; the file's name when absent.
            title: for people; the name when absent.
            description: free text.
            tags: for finding it again.
            policy: how to make it redundant; the gateway's default when absent.
            content_type: a media type; guessed from the name when absent.
            on_progress: called with the bytes sent so far and in all (None for what cannot seek).
            idempotency_key: two uploads of one key are one; a random one when absent.

        Raises:
            InvalidRequest: there is no name.
            SourceChanged: the file's size changed meanwhile.
            OSError: the file cannot be read.
        """
        chosen = default_name(source) if name is None else name
        query = {"name": chosen, "title": title, "description": description, "policy": policy, "tag": list(tags)}
        with opened(source) as file:
            return upload(
                self._wire,
                file,
                query={key: value for key, value in query.items() if value},
                content_type=content_type or content_type_of(chosen),
                idempotency_key=idempotency_key,
                on_progress=on_progress,
            )

    def download(
        self,
        video_id: str,
        path: str | os.PathLike[str],
        *,
        on_progress: Progress | None = None,
        overwrite: bool = False,
    ) -> Downloaded:
        """Fetch a video into a file, which appears only once it is complete, checked and durable.

        Until then the bytes are in `NAME.part` beside it. A download that was cut goes on from there, at once after
        a passing failure, and later when it is called again.

        Args:
            video_id: which.
            path: the file to be, or a folder, in which the video's name, made safe, is taken.
            on_progress: called with the bytes kept so far, and in all.
            overwrite: replace a file that is there.

        Raises:
            TargetExists: the file is there, and `overwrite` is not given.
            DownloadFailed: it is not complete; `kept_bytes` tells what the next call need not fetch again.
        """
        video = self.video(video_id)
        target = Path(path)
        if target.is_dir():
            target /= safe_file_name(video.name, fallback=f"video-{safe_file_name(video.id)}")
        return Download(
            self._wire,
            video,
            target,
            places=lambda: self.placement(video.id),
            on_progress=on_progress,
            overwrite=overwrite,
        ).run()

    def videos(
        self,
        *,
        query: str = "",
        tags: Sequence[str] = (),
        state: str | None = None,
        server: str | None = None,
        sort: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Video]:
        """Iterate over videos, page by page as they are needed.

        Args:
            query: words to look for.
            tags: that each video must have.
            state: only videos in this state.
            server: only videos with bytes on this storage server.
            sort: a field, with `-` before it for descending order, such as `-created_at`.
            limit: stop after so many.
        """
        chosen = _filters(query=query, tags=tags, state=state, server=server, sort=sort)
        for item in self._items("/videos", "video", query=chosen, limit=limit):
            yield Video.parse(item)

    def video_page(
        self,
        *,
        query: str = "",
        tags: Sequence[str] = (),
        state: str | None = None,
        server: str | None = None,
        sort: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> VideoPage:
        """List one page of videos.

        Args:
            query: words to look for.
            tags: that each video must have.
            state: only videos in this state.
            server: only videos with bytes on this storage server.
            sort: a field, with `-` before it for descending order.
            limit: at most so many, up to 1000.
            cursor: the `next_cursor` of a page with the same arguments; None begins.
        """
        chosen = _filters(query=query, tags=tags, state=state, server=server, sort=sort)
        page = {"limit": limit} if cursor is None else {"limit": limit, "cursor": cursor}
        answer = self._ask("GET", "/videos", "page of videos", query=chosen | page)
        items = tuple(Video.parse(item) for item in answer.children("items", "video"))
        return VideoPage(items, answer.optional_text("next_cursor"))

    def video(self, video_id: str) -> Video:
        """Describe a video, one in the trash too."""
        return Video.parse(self._ask("GET", f"/videos/{segment(video_id)}", "video"))

    def edit(
        self,
        video_id: str,
        *,
        name: str | None = None,
        title: str | None = None,
        description: str | None = None,
        tags: Sequence[str] | None = None,
        if_match: str | None = None,
    ) -> Video:
        """Change a video's description; what is None stays.

        Args:
            video_id: which.
            name: the new name.
            title: the new title.
            description: the new description.
            tags: the new tags, in place of all the old ones.
            if_match: the `etag` of the description this change is meant for; a `Problem` of status 412 if it is
                another by now.
        """
        fields = {"name": name, "title": title, "description": description, "tags": None if tags is None else [*tags]}
        body = {key: value for key, value in fields.items() if value is not None}
        return Video.parse(
            self._ask("PATCH", f"/videos/{segment(video_id)}", "video", body=body, headers=_if_match(if_match))
        )

    def trash(self, video_id: str, *, if_match: str | None = None) -> Video:
        """Put a video into the trash, from where it can be restored."""
        return Video.parse(self._ask("DELETE", f"/videos/{segment(video_id)}", "video", headers=_if_match(if_match)))

    def restore(self, video_id: str, *, if_match: str | None = None) -> Video:
        """Take a video out of the trash."""
        return Video.parse(
            self._ask("POST", f"/videos/{segment(video_id)}/restore", "video", headers=_if_match(if_match))
        )

    def purge(self, video_id: str, *, if_match: str | None = None) -> Purged:
        """Delete a video for good, and return how many bytes no other video needs."""
        return Purged.parse(
            self._ask(
                "DELETE", f"/videos/{segment(video_id)}", "purge", query={"purge": "true"}, headers=_if_match(if_match)
            )
        )

    def placement(self, video_id: str) -> Iterator[ChunkPlace]:
        """Iterate over a video's chunks in order, with the servers that keep them."""
        for item in self._items(f"/videos/{segment(video_id)}/placement", "chunk", query={}, limit=None):
            yield ChunkPlace.parse(item)


def _filters(
    *, query: str, tags: Sequence[str], state: str | None, server: str | None, sort: str | None
) -> dict[str, Any]:
    filters = {"query": query, "tag": list(tags), "state": state, "server": server, "sort": sort}
    return {key: value for key, value in filters.items() if value}


def _if_match(etag: str | None) -> Mapping[str, str]:
    return {} if etag is None else {"If-Match": etag}
