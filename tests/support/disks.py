"""Disks as tests need them: full, read-only, mounted twice. Only where this user may mount; else a test is skipped."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def mounted(arguments: list[str], place: Path) -> Iterator[Path]:
    """What `mount` makes of these arguments, at `place`, for the time of the block."""
    program = shutil.which("mount")
    if program is None or subprocess.run([program, *arguments], capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount anything here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], capture_output=True, check=False)  # noqa: S607 - beside mount


def small_disk(place: Path, size: str) -> contextlib.AbstractContextManager[Path]:
    """An empty disk of that size (`64k`)."""
    place.mkdir(parents=True, exist_ok=True)
    return mounted(["-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(place)], place)


@contextlib.contextmanager
def read_only(place: Path) -> Iterator[Path]:
    """The folder, on which nothing can be written any more."""
    with mounted(["--bind", str(place), str(place)], place), mounted(["-o", "remount,bind,ro", str(place)], place):
        yield place
