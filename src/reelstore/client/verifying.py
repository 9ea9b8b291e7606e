"""The client's calls that check shards, and look at bad ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from reelstore.client.asking import Asking, given
from reelstore.client.errors import UnexpectedAnswer
from reelstore.client.retrying import persist
from reelstore.client.verification_values import Emptied, QuarantinePage, Verification, VerifiedSlice
from reelstore.client.wire import segment

# Reading every shard of a large video takes as long as its servers' disks do, and the answer comes at the end.
VERIFY_TIMEOUT_SECONDS = 3600.0
SLICE_SECONDS = 5.0


class VerifyingCalls(Asking):
    """Be the part of the client that checks shards. What its methods raise is said there."""

    def verify(self, video_id: str) -> Verification:
        """Have every shard of a video read and checked; what is wrong is queued for repair."""
        path = f"/videos/{segment(video_id)}/verify"
        return Verification.parse(self._ask("POST", path, "verification", timeout_seconds=VERIFY_TIMEOUT_SECONDS))

    def verify_all(self, *, cursor: str | None = None, slice_seconds: float = SLICE_SECONDS) -> Iterator[VerifiedSlice]:
        """Have every shard of the cluster read and checked, slice by slice; what is wrong is queued for repair.

        Stop whenever you like, and go on later, also with another gateway, from the last slice's `next_cursor`. A
        slice whose answer is lost on the way is asked for again.

        Args:
            cursor: where to go on; None begins.
            slice_seconds: about how long the gateway takes for each slice.
        """
        while True:
            body = given(seconds=slice_seconds, cursor=cursor)
            found = persist(partial(self._slice, body), retries=self._wire.retries, may_pass=self._wire.may_pass)
            if cursor is not None and found.next_cursor == cursor:
                raise UnexpectedAnswer("the verification goes round in circles")
            yield found
            cursor = found.next_cursor
            if cursor is None:
                return

    def _slice(self, body: Mapping[str, Any]) -> VerifiedSlice:
        return VerifiedSlice.parse(self._ask("POST", "/verify", "verified slice", body=body))

    def quarantine(self, *, limit: int = 50, cursor: str | None = None) -> QuarantinePage:
        """List a page of the copies of suspect bytes on all servers, the newest first.

        Args:
            limit: at most so many, up to 1000.
            cursor: the `next_cursor` of the page before; None begins.
        """
        query = {"limit": limit} if cursor is None else {"limit": limit, "cursor": cursor}
        return QuarantinePage.parse(self._ask("GET", "/quarantine", "page of the quarantine", query=query))

    def empty_quarantine(self, *, before: datetime | None = None) -> Emptied:
        """Drop the copies that were set aside before a time, aware of its zone; None drops all."""
        query = None if before is None else {"before": before.isoformat()}
        return Emptied.parse(self._ask("DELETE", "/quarantine", "emptied quarantine", query=query))
