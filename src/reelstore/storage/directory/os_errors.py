"""The one table from what the system says to what a storage server says."""

from __future__ import annotations

import errno
import os

from reelstore.domain.errors import ServerFull, ServerUnavailable, StorageError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

UNREADABLE = frozenset({errno.EIO, errno.EBADMSG, errno.EUCLEAN, errno.ENODATA, errno.EILSEQ})
"""What a read says of bytes that the medium, or the file system's own checksum, cannot give back."""

ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""What opening says where nothing of ours is: there is no entry, or a stray is in its place.

Links are never followed, so that one in the place of a shard is ELOOP, in that of a folder ENOTDIR.
"""

LINKLESS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV})
"""What linking says where a second link cannot be made: by this file system, to this file, or over its border."""

_ADVICE = {
    errno.EACCES: "give this process the right to read and write there",
    errno.EPERM: "give this process the right to read and write there",
    errno.EROFS: "the file system is mounted read-only, or became so after an error: see the system's log",
    errno.EIO: "the medium fails: see the system's log",
    errno.EMFILE: "this process has too many open files: raise its limit (ulimit -n)",
    errno.ENFILE: "this machine has too many open files",
    errno.ESTALE: "the network file system has lost it: mount it again",
    errno.ENOLCK: "this file system cannot lock: use one that can",
    errno.EBADF: "this file system may not be able to lock folders: use one that can",
}


def storage_error(error: OSError, *, server: str, doing: str) -> StorageError:
    """Translate an error of the system; total: whatever it is, what leaves is a `StorageError`.

    Args:
        error: what the system said.
        server: the server's name.
        doing: what failed, in words, such as "cannot store a shard".

    Returns:
        `ServerFull` when there is no room, otherwise `ServerUnavailable`, with advice where there is some.
    """
    said = os.strerror(error.errno) if error.errno is not None else str(error) or type(error).__name__
    message = f"{doing}: {said}"
    if error.errno in _FULL:
        return ServerFull(message, server=server)
    if error.errno in _ADVICE:
        message = f"{message}; {_ADVICE[error.errno]}"
    return ServerUnavailable(message, server=server)
