from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelstore.domain.errors import ServerFull, ServerUnavailable, StorageError
from reelstore.storage.directory.os_errors import storage_error


@pytest.mark.parametrize("number", sorted(errno.errorcode), ids=errno.errorcode.get)
def test_every_error_of_the_system_becomes_one_of_a_storage_server(number: int) -> None:
    error = storage_error(OSError(number, "whatever"), server="a", doing="cannot store a shard")
    assert type(error) in {ServerFull, ServerUnavailable}
    assert error.server == "a"
    assert str(error).startswith("cannot store a shard: ")


@given(number=st.integers(-(2**31), 2**31 - 1), text=st.text())
def test_an_error_of_any_number_or_none_does_too(number: int, text: str) -> None:
    for raised in (OSError(number, text), OSError(text), OSError(), TimeoutError(text)):
        assert isinstance(storage_error(raised, server="a", doing="cannot"), StorageError)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_room_is_full_and_a_retry_does_not_help(number: int) -> None:
    error = storage_error(OSError(number, ""), server="a", doing="cannot store a shard")
    assert isinstance(error, ServerFull)
    assert not error.retryable


@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.EROFS, "read-only"), (errno.EACCES, "right to read and write"), (errno.EMFILE, "ulimit -n")],
)
def test_what_can_be_done_is_said(number: int, advice: str) -> None:
    assert advice in str(storage_error(OSError(number, ""), server="a", doing="cannot store a shard"))
