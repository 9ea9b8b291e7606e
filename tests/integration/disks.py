"""Small file systems to fill, unmount and make read-only; where this process may not mount, the test is skipped."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(path: Path, options: str) -> Iterator[Path]:
    """Mount an empty file system in memory there."""
    path.mkdir(parents=True, exist_ok=True)
    mount("-t", "tmpfs", "-o", options, "tmpfs", str(path))
    try:
        yield path
    finally:
        unmount(path)


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"this process may not mount: {done.stderr.strip()}")


def unmount(path: Path) -> None:
    """Take it out of the tree at once, whoever still has files of it open."""
    subprocess.run(["umount", "--lazy", str(path)], check=True)
