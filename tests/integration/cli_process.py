"""The command line as users meet it: real processes, and a real server started by it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

COMMAND = (sys.executable, "-c", "from reelstore.cli.app import main; main()")
LISTENING = re.compile(r"listens on (http://\S+)")


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without settings of ours, but for those given."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("REELSTORE_")}
    return inherited | {"COLUMNS": "100"} | variables


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Start a command; its output comes through pipes unless the options say otherwise."""
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    options["env"] = environment(**options.pop("env", {}))
    return subprocess.Popen([*COMMAND, *arguments], text=True, **options)


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    with start(*arguments, **options) as process:
        out, errors = process.communicate()
    return subprocess.CompletedProcess(arguments, process.returncode, out, errors)


RETYPE_SECONDS = 2.0


def on_terminal(*arguments: str, prompt: str = "", typed: bytes = b"", **options: Any) -> tuple[int, str]:
    """Run a command on a terminal, type when the prompt shows; return exit code and all that the terminal showed."""
    terminal, inner = pty.openpty()
    streams = {"stdin": inner, "stdout": inner, "stderr": inner} | options

    def take_terminal() -> None:
        fcntl.ioctl(inner, termios.TIOCSCTTY, 0)  # so that a typed Ctrl-C becomes a signal

    process = start(*arguments, **streams, start_new_session=True, preexec_fn=take_terminal)
    os.close(inner)
    shown, answer = b"", typed
    while True:
        if answer and not typed and not select.select([terminal], [], [], RETYPE_SECONDS)[0]:
            # A Ctrl-C that comes between the prompt and the reading for which it waits interrupts nothing.
            os.write(terminal, answer)
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # Linux says EIO when the other end is closed
            break
        if not piece:
            break
        shown += piece
        if typed and prompt in shown.decode(errors="replace"):
            os.write(terminal, typed)
            typed = b""
    os.close(terminal)
    return process.wait(), shown.decode()


@dataclass
class Served:
    """A `reelstore serve` that listens: where, what it said until then, and its process."""

    url: str
    said: str
    process: subprocess.Popen[str]

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; return exit code and what was said since."""
        self.process.send_signal(number)
        _, errors = self.process.communicate()
        return self.process.returncode, errors


@contextmanager
def served(*arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Served]:
    """Serve on a free port until the block ends."""
    process = start("serve", "--port", "0", "--log-level", "warning", *arguments, env=env or {})
    assert process.stderr is not None
    try:
        yield _listening(process)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


def _listening(process: subprocess.Popen[str]) -> Served:
    assert process.stderr is not None
    said: list[str] = []
    url = ""
    for line in process.stderr:
        said.append(line)
        if match := LISTENING.search(line):
            url = match[1]
        if line.startswith("servers:"):
            return Served(url, "".join(said), process)
    raise AssertionError("".join(said))


def lines(text: str) -> Sequence[str]:
    """Split output into lines, blanks at their ends removed."""
    return [line.rstrip() for line in text.splitlines()]
