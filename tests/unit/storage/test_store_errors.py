from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore import exceptions

from reelstore.domain.errors import ServerRefused, ServerUnauthorized, ServerUnavailable, StorageError
from reelstore.storage.bucket.store_errors import MESSAGE_LENGTH_MAX, is_missing, is_past_the_end, store_error

KINDS = [
    *(kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, Exception)),
    FileNotFoundError,
    OSError,
    ValueError,
    RuntimeError,
]


def said(error: Exception) -> StorageError:
    return store_error(error, server="a", where="s3://videos/x", doing="store a shard")


@given(st.sampled_from(KINDS), st.text())
def test_every_error_of_the_library_becomes_one_of_a_storage_server(kind: type[Exception], text: str) -> None:
    error = said(kind(text))
    assert isinstance(error, StorageError)
    assert error.server == "a"
    assert str(error).startswith("s3://videos/x: ")


@given(st.text(), st.text())
def test_whatever_a_store_says_is_shown_short_and_printable(code: str, message: str) -> None:
    text = f"status code: 400 Bad: <Code>{code}</Code><Message>{message}</Message>\n{'x' * 5000}"
    shown = str(said(exceptions.GenericError(text)))
    assert len(shown) < MESSAGE_LENGTH_MAX + 200
    assert all(character.isprintable() for character in shown)


def test_of_what_a_store_says_only_code_and_message_are_repeated() -> None:
    body = (
        "<Code>SignatureDoesNotMatch</Code><Message>no match</Message><AWSAccessKeyId>AKIA123</AWSAccessKeyId>"
        "<StringToSign>secret words</StringToSign>"
    )
    shown = str(said(exceptions.PermissionDeniedError(body)))
    assert "SignatureDoesNotMatch: no match" in shown
    assert "AKIA123" not in shown
    assert "secret words" not in shown


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("Generic S3 error: error sending request\nConnectError(dns error)", ServerUnavailable, "cannot be resolved"),
        ("error sending request\nos error 111 Connection refused", ServerUnavailable, "is the store running"),
        ("error sending request\nerror: InvalidCertificate(UnknownIssuer)", ServerUnavailable, "not trusted"),
        ("error sending request\noperation timed out", ServerUnavailable, "no answer in time"),
        ("error sending request", ServerUnavailable, "broke off"),
        ("error performing PUT http://169.254.169.254/latest", ServerUnauthorized, "no credentials"),
        ("Received redirect without LOCATION", ServerRefused, "another region"),
        ("status code: 403 Forbidden: <html>redirect</html>", ServerUnauthorized, "store a shard"),
        ("status code: 429 Too Many Requests: ", ServerUnavailable, "slow down"),
        ("<Code>NotImplemented</Code> If-None-Match", ServerRefused, "not able to store a shard"),
    ],
)
def test_what_failed_and_what_can_be_done_is_said(text: str, kind: type[StorageError], words: str) -> None:
    error = said(exceptions.GenericError(text))
    assert type(error) is kind
    assert words in str(error)


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("404 Not Found: <Code>NoSuchKey</Code>", True),
        ("404 Not Found: <Code>BlobNotFound</Code>", True),
        ("404 Not Found: ", True),
        ("404 Not Found: <Code>NoSuchBucket</Code>", False),
        ("404 Not Found: <Code>ContainerNotFound</Code>", False),
        ("404 Not Found: <Code>XAdminUserNotFound</Code>", False),
        ("404 Not Found: <Code>SomethingNew</Code>", False),
    ],
)
def test_a_key_is_missing_only_when_nothing_else_is(text: str, missing: bool) -> None:
    assert is_missing(FileNotFoundError(text)) is missing
    assert not is_missing(exceptions.GenericError(text))


def test_a_range_behind_the_end_is_known_from_status_and_code() -> None:
    assert is_past_the_end(exceptions.GenericError("status code: 416 Range Not Satisfiable: "))
    assert is_past_the_end(exceptions.GenericError("<Code>InvalidRange</Code>"))
    assert not is_past_the_end(exceptions.GenericError("status code: 500 Internal Server Error: "))
