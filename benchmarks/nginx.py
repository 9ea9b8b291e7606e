"""nginx as the reference for reading: sendfile, one worker for each core, on files of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import wire

PROGRAM = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
START_SECONDS_MAX = 10.0

CONFIGURATION = """
daemon off;
worker_processes auto;
pid {folder}/nginx.pid;
error_log stderr warn;
{user}
events {{ worker_connections 512; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    default_type application/octet-stream;
    client_body_temp_path {folder}/temporary;
    proxy_temp_path {folder}/temporary;
    fastcgi_temp_path {folder}/temporary;
    uwsgi_temp_path {folder}/temporary;
    scgi_temp_path {folder}/temporary;
    server {{
        listen 127.0.0.1:{port};
        root {folder}/files;
    }}
}}
"""


class Nginx:
    """A running nginx, and the folder whose files it serves."""

    def __init__(self, port: int, files: Path) -> None:
        self.port = port
        self._files = files

    def store(self, name: str, content: bytearray) -> wire.Site:
        """Put a file there, durably, and return where to read it."""
        with (self._files / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return wire.Site(self.port, f"/{name}")


@contextmanager
def running(folder: Path) -> Iterator[Nginx]:
    """Run nginx on a free port until the block ends; call it only where `PROGRAM` is not None."""
    assert PROGRAM is not None
    files = folder / "files"
    files.mkdir()
    port = _free_port()
    user = "user root;" if os.geteuid() == 0 else ""  # the folder is readable by its owner only
    configuration = folder / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, port=port, user=user))
    process = subprocess.Popen([PROGRAM, "-e", "stderr", "-p", str(folder), "-c", str(configuration)])
    try:
        _wait_until_listening(process, port)
        yield Nginx(port, files)
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_listening(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            wire.connect(port).close()
        except ConnectionRefusedError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("nginx did not start") from None
            time.sleep(0.02)
        else:
            return
