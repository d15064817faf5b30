"""Leases: which process works on an attempt, alive as long as it holds an operating-system lock on its own file.

On one host the lock decides, since it ends with the process however that ends; the lease in the database decides only
between hosts, and by the database's own clock.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from .._errors import DiskError
from .._safety.private_files import make_private_folder

UNOWNED: Final = ""
"""Owns what was let go: any process may take it over at once, also while the one that planned it lives."""

Mark = tuple[float, float]


def find_host_name() -> str:
    """A name for this machine; `NEMO_HOST_ID` where several machines would share one."""
    given = os.environ.get("NEMO_HOST_ID", "").strip()
    return (given or f"{socket.gethostname()}-{uuid.getnode():x}")[:128]


def read_monotonic_mark() -> Mark:
    """This moment, to ask later how much time has passed."""
    return time.monotonic(), time.time()


def seconds_since(since: Mark, now: Mark | None = None) -> float:
    """Seconds since then, rather too many: one clock may stand while the machine sleeps, the other may be set back."""
    steady, wall = now or read_monotonic_mark()
    return max(steady - since[0], wall - since[1])


@dataclass
class Owner:
    """This process as an owner of attempts. `hold` before the first attempt, `release` at the end."""

    directory: Path
    host: str = field(default_factory=find_host_name)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    pid: int = field(default_factory=os.getpid)
    _lock: FileLock | None = None

    @property
    def lock_path(self) -> Path:
        """The file whose lock says that this owner lives."""
        return self.directory / "owners" / f"{self._tag}-{self.id}.lock"

    def hold(self) -> None:
        """Take the lock of this owner; it ends with the process, however that ends."""
        if self._lock is None:
            try:
                make_private_folder(self.lock_path.parent)
                lock = _make_lock(self.lock_path)
                lock.acquire()
                while not self.lock_path.exists():  # swept by another process between its creation and its lock
                    lock.release()
                    lock.acquire()
            except (OSError, Timeout) as error:
                reason = getattr(error, "strerror", None) or type(error).__name__
                raise DiskError("home-unusable", path=self.directory, reason=reason) from error
            self._lock = lock

    def sweep(self) -> list[str]:
        """Remove the lock files of this host's owners that ended without doing so; their ids.

        Those of other hosts are left alone: a lock there need not be seen here (network file systems).
        """
        gone = []
        for path in self.lock_path.parent.glob(f"{self._tag}-*.lock"):
            if path == self.lock_path:
                continue
            with contextlib.suppress(Timeout, OSError), _make_lock(path).acquire(timeout=0):
                gone.append(path.stem.partition("-")[2])
                path.unlink(missing_ok=True)  # not on Windows, where the release does it
        return gone

    @property
    def _tag(self) -> str:
        return hashlib.sha256(self.host.encode()).hexdigest()[:8]

    @property
    def place(self) -> str:
        """A name for this home directory on this machine."""
        return f"{self.host} {hashlib.sha256(str(self.directory).encode()).hexdigest()[:8]}"

    def can_try_lock(self, host: str, lock: Path) -> bool:
        """Whether a lock file of that host is one that this process can try: the same machine, the same folder."""
        return host == self.host and lock.parent == self.lock_path.parent

    def release(self) -> None:
        """Give the lock back and remove its file."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None
            self.lock_path.unlink(missing_ok=True)


def is_locked(path: Path) -> bool:
    """Whether a process of this host holds the lock on `path`."""
    if not path.exists():
        return False
    lock = _make_lock(path)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return True
    lock.release()
    return False


def _make_lock(path: Path) -> FileLock:
    return FileLock(str(path), mode=0o600, thread_local=False, is_singleton=False, timeout=10)
