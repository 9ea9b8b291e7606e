"""The one table from what a store says to what a storage server says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape

from obstore.exceptions import NotSupportedError, PermissionDeniedError, UnauthenticatedError

from reelstore.domain.errors import ServerFull, ServerRefused, ServerUnauthorized, ServerUnavailable, StorageError

MESSAGE_LENGTH_MAX = 300

_CODE = re.compile(r"<Code>([A-Za-z0-9]{1,64})</Code>")
_MESSAGE = re.compile(r"<Message>([^<]*)")
_STATUS = re.compile(r"status code: ([0-9]{3}[ A-Za-z-]*)")

_Meaning = tuple[type[StorageError], str]
"""What an error is to us, and the words for it, to be filled in."""

_SLOW: _Meaning = (ServerUnavailable, "it asks us to slow down{said}")
_FULL: _Meaning = (ServerFull, "it is full{said}")
_REGION: _Meaning = (ServerRefused, "it is in another region{said}: give that as ?region=")
_NO_BUCKET: _Meaning = (ServerRefused, "there is no such bucket{said}: make it, or correct the URL")
_UNKNOWN: _Meaning = (ServerUnauthorized, "it does not know the access key{said}")
_DENIED: _Meaning = (
    ServerUnauthorized,
    "it does not let us {doing}{said}: is the bucket read-only now, or may these credentials no longer do that?",
)

_OTHER: _Meaning = (ServerUnavailable, "cannot {doing}{said}")

_BY_CODE: Mapping[str, _Meaning] = {
    "NoSuchBucket": _NO_BUCKET,
    "ContainerNotFound": _NO_BUCKET,
    "ContainerBeingDeleted": _NO_BUCKET,
    "InvalidBucketName": _NO_BUCKET,
    "InvalidAccessKeyId": _UNKNOWN,
    "XAdminUserNotFound": _UNKNOWN,
    "SignatureDoesNotMatch": (ServerUnauthorized, "the secret does not belong to the access key{said}"),
    "AuthenticationFailed": (ServerUnauthorized, "it does not accept the account key{said}"),
    "ExpiredToken": (ServerUnauthorized, "the session token has expired{said}"),
    "InvalidToken": (ServerUnauthorized, "it does not know the session token{said}"),
    "RequestTimeTooSkewed": (
        ServerUnauthorized,
        "its clock and this machine's differ by too much{said}: set the wrong one",
    ),
    "QuotaExceeded": _FULL,
    "XMinioStorageFull": _FULL,
    "InsufficientStorage": _FULL,
    "SlowDown": _SLOW,
    "ServerBusy": _SLOW,
    "TooManyRequests": _SLOW,
    "PermanentRedirect": _REGION,
    "TemporaryRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "NotImplemented": (ServerRefused, "it is not able to {doing}{said}"),
}
_BY_KIND: Mapping[type[Exception], _Meaning] = {
    PermissionDeniedError: _DENIED,
    UnauthenticatedError: _DENIED,
    NotSupportedError: (ServerRefused, "it is not able to {doing}"),
}
_BY_STATUS: Mapping[str, _Meaning] = {"401": _DENIED, "403": _DENIED, "429": _SLOW}
_BY_SIGN: Mapping[str, _Meaning] = {
    "redirect": _REGION,
    "169.254.169.254": (
        ServerUnauthorized,
        "there are no credentials: the environment has none, and this machine has no role",
    ),
    "dns error": (ServerUnavailable, "cannot {doing}: its name cannot be resolved"),
    "Connection refused": (
        ServerUnavailable,
        "cannot {doing}: no connection: is the store running, and the port open?",
    ),
    "InvalidCertificate": (
        ServerUnavailable,
        "cannot {doing}: its certificate is not trusted, or names another host: is SSL_CERT_FILE the right authority?",
    ),
    "InvalidContentType": (ServerUnavailable, "cannot {doing}: no TLS connection: does the store serve https?"),
    "imed out": (ServerUnavailable, "cannot {doing}: no answer in time"),
    "error sending request": (ServerUnavailable, "cannot {doing}: the connection failed, or broke off"),
    "error decoding response body": (ServerUnavailable, "cannot {doing}: the answer broke off"),
}
"""What the library itself says, where the store did not answer."""


_PAST_THE_END = "Wanted range starting at"
"""What the library says where the store answered with all bytes."""
_MISSING = frozenset({"", "NoSuchKey", "BlobNotFound"})
"""What a 404 says of a key; other codes are of a bucket, or of credentials. The answer to a HEAD has none."""


def is_missing(error: Exception) -> bool:
    """Tell whether a store says that a key is not there."""
    return isinstance(error, FileNotFoundError) and _code(str(error)) in _MISSING


def is_past_the_end(error: Exception) -> bool:
    """Tell whether a store says that a range begins where the bytes have ended."""
    text = str(error)
    return _code(text) == "InvalidRange" or _status(text).startswith("416") or _PAST_THE_END in text


def store_error(error: Exception, *, server: str, where: str, doing: str) -> StorageError:
    """Translate what the library raised; total: whatever it is, what leaves is a `StorageError`.

    Only a store's code and message are repeated, as the rest can hold what it was sent.

    Args:
        error: what was raised.
        server: the server's name.
        where: the bucket.
        doing: what failed, in words, such as "store a shard".
    """
    text = str(error)
    kind, words = _meaning(error, text)
    said = words.format(doing=doing, said=_said(text))
    return kind(f"{where}: {said}", server=server)


def _meaning(error: Exception, text: str) -> _Meaning:
    code = _code(text)
    if code in _BY_CODE:
        return _BY_CODE[code]
    for kind, meaning in _BY_KIND.items():
        if isinstance(error, kind):
            return meaning
    if status := _status(text)[:3]:
        return _BY_STATUS.get(status, _OTHER)
    for sign, meaning in _BY_SIGN.items():
        if sign in text:
            return meaning
    return _OTHER


def _code(text: str) -> str:
    found = _CODE.search(text)
    return "" if found is None else found[1]


def _status(text: str) -> str:
    found = _STATUS.search(text)
    return "" if found is None else found[1].strip()


def _said(text: str) -> str:
    """Return what the store said, in brackets; what the library said when it was not the store."""
    said = text
    if code := _code(text):
        message = _MESSAGE.search(text)
        said = code if message is None or not message[1] else f"{code}: {unescape(message[1])}"
    elif status := _status(text):
        said = f"HTTP {status}"
    line = said.partition("\n")[0][:MESSAGE_LENGTH_MAX]
    return f" ({''.join(character for character in line if character.isprintable()).rstrip('. ')})"
