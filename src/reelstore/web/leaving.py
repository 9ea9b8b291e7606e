"""Notice that a client leaves, so that nothing goes on for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request
from starlette.types import Receive

from reelstore.domain.errors import IncompleteBody

T = TypeVar("T")


async def client_left(receive: Receive) -> None:
    """Return when the client has closed its end, discarding what it may still send."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def while_client_stays(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do work whose result alone is the answer, and stop it when the client leaves.

    Raises:
        IncompleteBody: it left, and nobody reads this.
    """
    working, leaving = asyncio.create_task(work), asyncio.create_task(client_left(request.receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise IncompleteBody("the connection closed before the answer")
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)
