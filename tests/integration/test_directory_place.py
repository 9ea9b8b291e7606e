"""A folder that is gone, another's, in use or unreadable is never taken for an empty one."""

# ruff: noqa: ASYNC240 - the event loop has nothing else to do while the test looks at the disk

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from reelstore.domain.errors import ServerRefused, ServerUnavailable, ShardMissing
from reelstore.storage.directory import DirectoryServer
from tests.contract.storage_suite import MARKER, listed, listed_names, shard
from tests.integration.disks import mount, small_disk, unmount

CHILD = Path(__file__).with_name("directory_child.py")
NAME = shard(b"kept")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "place"


@pytest.fixture
async def server(root: Path) -> AsyncIterator[DirectoryServer]:
    server = DirectoryServer("a", root, reserve_bytes=0)
    await server.attach(MARKER, claim=True)
    await server.put(NAME, b"kept")
    yield server
    await server.close()


async def assert_every_call_fails(server: DirectoryServer, error: type[ServerUnavailable]) -> None:
    absent = shard(b"never stored")
    calls = (
        server.put(NAME, b"x"),
        server.put(absent, b"x"),
        server.get(NAME),
        server.get(absent),
        server.stat(absent),
        server.delete(absent),
        listed(server),
        listed(server, "nobody"),
        server.find("default", absent.digest),
        server.record_delete_rounds(9),
        server.strays(1),
        server.digest(absent),
        server.set_aside(absent),
    )
    for call in calls:
        with pytest.raises(error):
            await call


class TestGone:
    async def test_a_folder_deleted_while_serving_refuses_every_call(self, server: DirectoryServer, root: Path) -> None:
        shutil.rmtree(root)
        with pytest.raises(ServerRefused, match="was deleted"):
            await server.get(NAME)
        await assert_every_call_fails(server, ServerRefused)
        with pytest.raises(ServerUnavailable, match="does not exist"):
            await server.check()
        await assert_every_call_fails(server, ServerUnavailable)
        assert not root.exists()

    async def test_a_folder_emptied_while_serving_is_refused_and_not_filled(
        self, server: DirectoryServer, root: Path
    ) -> None:
        for found in root.iterdir():
            shutil.rmtree(found) if found.is_dir() else found.unlink()
        await assert_every_call_fails(server, ServerRefused)
        with pytest.raises(ServerRefused, match="no marker"):
            await server.check()
        assert list(root.iterdir()) == []

    async def test_a_folder_moved_away_is_noticed_by_check_and_taken_up_when_it_returns(
        self, server: DirectoryServer, root: Path
    ) -> None:
        root.rename(root.with_name("elsewhere"))
        with pytest.raises(ServerUnavailable, match="does not exist"):
            await server.check()
        await assert_every_call_fails(server, ServerUnavailable)
        root.with_name("elsewhere").rename(root)
        assert await server.check() == MARKER
        assert await server.get(NAME) == b"kept"
        assert (await server.usage()).used_bytes == 4

    async def test_a_folder_replaced_by_anothers_is_refused(self, server: DirectoryServer, root: Path) -> None:
        other = DirectoryServer("b", root.with_name("other"))
        await other.attach(replace(MARKER, server="b"), claim=True)
        await other.close()
        root.rename(root.with_name("elsewhere"))
        root.with_name("other").rename(root)
        with pytest.raises(ServerRefused, match="belongs to server 'b'"):
            await server.check()
        await assert_every_call_fails(server, ServerRefused)

    async def test_a_folder_put_back_from_a_copy_is_taken_up(self, server: DirectoryServer, root: Path) -> None:
        shutil.copytree(root, root.with_name("backup"))
        shutil.rmtree(root)
        root.with_name("backup").rename(root)
        assert await server.check() == MARKER
        assert await server.get(NAME) == b"kept"

    async def test_an_unmounted_disk_is_refused_until_it_is_mounted_again(self, tmp_path: Path) -> None:
        root = tmp_path / "mounted"
        with small_disk(tmp_path / "disk", "size=4m") as disk:
            root.mkdir()
            mount("--bind", str(disk), str(root))
            server = DirectoryServer("a", root, reserve_bytes=0)
            try:
                await server.attach(MARKER, claim=True)
                await server.put(NAME, b"kept")
            finally:
                unmount(root)
            with pytest.raises(ServerRefused, match="is its disk mounted"):
                await server.check()
            await assert_every_call_fails(server, ServerRefused)
            assert list(root.iterdir()) == []
            mount("--bind", str(disk), str(root))
            try:
                assert await server.check() == MARKER
                assert await server.get(NAME) == b"kept"
            finally:
                await server.close()
                unmount(root)

    async def test_a_shard_deleted_by_hand_is_missing_and_the_place_is_not(
        self, server: DirectoryServer, root: Path
    ) -> None:
        shutil.rmtree(root / "shards")
        with pytest.raises(ShardMissing):
            await server.get(NAME)
        assert await listed_names(server) == set()
        await server.put(NAME, b"again")
        assert await server.get(NAME) == b"again"


class TestAttach:
    async def test_without_a_claim_nothing_is_made(self, root: Path) -> None:
        server = DirectoryServer("a", root)
        with pytest.raises(ServerUnavailable, match="does not exist"):
            await server.attach(MARKER, claim=False)
        assert not root.exists()
        root.mkdir()
        with pytest.raises(ServerRefused, match="no marker"):
            await server.attach(MARKER, claim=False)
        assert list(root.iterdir()) == []
        await server.close()

    async def test_a_server_that_could_not_be_attached_returns_when_its_folder_does(
        self, server: DirectoryServer, root: Path
    ) -> None:
        await server.close()
        root.rename(root.with_name("elsewhere"))
        late = DirectoryServer("a", root)
        with pytest.raises(ServerUnavailable):
            await late.attach(MARKER, claim=False)
        with pytest.raises(ServerUnavailable, match="does not exist"):
            await late.get(NAME)
        root.with_name("elsewhere").rename(root)
        await late.check()
        assert await late.get(NAME) == b"kept"
        await late.close()

    async def test_a_claim_of_a_folder_that_holds_something_else_is_refused(self, root: Path) -> None:
        (root / "holiday.mp4").mkdir(parents=True)
        server = DirectoryServer("a", root)
        with pytest.raises(ServerRefused, match=r"not empty.*holiday.*give an empty or a new folder"):
            await server.attach(MARKER, claim=True)
        assert [found.name for found in root.iterdir()] == ["holiday.mp4"]
        await server.close()

    async def test_a_claim_takes_a_fresh_file_system_and_what_a_crashed_claim_left(self, root: Path) -> None:
        (root / "lost+found").mkdir(parents=True)
        (root / ".17.0123456789abcdef.0.tmp").write_bytes(b"{")
        server = DirectoryServer("a", root)
        assert await server.attach(MARKER, claim=True) == MARKER
        assert sorted(found.name for found in root.iterdir()) == ["lost+found", "reelstore.json"]
        await server.close()

    @pytest.mark.parametrize("text", [b"", b"{", b"{}", b"[" * 100_000, b"\xff\xfe", b'{"reelstore_marker": 2}'])
    @pytest.mark.parametrize("claim", [True, False])
    async def test_a_marker_that_cannot_be_read_is_refused_and_kept(
        self, server: DirectoryServer, root: Path, text: bytes, claim: bool
    ) -> None:
        await server.close()
        (root / "reelstore.json").write_bytes(text)
        with pytest.raises(ServerRefused, match="cannot be used"):
            await server.attach(MARKER, claim=claim)
        assert (root / "reelstore.json").read_bytes() == text

    async def test_a_marker_that_is_a_link_a_folder_or_a_pipe_is_refused(
        self, server: DirectoryServer, root: Path
    ) -> None:
        await server.close()
        marker = root / "reelstore.json"
        marker.rename(root.with_name("marker"))
        kinds: list[Callable[[], None]] = [
            lambda: marker.symlink_to(root.with_name("marker")),
            marker.mkdir,
            lambda: os.mkfifo(marker),
        ]
        for make in kinds:
            make()
            with pytest.raises(ServerRefused, match="is not a file"):
                await server.attach(MARKER, claim=True)
            marker.rmdir() if marker.is_dir() and not marker.is_symlink() else marker.unlink()

    async def test_a_path_that_is_a_file_is_unavailable(self, root: Path) -> None:
        root.write_bytes(b"")
        server = DirectoryServer("a", root)
        for claim in (True, False):
            with pytest.raises(ServerUnavailable):
                await server.attach(MARKER, claim=claim)
        await server.close()

    async def test_a_marker_that_is_changed_while_serving_is_noticed(self, server: DirectoryServer, root: Path) -> None:
        (root / "reelstore.json").write_bytes(b"{}")
        with pytest.raises(ServerRefused):
            await server.record_delete_rounds(1)
        with pytest.raises(ServerRefused):
            await server.check()
        await assert_every_call_fails(server, ServerRefused)


class TestInUse:
    async def test_two_servers_of_one_process_cannot_have_one_folder(self, server: DirectoryServer, root: Path) -> None:
        await server.record_delete_rounds(1)  # replaces the marker, and must not lose the lock
        second = DirectoryServer("a", root)
        with pytest.raises(ServerUnavailable, match="in use"):
            await second.attach(MARKER, claim=True)
        await server.close()
        await second.attach(MARKER, claim=False)
        assert await second.get(NAME) == b"kept"
        await second.close()

    async def test_two_processes_cannot_have_one_folder_and_a_killed_one_gives_it_back(self, root: Path) -> None:
        server = DirectoryServer("a", root)
        with holding(root):
            with pytest.raises(ServerUnavailable, match="in use by another process") as error:
                await server.attach(MARKER, claim=True)
            assert error.value.retryable
        await server.attach(MARKER, claim=False)
        await server.close()


@contextmanager
def holding(root: Path) -> Iterator[None]:
    """Let another process hold the folder, until it is killed."""
    with subprocess.Popen(
        [sys.executable, CHILD, "hold", root], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            child.kill()


class TestReadOnly:
    async def test_a_disk_that_became_read_only_serves_reads_and_says_why_it_does_not_write(
        self, tmp_path: Path
    ) -> None:
        with small_disk(tmp_path / "disk", "size=4m") as disk:
            server = DirectoryServer("a", disk, reserve_bytes=0)
            await server.attach(MARKER, claim=True)
            await server.put(NAME, b"kept")
            mount("-o", "remount,ro", str(disk))
            for call in (server.put(NAME, b"x"), server.delete(NAME), server.record_delete_rounds(1)):
                with pytest.raises(ServerUnavailable, match="read-only") as error:
                    await call
                assert error.value.retryable
            assert await server.get(NAME) == b"kept"
            assert await server.check() == MARKER
            await server.close()
            await server.attach(MARKER, claim=True)
            assert await listed_names(server) == {NAME}
            await server.close()


@pytest.mark.parametrize("below", [(), ("below",)])
async def test_a_file_is_no_place_for_a_server(tmp_path: Path, below: tuple[str, ...]) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(ServerRefused, match="is not a folder"):
        await DirectoryServer("a", file.joinpath(*below), reserve_bytes=0).attach(MARKER, claim=True)
    assert file.read_text() == "mine"
