"""Private directories, JSON files that are replaced whole, and locks between processes.

Several programs may work on the same folder at once (ComfyUI, a shell, another ComfyUI), so every change happens
under a lock of the operating system, which dies with its process: nothing has to be cleaned up after a crash.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600
LOCK_WAIT_SECONDS = 10.0
LOCK_POLL_SECONDS = 0.01
REPLACE_TRIES = 20

_log = logging.getLogger("nemo_client.local")


def private_directory(path: Path) -> Path:
    """Make `path` (and what is missing above it) for this user alone; an existing one is left as it is."""
    missing = [path]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for each in reversed(missing):
        try:
            each.mkdir(mode=DIRECTORY_MODE)
            each.chmod(DIRECTORY_MODE)  # the umask may have taken more than others' rights
        except FileExistsError:
            if not each.is_dir():
                raise
    return path


def private_opener(path: str, flags: int) -> int:
    """`opener` for `open()`: a file is readable for this user alone from its first moment."""
    descriptor = os.open(path, flags, FILE_MODE)
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, FILE_MODE)
    return descriptor


def write_json(path: Path, value: object) -> None:
    """Replace `path` whole: a reader sees the old or the new text, never a part."""
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        with open(part, "w", encoding="utf-8", opener=private_opener) as file:
            json.dump(value, file)
        replace_file(part, path)
    finally:
        part.unlink(missing_ok=True)


def replace_file(part: Path, path: Path) -> None:
    """Put `part` in the place of `path`. Windows refuses while somebody reads `path`: then a little later."""
    for _ in range(REPLACE_TRIES):
        with suppress(PermissionError):
            os.replace(part, path)
            return
        time.sleep(LOCK_POLL_SECONDS)
    os.replace(part, path)


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in `path`; None when there is no such file, or when it does not hold one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        _log.warning("The preview's file %s is damaged and is ignored", path.name)
        return None
    return value if isinstance(value, dict) else None


class Lock:
    """Held by one thread of one process at a time.

    Threads of this process wait for each other on an ordinary lock: the file lock below it can only poll.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = threading.Lock()

    @contextmanager
    def hold(self) -> Iterator[None]:
        with self._threads:
            lock = FileLock(str(self._path), mode=FILE_MODE, thread_local=False)
            with lock.acquire(timeout=LOCK_WAIT_SECONDS, poll_interval=LOCK_POLL_SECONDS):
                yield


class Owner:
    """The mark of one living backend: a file that it keeps locked while it lives.

    Work (a message, a render) names its owner; a later reader can tell whether it still goes on.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = private_directory(directory)
        self.id = uuid.uuid4().hex
        self._lock = FileLock(str(self._path(self.id)), mode=FILE_MODE, thread_local=False)
        self._lock.acquire(timeout=0)

    def _path(self, owner: str) -> Path:
        return self._directory / f"{owner}.lock"

    def alive(self, owner: str) -> bool:
        """Whether the backend that calls itself `owner` still runs, here or in another process."""
        if owner == self.id:
            return self._lock.is_locked
        if not owner.isalnum() or not self._path(owner).exists():
            return False
        probe = FileLock(str(self._path(owner)), mode=FILE_MODE, thread_local=False)
        try:
            probe.acquire(timeout=0)
        except Timeout:
            return True
        probe.release()
        return False

    def sweep(self) -> None:
        """Remove the marks of backends that are gone."""
        for path in self._directory.glob("*.lock"):
            if not self.alive(path.stem):
                path.unlink(missing_ok=True)

    def release(self) -> None:
        """Stop being alive. The file goes first while it is still locked, so no process meets it unlocked."""
        with suppress(OSError):  # Windows keeps the file of an open lock; the next start sweeps it
            self._path(self.id).unlink(missing_ok=True)
        self._lock.release()
