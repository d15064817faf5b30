"""The files of a batch beside its videos: a line for each result and each run, on disk as soon as it is written.

`results.jsonl` holds one JSON object a line, appended when its item ends; the last line of an item counts. What is left
of a line that a crash cut off is removed before the next one is added. One process at a time writes, under a lock.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from filelock import FileLock
from filelock import Timeout as LockTimeout

from .._errors import InputError
from .._safety.private_files import sync_to_disk
from .._wire.upload import disk_error

if sys.platform != "win32":
    import fcntl

RESULTS: Final = "results.jsonl"
RUNS: Final = "runs.jsonl"
LOCK: Final = ".nemo-batch.lock"
_TAIL_BYTES: Final = 64 * 1024


class JsonLinesFile:
    """A file of JSON objects, one a line, that only grows. Blocks."""

    def __init__(self, path: Path, *, tail_bytes: int = _TAIL_BYTES) -> None:
        """`tail_bytes` is how much of its end is read at once where its last line is looked for."""
        self.path = path
        self._tail_bytes = tail_bytes

    def read(self) -> Iterator[dict[str, Any]]:
        """The complete lines, oldest first; a line that is no JSON object is skipped."""
        try:
            with self.path.open("rb") as file:
                for line in file:
                    entry = _parse_line(line)
                    if entry is not None:
                        yield entry
        except FileNotFoundError:
            return
        except OSError as error:
            raise disk_error(error, self.path) from error

    def append(self, entry: Mapping[str, Any]) -> None:
        """Add a line; it is on disk when this returns, or the file is as it was before."""
        line = _encode_line(entry) + b"\n"
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
            with os.fdopen(handle, "r+b", buffering=0) as file:
                end = _repair_tail(file, self._tail_bytes)
                file.seek(end)
                try:
                    _write_all(file.fileno(), line)
                except OSError:
                    file.truncate(end)
                    raise
                sync_to_disk(file.fileno())
        except OSError as error:
            raise disk_error(error, self.path) from error


def _write_all(handle: int, data: bytes) -> None:
    """Write all of `data`: `os.write` writes a part where the disk fills up."""
    while data:
        data = data[os.write(handle, data) :]


def _repair_tail(file: Any, tail_bytes: int) -> int:
    """Where the last complete line ends; cuts off an incomplete one behind it, and adds a missing line end."""
    size: int = file.seek(0, os.SEEK_END)
    file.seek(max(size - 1, 0))
    if file.read(1) in (b"", b"\n"):
        return size
    start = max(size - tail_bytes, 0)
    while True:
        file.seek(start)
        tail: bytes = file.read(size - start)
        cut = tail.rfind(b"\n") + 1
        if cut or not start:
            break
        start = max(start - tail_bytes, 0)
    if _parse_line(tail[cut:]) is not None:
        file.seek(size)
        _write_all(file.fileno(), b"\n")
        return size + 1
    file.truncate(start + cut)
    return start + cut


def _parse_line(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _encode_line(entry: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(entry, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:  # a file's name that is no text
        return json.dumps(entry, ensure_ascii=True, allow_nan=False).encode()


def _choose_lock_file(folder: Path) -> Path:
    """The file whose lock holds a folder: one in it, or, where a share refuses locks, one of this machine alone."""
    if _knows_locks(folder):
        return folder / LOCK
    mark = hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()[:16]
    return Path(tempfile.gettempdir(), f"nemo-batch-{getattr(os, 'getuid', int)()}-{mark}.lock")


def _knows_locks(folder: Path) -> bool:
    """Whether a file in the folder can be locked, tried out on one of its own. Raises `OSError` where none can be."""
    if sys.platform == "win32":
        return True
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def correct_duplicates(latest: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The last lines, by item, whose `duplicate_of` no longer names a finished item with the same request, corrected.

    That one may have failed since, or be another picture by now. The first finished one takes its place.
    """
    corrected = []
    firsts: dict[str, str] = {}
    for name, line in latest.items():
        if line.get("state") == "done" and line.get("key") and not line.get("duplicate_of"):
            firsts.setdefault(str(line["key"]), name)
    for name, line in latest.items():
        named = latest.get(str(line.get("duplicate_of") or ""))
        if not line.get("duplicate_of") or (named is not None and _is_first_of(named, line)):
            continue
        first = firsts.setdefault(str(line.get("key")), name)
        corrected.append({**line, "duplicate_of": None if first == name else first})
    return corrected


def _is_first_of(line: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether `other` may be called a duplicate of the item of `line`."""
    return line.get("state") == "done" and line.get("key") == other.get("key") and not line.get("duplicate_of")


class BatchFolder:
    """The folder of a batch, held by this process while it is open."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self.results = JsonLinesFile(self.path / RESULTS)
        self.runs = JsonLinesFile(self.path / RUNS)
        self._lock: FileLock | None = None

    def __enter__(self) -> BatchFolder:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(_choose_lock_file(self.path), thread_local=False)
            lock.acquire(timeout=0)
        except LockTimeout as error:
            raise InputError("batch-busy", folder=self.path) from error
        except OSError as error:
            raise disk_error(error, self.path) from error
        self._lock = lock
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def read_latest(self) -> dict[str, dict[str, Any]]:
        """The last line of each item, by the item's name, in the order of their first lines."""
        return {str(line["item"]): line for line in self.results.read() if "item" in line}

    def has_video(self, line: Mapping[str, Any]) -> bool:
        """Whether the video of a line lies in the folder, with the size that was delivered."""
        if line.get("state") != "done" or not line.get("video"):
            return False
        try:
            return (self.path / str(line["video"])).stat().st_size == line.get("size")
        except OSError:
            return False
