"""Asking for JSON answers, one or page by page: what every part of the client is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reelstore.client.documents import Document
from reelstore.client.errors import UnexpectedAnswer
from reelstore.client.wire import Wire

PAGE_SIZE_MAX = 1000


class Asking:
    """Ask one gateway.

    Args:
        wire: the way there.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def _ask(
        self,
        method: str,
        path: str,
        what: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> Document:
        answer = self._wire.ask(method, path, query=query, body=body, headers=headers, timeout_seconds=timeout_seconds)
        return Document.of(answer, what)

    def _items(self, path: str, what: str, *, query: Mapping[str, Any], limit: int | None) -> Iterator[Document]:
        """Iterate over a listing, and never ask for the same page twice."""
        left, seen = limit, set[str]()
        page_query = dict(query)
        while left is None or left > 0:
            page_query["limit"] = PAGE_SIZE_MAX if left is None else min(left, PAGE_SIZE_MAX)
            page = self._ask("GET", path, f"page of {what}s", query=page_query)
            items = page.children("items", what)
            yield from items if left is None else items[:left]
            if left is not None:
                left -= len(items)
            cursor = page.optional_text("next_cursor")
            if cursor is None:
                return
            if cursor in seen:
                raise UnexpectedAnswer(f"the listing of {what}s goes round in circles")
            seen.add(cursor)
            page_query["cursor"] = cursor


def given(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 - what JSON and queries hold
    """Return the fields that are not None."""
    return {key: value for key, value in fields.items() if value is not None}
