"""A real `reelstore serve` in a fresh folder, started and ended by this process."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import machine, wire
from reelstore.domain.policy import CHUNK_SIZE_BYTES_DEFAULT as CHUNK_SIZE_BYTES

QUIET_SECONDS_MAX = 120.0
QUIET_PART = 0.1
"""Of one core, over two seconds: less is a gateway at rest."""


@dataclass(frozen=True)
class Gateway:
    """A running gateway, and the folder with its data."""

    pid: int
    port: int
    data: Path

    def store(self, name: str, content: bytearray, *, times: int = 1) -> wire.Site:
        """Store the content, that many times in a row as one video of which no chunk is there already.

        Returns:
            where to read it.
        """
        video = wire.upload(self.port, name, _repeated(content, times), len(content) * times)
        return wire.Site(self.port, f"/api/v1/videos/{video['id']}/content")

    def wait_until_quiet(self) -> None:
        """Wait until the background has read back what was stored; at most two minutes, as reads go on beside it."""
        deadline = time.monotonic() + QUIET_SECONDS_MAX
        quiet = 0
        while quiet < 2 and time.monotonic() < deadline:
            before = machine.processor_seconds(self.pid)
            time.sleep(2.0)
            quiet = quiet + 1 if machine.processor_seconds(self.pid) - before < 2.0 * QUIET_PART else 0


@contextmanager
def running(*, copies: int = 2, settings: Mapping[str, str] | None = None) -> Iterator[Gateway]:
    """Serve from a new folder, with defaults but for the number of copies; end it and remove the folder afterwards.

    The folder is made where temporary files are: `TMPDIR` chooses the disk.
    """
    with scratch_folder() as folder:
        variables = {name: value for name, value in os.environ.items() if not name.startswith("REELSTORE_")}
        variables |= {"REELSTORE_COPIES": str(copies)} | dict(settings or {})
        command = [sys.executable, "-c", "from reelstore.cli.app import main; main()", "serve"]
        log = folder / "gateway.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, "--data", str(folder / "data"), "--port", "0"], stdout=output, stderr=output, env=variables
            )
        try:
            yield Gateway(process.pid, _port(process, log), folder / "data")
        finally:
            process.terminate()
            process.wait()


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a folder, and remove it with all that it cost the disk before anything else is measured."""
    folder = Path(tempfile.mkdtemp(prefix="reelstore-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
        os.sync()


def _repeated(content: bytearray, times: int) -> Iterator[memoryview]:
    """Yield the content again and again, and from the second time on with other first bytes of each chunk."""
    for time_number in range(times):
        if time_number:
            for position in range(0, len(content), CHUNK_SIZE_BYTES):
                content[position : position + 8] = time_number.to_bytes(8, "big")
        yield memoryview(content)


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    """Wait for the line that says where the gateway listens."""
    while True:
        said = log.read_text(errors="replace")
        if found := re.search(r"listens on http://[^ ]*:(\d+)", said):
            return int(found[1])
        if process.poll() is not None:
            raise RuntimeError(f"the gateway ended with {process.returncode}:\n{said}")
        time.sleep(0.02)
