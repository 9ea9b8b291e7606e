"""The reference for durable writes: threads which do the same writes and fsyncs as the store, and nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from reelstore.domain.policy import CHUNK_SIZE_BYTES_DEFAULT as CHUNK_SIZE_BYTES
from reelstore.storage.directory.server import THREADS

FOLDERS = 3
PREFIXES = 16**3


def write_copies(root: Path, content: bytearray, copies: int) -> float:
    """Write each chunk durably as a file in `copies` of three folders, and return the seconds it took.

    As the store does it: files of one chunk, spread over the same number of sub-folders, which are made and synced at
    the first file; temporary file, write, fdatasync, rename, fsync of the sub-folder; as many threads for each folder
    as a directory server has. Unlike the store, all chunks are there from the beginning, nothing is hashed, and no
    metadata is kept.
    """
    folders = [root / f"disk{number}" / "shards" / "default" for number in range(FOLDERS)]
    for folder in folders:
        folder.mkdir(parents=True)
    view = memoryview(content)
    chunks = [view[start : start + CHUNK_SIZE_BYTES] for start in range(0, len(view), CHUNK_SIZE_BYTES)]
    began = time.perf_counter()
    with ExitStack() as stack:
        pools = [stack.enter_context(ThreadPoolExecutor(THREADS)) for _ in folders]
        pending: list[Future[None]] = []
        for number, chunk in enumerate(chunks):
            for copy in range(copies):
                where = (number + copy) % FOLDERS
                pending.append(pools[where].submit(write_durably, folders[where], number, chunk))
        for future in pending:
            future.result()
    return time.perf_counter() - began


def copy_files(sources: Sequence[Path], folder: Path, *, at_once: int) -> float:
    """Read each file whole, write it durably below a folder as above, and return the seconds it took."""
    folder.mkdir(parents=True)

    def copy(number: int, source: Path) -> None:
        write_durably(folder, number, memoryview(source.read_bytes()))

    began = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        for future in [pool.submit(copy, number, source) for number, source in enumerate(sources)]:
            future.result()
    return time.perf_counter() - began


def write_durably(folder: Path, number: int, chunk: memoryview) -> None:
    """Write a file of that number: temporary file, write, fdatasync, rename, fsync of its sub-folder."""
    # A multiplier that is prime to the number of folders spreads them as digests would.
    place = folder / f"{number * 2654435761 % PREFIXES:03x}"
    new = not place.is_dir()
    place.mkdir(exist_ok=True)
    temporary = place / f".{number}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if os.write(fd, chunk) != len(chunk):
            raise OSError("the disk is full")
        os.fdatasync(fd)
    finally:
        os.close(fd)
    temporary.rename(place / str(number))
    _fsync(place)
    if new:
        _fsync(folder)


def _fsync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
