"""What was acknowledged was synced before, in the right order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reelstore.domain.chunk import ShardName
from reelstore.domain.errors import ServerUnavailable
from reelstore.storage.directory import DirectoryServer
from reelstore.storage.directory.layout import is_temporary
from tests.contract.storage_suite import MARKER, digest_at, listed_names, shard

NAME = shard(digest=digest_at("abc"))
FOLDER = "shards/default/abc"


class Recorder:
    """Write down the calls that make something durable or visible, with paths relative to the place."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.calls: list[str] = []
        for name in ("fsync", "fdatasync"):
            monkeypatch.setattr(os, name, self._of_handle(name, getattr(os, name)))
        real_rename, real_mkdir = os.rename, os.mkdir

        def rename(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
            self.calls.append(f"rename {self._relative(src_dir_fd, source)} {self._relative(dst_dir_fd, target)}")
            real_rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

        def mkdir(name: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
            real_mkdir(name, mode, dir_fd=dir_fd)
            if dir_fd is not None:
                self.calls.append(f"mkdir {self._relative(dir_fd, name)}")

        monkeypatch.setattr(os, "rename", rename)
        monkeypatch.setattr(os, "mkdir", mkdir)

    def take(self) -> list[str]:
        taken, self.calls = self.calls, []
        return taken

    def _of_handle(self, name: str, call: Callable[[int], None]) -> Callable[[int], None]:
        def recorded(fd: int) -> None:
            call(fd)
            self.calls.append(f"{name} {self._relative(fd)}")

        return recorded

    def _relative(self, fd: int, name: str = "") -> str:
        path = os.path.relpath(Path(f"/proc/self/fd/{fd}").readlink() / name, self.root)
        folder, _, leaf = path.rpartition("/")
        return f"{folder}/TEMPORARY".lstrip("/") if is_temporary(leaf) else path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "place"


@pytest.fixture
def recorder(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    yield Recorder(root, monkeypatch)
    monkeypatch.undo()


def put_of(name: ShardName, folder: str = FOLDER) -> list[str]:
    return [
        f"fdatasync {folder}/TEMPORARY",
        f"rename {folder}/TEMPORARY {folder}/{name.leaf}",
        f"fsync {folder}",
    ]


async def test_a_put_syncs_the_file_then_renames_then_syncs_the_folder_and_its_new_parents(
    root: Path, recorder: Recorder
) -> None:
    server = DirectoryServer("a", root)
    await server.attach(MARKER, claim=True)
    recorder.take()
    await server.put(NAME, b"x")
    assert recorder.take() == [
        "mkdir shards",
        "mkdir shards/default",
        f"mkdir {FOLDER}",
        *put_of(NAME),
        "fsync shards/default",
        "fsync shards",
        "fsync .",
    ]
    await server.put(NAME, b"over")
    assert recorder.take() == put_of(NAME)
    other = shard(digest=digest_at("abd"))
    await server.put(other, b"x")
    assert recorder.take() == ["mkdir shards/default/abd", *put_of(other, "shards/default/abd"), "fsync shards/default"]
    await server.close()


async def test_an_adoption_syncs_the_bytes_then_renames_a_link_to_them_then_syncs_the_folder(
    root: Path, recorder: Recorder
) -> None:
    server = DirectoryServer("a", root)
    await server.attach(MARKER, claim=True)
    await server.put(NAME, b"x")
    recorder.take()
    adopted = shard(digest=digest_at("abc"), tenure=2)
    await server.adopt(NAME, adopted)
    assert recorder.take() == [
        f"fdatasync {FOLDER}/{NAME.leaf}",
        f"rename {FOLDER}/TEMPORARY {FOLDER}/{adopted.leaf}",
        f"fsync {FOLDER}",
    ]
    await server.close()


async def test_a_folder_made_by_an_earlier_process_is_synced_again_once(root: Path, recorder: Recorder) -> None:
    server = DirectoryServer("a", root)
    await server.attach(MARKER, claim=True)
    (root / FOLDER).mkdir(parents=True)
    recorder.take()
    await server.put(NAME, b"x")
    assert recorder.take() == [*put_of(NAME), "fsync shards/default", "fsync shards", "fsync ."]
    await server.put(NAME, b"x")
    assert recorder.take() == put_of(NAME)
    await server.close()


async def test_a_claim_syncs_the_marker_and_the_folders_that_lead_to_it(tmp_path: Path, recorder: Recorder) -> None:
    path = tmp_path / "place" / "deep" / "down"
    server = DirectoryServer("a", path)
    await server.attach(MARKER, claim=True)
    calls = recorder.take()
    assert calls[:5] == [
        "fsync deep/down/TEMPORARY",
        "rename deep/down/TEMPORARY deep/down/reelstore.json",
        "fsync deep/down",
        "fsync deep",
        "fsync .",
    ]
    assert "fsync .." in calls
    await server.record_delete_rounds(1)
    assert recorder.take() == calls[:3]
    await server.record_delete_rounds(1)
    assert recorder.take() == []
    await server.close()


@pytest.mark.parametrize("step", ["open", "write", "fdatasync", "rename", "fsync"])
async def test_a_step_that_fails_is_an_error_and_leaves_old_or_new_and_no_temporary(
    root: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    server = DirectoryServer("a", root)
    await server.attach(MARKER, claim=True)
    await server.put(NAME, b"old")
    real = getattr(os, step)

    def failing(*args: Any, **kwargs: Any) -> Any:
        if step == "open" and not args[1] & os.O_CREAT:
            return real(*args, **kwargs)
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, step, failing)
        with pytest.raises(ServerUnavailable, match="system's log") as error:
            await server.put(NAME, b"longer")
    assert error.value.retryable
    assert await server.get(NAME) == (b"longer" if step == "fsync" else b"old")
    assert [found.name for found in (root / FOLDER).iterdir()] == [NAME.leaf]
    assert (await server.usage()).used_bytes == len(await server.get(NAME))
    assert (await server.usage()).free_bytes > 0
    await server.close()


async def test_a_put_that_is_given_up_while_it_writes_never_becomes_visible(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = DirectoryServer("a", root)
    await server.attach(MARKER, claim=True)
    writing, go_on = threading.Event(), threading.Event()
    real = os.fdatasync

    def waiting(fd: int) -> None:
        writing.set()
        go_on.wait()
        real(fd)

    monkeypatch.setattr(os, "fdatasync", waiting)
    put = asyncio.ensure_future(server.put(NAME, b"the writer may have changed this"))
    await asyncio.to_thread(writing.wait)
    put.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await put
    go_on.set()
    await server.close()
    monkeypatch.undo()
    await server.attach(MARKER, claim=False)
    assert await listed_names(server) == set()
    assert list((root / FOLDER).iterdir()) == []
    assert (await server.usage()).used_bytes == 0
    await server.close()


async def test_a_call_that_writes_only_a_part_is_repeated_for_the_rest(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = DirectoryServer("a", root)
    await server.attach(MARKER, claim=True)
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:1000]))
    data = os.urandom(10_500)
    await server.put(NAME, data)
    monkeypatch.undo()
    assert await server.get(NAME) == data
    await server.close()
