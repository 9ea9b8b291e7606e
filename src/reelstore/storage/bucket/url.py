"""The URLs of buckets: `s3://bucket/prefix?endpoint=https://host&region=…`, `gs://bucket/prefix`, `az://container`.

No credentials: a URL is stored, shown and logged; keys are not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import SplitResult, parse_qsl, urlsplit

from reelstore.domain.errors import InvalidServerUrl
from reelstore.storage.hosts import HOST, ZONE_LENGTH_MAX, same_host

PREFIX_LENGTH_MAX = 512
"""What is left of the 1,024 bytes that a key may have is more than the longest shard's name."""

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_STEP = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_OPTIONS = {
    "s3": {"endpoint", "region", "path_style"},
    "gs": {"endpoint"},
    "az": {"endpoint", "account"},
}
_VALUES = {
    "region": re.compile(r"[A-Za-z0-9-]{1,64}"),
    "path_style": re.compile(r"true|false"),
    "account": re.compile(r"[a-z0-9]{3,24}"),
}
_SECRETS = re.compile(r"key|secret|token|password|sas|sig|credential", re.IGNORECASE)
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class BucketAddress:
    """Where a bucket is, without any secret.

    Args:
        scheme: `s3`, `gs` or `az`.
        bucket: its name; a container's with `az`.
        prefix: below which everything lies, without slashes at its ends; may be empty.
        endpoint: `scheme://host:port` of the store; None for the service of Amazon, Google or Microsoft itself.
        region: of the bucket, where the store has such.
        path_style: whether the bucket is named in the path of a request, or else in its host.
        account: the storage account, with `az`.
    """

    scheme: str
    bucket: str
    prefix: str
    endpoint: str | None = None
    region: str | None = None
    path_style: bool = True
    account: str | None = None

    def __str__(self) -> str:
        where = f"{self.scheme}://{self.bucket}/{self.prefix}".rstrip("/")
        return where if self.endpoint is None else f"{where} at {self.endpoint}"


def bucket_address(parts: SplitResult) -> BucketAddress:
    """Read a bucket's URL.

    Raises:
        InvalidServerUrl: it is no bucket's; a retry does not help.
    """
    if "@" in parts.netloc:
        raise _invalid("it holds credentials, which would be stored and shown; give them in the environment")
    if not _BUCKET.fullmatch(parts.netloc):
        raise _invalid(f"the bucket's name is missing, or is none; a bucket is {parts.scheme}://bucket/prefix")
    options = _options(parts)
    endpoint = options.get("endpoint")
    if endpoint is not None:
        endpoint = _endpoint(endpoint)
    if parts.scheme == "az" and "account" not in options:
        raise _invalid("it does not name the storage account; write ?account=NAME")
    if endpoint is not None and options.get("path_style") == "false" and _is_number(endpoint):
        raise _invalid("path_style=false puts the bucket before the endpoint's host, which must be a name then")
    return BucketAddress(
        scheme=parts.scheme,
        bucket=parts.netloc,
        prefix=_prefix(parts.path),
        endpoint=endpoint,
        region=options.get("region"),
        path_style=options.get("path_style") != "false",
        account=options.get("account"),
    )


def zone_of_bucket(parts: SplitResult) -> str:
    """Return what surely fails together with it: its endpoint's host, or the service and its region.

    Raises:
        InvalidServerUrl: see `bucket_address`.
    """
    address = bucket_address(parts)
    if address.endpoint is not None:
        zone = urlsplit(address.endpoint).hostname or ""
    else:
        zone = "-".join(filter(None, (address.scheme, address.region or address.account)))
    return zone[:ZONE_LENGTH_MAX].strip(":._-") or "bucket"


def same_bucket(a: SplitResult, b: SplitResult) -> bool:
    """Tell whether two URLs lead to one place, or one into the other; names of hosts are resolved, which may wait.

    Raises:
        InvalidServerUrl: see `bucket_address`.
    """
    one, other = bucket_address(a), bucket_address(b)
    if (one.scheme, one.bucket, one.account) != (other.scheme, other.bucket, other.account):
        return False
    steps, other_steps = (f"{address.prefix}/".lstrip("/") for address in (one, other))
    if not (steps.startswith(other_steps) or other_steps.startswith(steps)):
        return False
    if one.endpoint is None or other.endpoint is None:
        return one.endpoint == other.endpoint
    left, right = urlsplit(one.endpoint), urlsplit(other.endpoint)
    return left.port == right.port and same_host(left.hostname or "", right.hostname or "")


def _options(parts: SplitResult) -> dict[str, str]:
    known = _OPTIONS[parts.scheme]
    found: dict[str, str] = {}
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        if key not in known:
            if _SECRETS.search(key):
                raise _invalid(f"credentials such as {key!r} would be stored and shown; give them in the environment")
            raise _invalid(f"unknown option {key!r} (known: {', '.join(sorted(known))})")
        if key in found:
            raise _invalid(f"option {key} is given twice")
        if key in _VALUES and not _VALUES[key].fullmatch(value):
            raise _invalid(f"option {key} is not what it should be: {_VALUES[key].pattern}")
        found[key] = value
    return found


def _prefix(path: str) -> str:
    prefix = path.strip("/")
    if len(prefix) > PREFIX_LENGTH_MAX:
        raise _invalid(f"the prefix is longer than {PREFIX_LENGTH_MAX} characters")
    if prefix and not all(_STEP.fullmatch(step) for step in prefix.split("/")):
        raise _invalid("the prefix has letters, digits, '.', '_', '-' and single slashes, and no step begins with '.'")
    return prefix


def _endpoint(text: str) -> str:
    if "@" in text:
        raise _invalid("the endpoint holds credentials, which would be stored and shown; give them in the environment")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _invalid(f"the endpoint is no URL: {error}") from None
    if parts.scheme not in _DEFAULT_PORTS or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise _invalid("an endpoint is http://host:port or https://host:port, and nothing more")
    if not host or not HOST.fullmatch(host) or port == 0:
        raise _invalid("the endpoint's host or port is missing, or is none")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}:{_DEFAULT_PORTS[parts.scheme] if port is None else port}"


def _is_number(endpoint: str) -> bool:
    try:
        ip_address(urlsplit(endpoint).hostname or "")
    except ValueError:
        return False
    return True


def _invalid(message: str) -> InvalidServerUrl:
    return InvalidServerUrl(f"not a server's URL: {message}", field="url")
