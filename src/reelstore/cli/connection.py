"""The options that every client command has, and what they lead to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from reelstore.client import Client

DEFAULT_URL = "http://127.0.0.1:5000"

Url = Annotated[str, typer.Option("--url", envvar="REELSTORE_URL", metavar="URL", help="The Reelstore server.")]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="REELSTORE_TOKEN",
        metavar="TOKEN",
        help="Access token; better in the environment, where other users cannot see it.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON in the shapes of the API, and nothing else.")]


def connect(url: str, token: str | None) -> Client:
    """Return a client for the options given; close it after use.

    Raises:
        InvalidRequest: the URL or the token is none.
    """
    from reelstore.client import Client  # noqa: PLC0415 - httpx takes a quarter of a second to import

    return Client(url, token=token or None)
