"""Disks as tests need them: full, read-only, mounted twice. Only where this user may mount; else a test is skipped."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if sys.platform != "win32":
    import fcntl


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


def refuse_on_share(monkeypatch: pytest.MonkeyPatch, share: Path, number: int) -> list[str]:
    """Below `share`, modes, hard links and syncing are refused, and locks with that `errno`; the calls that were."""
    refused: list[str] = []
    real = Path(os.path.realpath(share))

    def lies_there(place: Any) -> bool:
        if isinstance(place, int) or hasattr(place, "fileno"):
            number = place if isinstance(place, int) else place.fileno()
            place = os.readlink(f"/proc/self/fd/{number}")
        return Path(os.path.realpath(os.fspath(place))).is_relative_to(real)

    def patch(module: Any, name: str) -> None:
        call = getattr(module, name)

        def refuse(place: Any, *args: Any, **options: Any) -> Any:
            folder = options.get("dst_dir_fd")
            if lies_there(place if folder is None else folder):
                refused.append(name)
                said = number if name == "flock" else errno.EPERM
                raise OSError(said, os.strerror(said))
            return call(place, *args, **options)

        monkeypatch.setattr(module, name, refuse)

    for name in ("chmod", "fchmod", "link", "fsync", "fdatasync"):
        patch(os, name)
    patch(fcntl, "flock")
    return refused


SHARES = {"SMB": errno.EPERM, "NFS": errno.ENOLCK, "FUSE": errno.ENOSYS, "NTFS": errno.EOPNOTSUPP}
"""What shares and disks of other systems say where a lock is asked for."""
