"""The client's calls that watch: what happens, and how full it is."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from reelstore.client.asking import Asking, given
from reelstore.client.capacity_values import Capacity
from reelstore.client.documents import Document
from reelstore.client.errors import ConnectionFailed, ReelstoreClientError
from reelstore.client.event_stream import Frame, read_frames
from reelstore.client.event_values import Event
from reelstore.client.retrying import pause_seconds

RESET = "reset"
"""The kind of an event that says: earlier ones are not kept; read the present state anew."""


class ObservingCalls(Asking):
    """Watch the cluster; `Client` says what every call may raise."""

    def capacity(self, *, server: str | None = None) -> Capacity:
        """Tell how full the servers are, how fast they fill, and in how many days they are full.

        Args:
            server: this one alone; all when absent.
        """
        return Capacity.parse(self._ask("GET", "/capacity", "capacity", query=given(server=server)))

    def events(
        self, *, kinds: Sequence[str] = (), subject: str | None = None, limit: int | None = None
    ) -> Iterator[Event]:
        """Iterate over what happened, the newest first.

        Args:
            kinds: only such events, such as `server.returned`; all when empty.
            subject: only events of this video or server.
            limit: stop after so many.
        """
        query = given(kind=list(kinds) or None, subject=subject)
        for item in self._items("/events", "event", query=query, limit=limit):
            yield Event.parse(item)

    def follow_events(
        self, *, after: int | None = None, kinds: Sequence[str] = (), subject: str | None = None
    ) -> Iterator[Event]:
        """Iterate over events as they happen, for ever: in order, none twice, none left out.

        A connection that fails is made anew, and goes on after the last event, until several tries in a row have
        failed. An event of kind `reset` says that earlier ones are not kept any more.

        Args:
            after: the id of the last event that is known; 0 begins with the oldest that is kept, None with the next
                one that happens.
            kinds: only such events; all when empty.
            subject: only events of this video or server.
        """
        query, last_id, failures = given(kind=list(kinds) or None, subject=subject), after, 0
        while True:
            try:
                for frame in self._frames({**query, **given(after=last_id)}):
                    failures = 0
                    last_id = last_id if frame.id is None else frame.id
                    if frame.data is not None and frame.event == RESET:
                        yield Event.parse(Document({**frame.data.fields, "kind": RESET}, "event"))
                    elif frame.data is not None and frame.id is not None:
                        yield Event.parse(frame.data)
                error: ReelstoreClientError = ConnectionFailed(f"{self._wire.url} ended the stream", connected=True)
            except ReelstoreClientError as failed:
                error = failed
            if failures >= self._wire.retries or not self._wire.may_pass(error):
                raise error
            failures += 1
            time.sleep(pause_seconds(failures, error))

    def _frames(self, query: dict[str, object]) -> Iterator[Frame]:
        headers = {"Accept": "text/event-stream"}
        with self._wire.open("GET", "/events", query=query, headers=headers) as response:
            yield from read_frames(response.iter_raw())
