"""Every error that Reelstore raises by intent, as one tree.

    ReelstoreError
    ├── InvalidInput                 what was asked makes no sense; asking again does not help
    │   ├── InvalidCursor
    │   └── InvalidServerUrl
    ├── NotFound
    │   ├── VideoNotFound
    │   ├── ServerNotFound
    │   ├── PolicyNotFound
    │   ├── PlanNotFound
    │   └── StoredFileNotFound       an upload that never was, ended or expired
    ├── Conflict                     the present state does not allow it
    │   ├── ServerExists
    │   ├── PolicyExists
    │   ├── VideoStateConflict       restore of what is not in the trash, and the like
    │   ├── StalePlan                the topology, or the price, is another since it was planned
    │   ├── WarningsNotAccepted      a plan warns of something that somebody must accept
    │   ├── RemovalUnsafe            the server may hold the last shard of something
    │   └── OffsetConflict           somebody else wrote to this file meanwhile
    ├── PreconditionFailed           the caller's version is not the present one
    ├── TooLarge
    ├── IncompleteBody               the client left, or sent less than it announced
    ├── Unavailable                  trying again later can help
    │   ├── InsufficientServers      fewer servers acknowledged than `copies_min`
    │   ├── ChunkUnavailable         no good shard on the servers that answered; some did not
    │   ├── Overloaded               a stated limit is reached
    │   └── MetadataUnavailable
    │       └── MetadataFull         the metadata's own volume is full: purge, or make it larger
    ├── InsufficientStorage          every server that could take the bytes is full
    ├── ChunkLost                    every server answered, and none has the chunk
    ├── StorageError                 what a storage server says; the chunk store deals with it
    │   ├── ServerUnavailable        no answer, or none that counts; a retry can help
    │   │   └── ServerRefused        the marker is missing or another's: an operator must look
    │   │       └── ServerUnauthorized   it answers, and does not accept our credentials
    │   ├── ServerFull
    │   ├── ShardMissing
    │   └── ShardCorrupt
    ├── PlacementError
    │   ├── InvalidRing              a ring breaks one of its own rules
    │   └── CorruptRing              serialised bytes that do not match their checksum
    ├── IntegrityViolation           a write that the metadata's constraints refuse: a defect of ours
    ├── StaleRing                    the ring is another by now; place again and retry
    └── ConfigurationError           the process cannot start like this

Errors carry data as attributes and say by `retryable` whether the same call may succeed later without anything
being changed by the caller. `problem` names the page in `docs/problems/` (and the RFC 9457 type over HTTP).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class ReelstoreError(Exception):
    """Be the root of the tree."""

    problem: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong inside Reelstore"
    retryable: ClassVar[bool] = False


class InvalidInput(ReelstoreError):
    """Say which field is wrong, and why."""

    problem = "invalid-input"
    title = "The request is not valid"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class InvalidCursor(InvalidInput):
    """Refuse a cursor that no listing handed out."""

    problem = "invalid-cursor"
    title = "The cursor is not valid"


class InvalidServerUrl(InvalidInput):
    """Refuse a server URL that no driver understands."""

    problem = "invalid-server-url"
    title = "The server's URL is not valid"


class NotFound(ReelstoreError):
    """Name what is not there."""

    problem = "not-found"
    title = "There is no such thing"

    def __init__(self, message: str, *, key: str = "") -> None:
        super().__init__(message)
        self.key = key


class VideoNotFound(NotFound):
    """Name a video that does not exist, or no longer."""

    problem = "video-not-found"
    title = "There is no such video"


class ServerNotFound(NotFound):
    """Name a storage server that is not registered."""

    problem = "server-not-found"
    title = "There is no such server"


class PolicyNotFound(NotFound):
    """Name a policy that does not exist."""

    problem = "policy-not-found"
    title = "There is no such policy"


class PlanNotFound(NotFound):
    """Name a plan that was never made, or is forgotten."""

    problem = "plan-not-found"
    title = "There is no such plan"


class StoredFileNotFound(NotFound):
    """Name an open file that never was, is complete, or has expired."""

    problem = "upload-not-found"
    title = "There is no such upload"


class Conflict(ReelstoreError):
    """Say which present state is in the way."""

    problem = "conflict"
    title = "The present state does not allow this"


class ServerExists(Conflict):
    """Refuse a second server of the same name or the same place."""

    problem = "server-exists"
    title = "There is such a server already"


class PolicyExists(Conflict):
    """Refuse a second policy of the same name."""

    problem = "policy-exists"
    title = "There is such a policy already"


class VideoStateConflict(Conflict):
    """Refuse what the video's state does not allow."""

    problem = "video-state"
    title = "The video's state does not allow this"


class StalePlan(Conflict):
    """Refuse a plan that no longer fits: it was applied, the ring is another, or it would cost more. Plan again."""

    problem = "stale-plan"
    title = "The plan no longer fits"


class WarningsNotAccepted(Conflict):
    """Refuse a plan with warnings that nobody accepted; `warnings` are their messages."""

    problem = "warnings-not-accepted"
    title = "The plan has warnings that must be accepted"

    def __init__(self, message: str, *, warnings: tuple[str, ...], plan_id: str) -> None:
        super().__init__(message)
        self.warnings = warnings
        self.plan_id = plan_id


class RemovalUnsafe(Conflict):
    """Refuse to remove a server that may hold the last shard of a chunk.

    Args:
        message: for people.
        reasons: why, one for each thing that is not proved.
        videos: videos at risk, as far as they are known, each with its `id` and `name`; at most 100.
    """

    problem = "removal-unsafe"
    title = "Removing this server may lose data"

    def __init__(self, message: str, *, reasons: tuple[str, ...], videos: tuple[Mapping[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.reasons = reasons
        self.videos = videos


class OffsetConflict(Conflict):
    """Tell a writer that the file has moved on without it: read the offset again."""

    problem = "offset-conflict"
    title = "The upload has moved on meanwhile"

    def __init__(self, message: str, *, offset_bytes: int | None = None) -> None:
        super().__init__(message)
        self.offset_bytes = offset_bytes


class PreconditionFailed(ReelstoreError):
    """Refuse a change that was made for another version."""

    problem = "precondition-failed"
    title = "The resource has changed since it was read"


class TooLarge(ReelstoreError):
    """Refuse a body, name or header beyond its limit, in bytes unless the message says otherwise."""

    problem = "too-large"
    title = "The request is larger than the limit"

    def __init__(self, message: str, *, limit: int) -> None:
        super().__init__(message)
        self.limit = limit


class IncompleteBody(ReelstoreError):
    """Report a body that ended before its announced length, or whose client left."""

    problem = "incomplete-body"
    title = "The body ended early"
    retryable = True


class Unavailable(ReelstoreError):
    """Report a condition that passes: the same call may succeed later."""

    problem = "unavailable"
    title = "The service cannot do this right now"
    retryable = True


class InsufficientServers(Unavailable):
    """Report that fewer distinct servers acknowledged than the policy's `copies_min`."""

    problem = "insufficient-servers"
    title = "Too few storage servers answer"

    def __init__(self, message: str, *, needed: int, acknowledged: int) -> None:
        super().__init__(message)
        self.needed = needed
        self.acknowledged = acknowledged


class ChunkUnavailable(Unavailable):
    """Report that no server that answered has a good shard, and that some did not answer."""

    problem = "chunk-unavailable"
    title = "A part of the video cannot be reached right now"

    def __init__(self, message: str, *, digest: str, unreachable: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.digest = digest
        self.unreachable = unreachable


class Overloaded(Unavailable):
    """Report that a stated limit on concurrent work is reached."""

    problem = "overloaded"
    title = "Too much is going on at once"


class MetadataUnavailable(Unavailable):
    """Report that the metadata database does not answer, is locked, or its volume is full."""

    problem = "metadata-unavailable"
    title = "The metadata database does not answer"


class MetadataFull(MetadataUnavailable):
    """Report that the metadata's own volume is full; a retry can help once something was purged."""


class InsufficientStorage(ReelstoreError):
    """Report that every server that could take the bytes is full."""

    problem = "insufficient-storage"
    title = "The storage servers are full"


class ChunkLost(ReelstoreError):
    """Report a chunk that no server has although all answered and no ring changed meanwhile."""

    problem = "chunk-lost"
    title = "A part of the video is lost"

    def __init__(self, message: str, *, digest: str) -> None:
        super().__init__(message)
        self.digest = digest


class StorageError(ReelstoreError):
    """Be what a storage server says; `server` is its name."""

    problem = "storage"
    title = "A storage server reported an error"

    def __init__(self, message: str, *, server: str) -> None:
        super().__init__(message)
        self.server = server


class ServerUnavailable(StorageError):
    """Report a server that does not answer or whose disk fails; a retry can help."""

    problem = "server-unavailable"
    title = "A storage server does not answer"
    retryable = True


class ServerRefused(ServerUnavailable):
    """Report a place whose marker is missing or another's; an operator must look, a retry alone does not help."""

    problem = "server-refused"
    title = "This is not the storage server that it should be"
    retryable = False


class ServerUnauthorized(ServerRefused):
    """Report a server that answers and does not accept our credentials: it is there, and its shards are too."""

    problem = "server-unauthorized"
    title = "A storage server does not accept the cluster's credentials"


class ServerFull(StorageError):
    """Report that a server has no room above its reserve."""

    problem = "server-full"
    title = "A storage server is full"


class ShardMissing(StorageError):
    """Report that a server answers and does not have the shard."""

    problem = "shard-missing"
    title = "A shard is missing"


class ShardCorrupt(StorageError):
    """Report bytes that do not match their digest."""

    problem = "shard-corrupt"
    title = "A shard is corrupt"


class PlacementError(ReelstoreError):
    """Be what is wrong with a ring."""

    problem = "placement"
    title = "The ring cannot be used"


class InvalidRing(PlacementError):
    """Report a ring that breaks one of its own rules; it is never used."""

    problem = "invalid-ring"
    title = "The ring breaks its own rules"


class CorruptRing(PlacementError):
    """Report serialised rings that do not match their checksum, or not their parent."""

    problem = "corrupt-ring"
    title = "The stored ring is corrupt"


class IntegrityViolation(ReelstoreError):
    """Report a write that the metadata's constraints refuse: a defect of ours. The unit of work cannot be committed."""

    problem = "internal"
    title = "Something went wrong inside Reelstore"


class StaleRing(ReelstoreError):
    """Tell the writer that the ring it placed by is no longer the newest; it places again and retries."""

    problem = "stale-ring"
    title = "The ring has changed"
    retryable = True


class ConfigurationError(ReelstoreError):
    """Say which setting or file keeps the process from starting, and what to do."""

    problem = "configuration"
    title = "Reelstore cannot start like this"
