"""How buckets are opened: with credentials of the environment, which never leave this module."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from obstore.store import AzureStore, GCSStore, S3Store

from reelstore.domain.errors import ServerUnauthorized
from reelstore.storage.bucket.url import BucketAddress

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

CONNECT_SECONDS = 5
KEEP_ALIVE_SECONDS = 10
REQUEST_SECONDS_MAX = 300
"""Longer than any request may take; the connection has a limit that allows for its size."""
RETRIES = 3
RETRY_SECONDS_MAX = 10

SERVER_VARIABLES = "REELSTORE_SERVER_"
"""`REELSTORE_SERVER_<NAME>_<WHAT>`: the credentials of one server; the name in capitals, with '_' for '.' and '-'."""
VARIABLES = (SERVER_VARIABLES, "AWS_", "AZURE_", "GOOGLE_")
"""How the variables begin in which credentials may be."""

_OF_SERVER = {
    "s3": {
        "ACCESS_KEY_ID": "access_key_id",
        "SECRET_ACCESS_KEY": "secret_access_key",
        "SESSION_TOKEN": "session_token",
    },
    "gs": {"SERVICE_ACCOUNT_KEY": "service_account_key"},
    "az": {"ACCOUNT_KEY": "account_key", "SAS_KEY": "sas_key"},
}
_AWS_KEY = "AWS_ACCESS_KEY_ID"

Store = S3Store | GCSStore | AzureStore
_STORES: Mapping[str, type[Store]] = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}


@dataclass(frozen=True, slots=True)
class BucketAccess:
    """What a gateway opens buckets with, the same for all of them.

    Args:
        variables: those of the environment that begin with one of `VARIABLES`.
        retries: how often a request is repeated that met a failure which passes.
    """

    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    retries: int = RETRIES


def open_store(address: BucketAddress, server: str, access: BucketAccess) -> Store:
    """Return the store of a bucket, below its prefix; touches nothing.

    A server's own variables go first, then those that the service's tools know (`AWS_ACCESS_KEY_ID`,
    `GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_ACCOUNT_KEY`, …), then what the machine itself is allowed to do.

    Raises:
        ServerUnauthorized: there are no credentials, or not all of them; a retry does not help.
    """
    stem = SERVER_VARIABLES + re.sub(r"[^A-Z0-9]", "_", server.upper()) + "_"
    known = _OF_SERVER[address.scheme]
    given = {known[what]: value for what in known if (value := access.variables.get(stem + what))}
    if address.scheme == "s3":
        _check_pair(address, given, stem, server, access.variables)
    client: ClientConfig = {
        "allow_http": address.endpoint is not None and address.endpoint.startswith("http:"),
        "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
        "pool_idle_timeout": timedelta(seconds=KEEP_ALIVE_SECONDS),
        "timeout": timedelta(seconds=REQUEST_SECONDS_MAX),
    }
    retry: RetryConfig = {
        "max_retries": access.retries,
        "retry_timeout": timedelta(seconds=RETRY_SECONDS_MAX),
        "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=3), "base": 2},
    }
    prefix = address.prefix or None
    options: Any = {**_options(address), **given}  # each of the three has a type of its own for them
    kind = _STORES[address.scheme]
    return kind(address.bucket, prefix=prefix, config=options, client_options=client, retry_config=retry)


def _check_pair(
    address: BucketAddress, given: Mapping[str, str], stem: str, server: str, variables: Mapping[str, str]
) -> None:
    if ("access_key_id" in given) != ("secret_access_key" in given):
        raise ServerUnauthorized(
            f"only one of the variables {stem}ACCESS_KEY_ID and {stem}SECRET_ACCESS_KEY is set", server=server
        )
    # Elsewhere than at Amazon no machine has a role, and asking for one takes its time.
    if not given and address.endpoint is not None and _AWS_KEY not in variables:
        raise ServerUnauthorized(
            f"there are no credentials for {address}: set the variables {stem}ACCESS_KEY_ID and "
            f"{stem}SECRET_ACCESS_KEY, or {_AWS_KEY} and AWS_SECRET_ACCESS_KEY, where the gateway starts",
            server=server,
        )


def _options(address: BucketAddress) -> dict[str, str | bool]:
    """Return how the store is reached, in the words of the library."""
    endpoint = address.endpoint
    if address.scheme == "gs":
        return {} if endpoint is None else {"base_url": endpoint}
    if address.scheme == "az":
        options: dict[str, str | bool] = {"account_name": str(address.account)}
        return options if endpoint is None else options | {"endpoint": f"{endpoint}/{address.account}"}
    options = {"virtual_hosted_style_request": not address.path_style, "disable_bulk_delete": True}
    if endpoint is not None:
        parts = urlsplit(endpoint)
        host = parts.netloc if address.path_style else f"{address.bucket}.{parts.netloc}"
        options["endpoint"] = f"{parts.scheme}://{host}"
    if address.region is not None:
        options["region"] = address.region
    return options
