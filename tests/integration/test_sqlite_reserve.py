"""A purge works on a full volume; what would fill it further is refused. On a real volume where one may be mounted."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reelstore.bootstrap import running
from reelstore.chunkstore.body import PiecedBody
from reelstore.config import Settings
from reelstore.domain.errors import MetadataFull, MetadataUnavailable
from reelstore.repositories.sql import SqlMetadata
from reelstore.repositories.sql.reserve import SHORT_BYTES
from reelstore.services.video_requests import StoreRequest
from tests.cluster import CHUNK, content, pieces
from tests.contract.metadata_values import POLICY, add_file

MIB = 1024 * 1024
RESERVE_BYTES = 8 * MIB


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "volume"
    place.mkdir()
    mounted = shutil.which("mount") and os.geteuid() == 0
    if (
        not mounted
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=32m", "none", str(place)], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("a small volume cannot be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def _fill(volume: Path) -> Path:
    filler = volume / "filler"
    with filler.open("wb", buffering=0) as opened, contextlib.suppress(OSError):
        while opened.write(bytes(4096)):
            pass
    return filler


async def _write(metadata: SqlMetadata, file_id: str, first: int) -> None:
    async with metadata.unit_of_work() as uow:
        await add_file(uow, file_id, range(first, first + 1500))
        await uow.commit()


async def test_a_purge_works_on_a_full_volume_and_then_writing_does_too(volume: Path) -> None:
    metadata = await SqlMetadata.open(f"sqlite:///{volume}/metadata.sqlite", reserve_bytes=RESERVE_BYTES)
    await _write(metadata, "f", 0)
    filler = _fill(volume)
    with pytest.raises(MetadataUnavailable) as caught:
        await _write(metadata, "g", 5000)
    assert caught.value.retryable

    async with metadata.unit_of_work(frees=True) as uow:
        assert await uow.files.delete("f")
        assert len(await uow.chunks.delete_unreferenced(POLICY, b"", None)) == 1500
        await uow.commit()
    with pytest.raises(MetadataFull, match="purge"):
        await _write(metadata, "g", 5000)
    async with metadata.snapshot() as seen:
        assert await seen.files.get("f") is None
        assert await seen.files.get("g") is None

    filler.unlink()
    await _write(metadata, "g", 5000)
    assert (volume / "metadata.sqlite-reserve").stat().st_blocks * 512 >= RESERVE_BYTES
    await metadata.close()


async def test_a_volume_too_small_from_the_start_refuses_to_write_and_still_reads(volume: Path) -> None:
    with (volume / "filler").open("wb") as filler:
        filler.write(bytes(32 * MIB - SHORT_BYTES - MIB))
    metadata = await SqlMetadata.open(f"sqlite:///{volume}/metadata.sqlite", reserve_bytes=RESERVE_BYTES)
    with pytest.raises(MetadataFull):
        await _write(metadata, "f", 0)
    async with metadata.snapshot() as seen:
        assert await seen.files.get("f") is None
    await metadata.close()


async def test_a_gateway_starts_on_a_full_volume_reads_and_purges(volume: Path) -> None:
    settings = Settings(data=volume, background=False, partition_bits=4, chunk_size_bytes=CHUNK)
    async with running(settings) as application:
        stored = await application.videos.store(StoreRequest(name="kept"), PiecedBody(pieces(content(3 * CHUNK))))
    shutil.rmtree(volume / "servers" / "disk3")  # so that the start has something to write down
    filler = _fill(volume)
    async with running(settings) as application:
        assert (await application.health.status()).servers_up == 2
        with pytest.raises(MetadataFull):
            await application.videos.trash(stored.video.id, expected_version=None)
        assert (await application.videos.purge(stored.video.id, expected_version=None)).freed_bytes == 3 * CHUNK
    filler.unlink()
