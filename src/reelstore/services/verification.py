"""Verify the whole cluster in slices: any gateway does any of them, and whoever asks may stop and go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reelstore.chunkstore.topology import TopologyCache
from reelstore.domain.chunk import DIGEST_BYTES, Chunk, ChunkState
from reelstore.domain.errors import InvalidCursor, InvalidInput
from reelstore.repositories.interface import Metadata
from reelstore.services.concerned import ConcernedVideo, concerned_videos
from reelstore.services.pages import decode_cursor, encode_cursor
from reelstore.services.proving import Proof, ShardProver, Tally

SECONDS_DEFAULT = 5.0
SECONDS_MAX = 30.0
READ_CHUNKS = 256
"""How many rows are read at a time, on average."""
CHUNKS_AT_ONCE = 8
"""After so many the clock is looked at."""
PROBLEMS_MAX = 200
LISTING = "verify"

_POSITION_BYTES = 8
_POSITIONS = 1 << (8 * _POSITION_BYTES)
_FIRST = bytes(DIGEST_BYTES)


@dataclass(frozen=True, slots=True)
class FoundProblem:
    """What is wrong with one shard.

    Args:
        chunk: digest, in hexadecimal.
        server: by name.
        problem: `missing`, `corrupt` or `unreachable`.
        videos: those with this chunk, at most `concerned.VIDEOS_MAX`; none when an unfinished upload alone has it.
    """

    chunk: str
    server: str
    problem: str
    videos: tuple[ConcernedVideo, ...]


@dataclass(frozen=True, slots=True)
class VerifiedSlice:
    """What one slice showed.

    Args:
        shards_total, shards_ok: how many the newest ring promises, and how many of them are good.
        shards_moving: how many of the good ones are not yet where the newest ring wants them.
        shards_bytes: read and hashed.
        problems: what is wrong with the others, at most `PROBLEMS_MAX`; `problems_truncated` tells of more.
        progress: how far this and all slices before it have come, 0 to 1; chunks lie evenly.
        next_cursor: where to go on; None when all was seen.
    """

    shards_total: int
    shards_ok: int
    shards_moving: int
    shards_bytes: int
    problems: tuple[FoundProblem, ...]
    problems_truncated: bool
    progress: float
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a slice begins: a policy, and the first digest of it that was not seen."""

    policy: str
    digest: bytes


class ClusterVerifier:
    """Go through the chunks of all policies in order of digest, each once however many videos share it.

    The cursor is all that is remembered, and it is the caller's. What is stored meanwhile behind the cursor is not
    seen: it was acknowledged by its servers after the verification began.

    Args:
        metadata: which chunks there are.
        topology: which policies.
        prover: reads and hashes shards.
        clock: seconds that pass.
    """

    def __init__(
        self,
        metadata: Metadata,
        topology: TopologyCache,
        prover: ShardProver,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metadata = metadata
        self._topology = topology
        self._prover = prover
        self._clock = clock

    async def verify(self, cursor: str | None = None, seconds: float = SECONDS_DEFAULT) -> VerifiedSlice:
        """Verify the next chunks for about so many seconds, at least a few of them.

        Args:
            cursor: `next_cursor` of the slice before; None begins.
            seconds: more than 0, at most `SECONDS_MAX`. What is being read when they are over is finished.

        Raises:
            InvalidCursor, InvalidInput: a retry does not help.
            MetadataUnavailable: nothing is lost; the same call can be repeated.
        """
        if not 0 < seconds <= SECONDS_MAX:
            raise InvalidInput(f"seconds must be more than 0, and at most {SECONDS_MAX:g}", field="seconds")
        deadline = self._clock() + seconds
        policies = sorted(self._topology.present.policies)
        place: _Place | None = _begin(cursor, policies)
        tally = Tally(PROBLEMS_MAX)
        while place is not None:
            place = await self._advance(place, policies, tally, deadline)
            if self._clock() >= deadline:
                break
        return VerifiedSlice(
            shards_total=tally.shards_total,
            shards_ok=tally.shards_ok,
            shards_moving=tally.shards_moving,
            shards_bytes=tally.shards_bytes,
            problems=await self._described(tally.problems),
            problems_truncated=tally.problems_truncated,
            progress=1.0 if place is None else _progress(place, policies),
            next_cursor=None if place is None else encode_cursor(LISTING, place.digest.hex(), place.policy),
        )

    async def _advance(self, place: _Place, policies: Sequence[str], tally: Tally, deadline: float) -> _Place | None:
        """Read some rows and prove them until the deadline; return where to go on, None after the last one."""
        chunks, stop = await self._read(place)
        for first in range(0, len(chunks), CHUNKS_AT_ONCE):
            batch = chunks[first : first + CHUNKS_AT_ONCE]
            tally.add(await self._prover.prove(batch))
            if self._clock() >= deadline and batch[-1] is not chunks[-1]:
                stop = _successor(batch[-1].digest)
                break
        if stop is not None:
            return _Place(place.policy, stop)
        following = policies.index(place.policy) + 1
        return _Place(policies[following], _FIRST) if following < len(policies) else None

    async def _read(self, place: _Place) -> tuple[list[Chunk], bytes | None]:
        """Return the next chunks that were confirmed, and the digest before which they end; None for the end."""
        async with self._metadata.snapshot() as view:
            count = (await view.videos.totals()).chunks
            width = max(1, _POSITIONS * READ_CHUNKS // max(1, count))
            position = int.from_bytes(place.digest[:_POSITION_BYTES]) + width
            stop = None if position >= _POSITIONS else position.to_bytes(_POSITION_BYTES).ljust(DIGEST_BYTES, b"\0")
            chunks = await view.chunks.in_range(place.policy, place.digest, stop)
        return [chunk for chunk in chunks if chunk.state is ChunkState.LIVE], stop

    async def _described(self, proofs: Sequence[Proof]) -> tuple[FoundProblem, ...]:
        async with self._metadata.snapshot() as view:
            names = {server.number: server.name for server in await view.servers.list()}
            videos = await concerned_videos(view, (proof.chunk.id for proof in proofs))
        return tuple(
            FoundProblem(
                chunk=proof.chunk.digest.hex(),
                server=names.get(proof.server, str(proof.server)),
                problem=proof.state.value,
                videos=videos[proof.chunk.id],
            )
            for proof in proofs
        )


def _begin(cursor: str | None, policies: Sequence[str]) -> _Place:
    if cursor is None:
        return _Place(policies[0], _FIRST)
    value, policy = decode_cursor(LISTING, cursor)
    wrong = InvalidCursor("the cursor is not one of a verification of this cluster", field="cursor")
    if not isinstance(value, str) or policy not in policies:
        raise wrong
    try:
        digest = bytes.fromhex(value)
    except ValueError:
        raise wrong from None
    if len(digest) != DIGEST_BYTES:
        raise wrong
    return _Place(policy, digest)


def _progress(place: _Place, policies: Sequence[str]) -> float:
    within = int.from_bytes(place.digest[:_POSITION_BYTES]) / _POSITIONS
    return (policies.index(place.policy) + within) / len(policies)


def _successor(digest: bytes) -> bytes:
    """Return the next digest; there is one, for a chunk of a larger digest was read."""
    return (int.from_bytes(digest) + 1).to_bytes(DIGEST_BYTES)
