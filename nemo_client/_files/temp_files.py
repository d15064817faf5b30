"""Temporary files of downloads and kept uploads, and the removal of those whose process died.

A process holds an operating-system lock on each of its own, which ends with it, however that ends. Where there are
no such locks (Windows, some network file systems), and for files of other hosts, age decides.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from .._journal.leases import find_host_name
from .._safety.private_files import FILE_MODE, restrict_handle

if sys.platform != "win32":
    import fcntl

ABANDONED_SECONDS: Final = 24 * 3600.0


@contextmanager
def create_part_file(folder: Path, suffix: str, mode: int = 0o666, descriptor: int | None = None) -> Iterator[Path]:
    """A new, empty file in `folder`, which exists; gone afterwards, whatever happens to this process at last.

    `descriptor` is the opened folder, where the file is made whatever stands under the folder's name by now.
    """
    path, held = _create_file(folder, suffix, mode, descriptor)
    try:
        yield path
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        if held is not None:
            held.close()


def remove_abandoned_parts(folder: Path) -> None:
    """Remove what processes that are gone left in `folder`."""
    for path in folder.glob(".nemo-*.part"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                path.unlink()
            elif path.name.startswith(f".nemo-{_make_tag()}-") and sys.platform != "win32":
                with path.open("r+b") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # an OSError if its process lives
                    path.unlink()


def _create_file(folder: Path, suffix: str, mode: int, descriptor: int | None) -> tuple[Path, BinaryIO | None]:
    """A new file, and its handle where that holds a lock."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        path = folder / f".nemo-{_make_tag()}-{uuid.uuid4().hex}.{suffix}.part"
        place = path if descriptor is None else path.name
        file = os.fdopen(os.open(place, flags, mode, dir_fd=descriptor), "r+b")
        if mode == FILE_MODE:
            restrict_handle(file.fileno())
        if sys.platform == "win32":  # an open file could be neither renamed nor removed there
            file.close()
            return path, None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # being swept between its creation and its lock
            file.close()
            continue
        except OSError:
            file.close()
            return path, None
        with contextlib.suppress(FileNotFoundError):
            os.stat(place, dir_fd=descriptor)
            return path, file
        file.close()


def _make_tag() -> str:
    return hashlib.sha256(find_host_name().encode()).hexdigest()[:8]
