"""What a process holds: files, threads, tasks, living objects and memory. Linux alone tells all of it."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import re
import threading
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_FILES = Path("/proc/self/fd")
_NUMBERS = re.compile(r"\d+")


@dataclass(frozen=True)
class Held:
    """At one moment: open files by what they are, threads and tasks by their names, objects, and memory in MiB.

    `memory` is what the system counts, `heap` what is in use of what the C allocator was given. The first still grows a
    little while the second does not: pages of which some bytes are in use stay.
    """

    files: dict[str, int]
    threads: dict[str, int]
    tasks: dict[str, int]
    objects: int
    memory: float
    heap: float = 0.0

    def beyond(self, before: Held) -> dict[str, dict[str, int]]:
        """What is held now of files, threads and tasks and was not then; empty when nothing is left behind."""
        more = {
            name: dict(Counter(getattr(self, name)) - Counter(getattr(before, name)))
            for name in ("files", "threads", "tasks")
        }
        return {name: found for name, found in more.items() if found}

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def held() -> Held:
    """What this process holds now, without what only waits to be collected."""
    for _ in range(3):
        gc.collect()
    _give_back()
    return Held(_files(), _threads(), _tasks(), len(gc.get_objects()), _memory(), _heap())


def _give_back() -> None:
    """Memory that is free inside the allocator is not held: it goes back to the system where glibc can do that."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return


def _files() -> dict[str, int]:
    """Open files; sockets and pipes without their numbers."""
    found: Counter[str] = Counter()
    try:
        names = os.listdir(_FILES)
    except OSError:
        return {}
    for name in names:
        try:
            place = os.readlink(_FILES / name)
        except OSError:  # the one that listed the directory
            continue
        found[_NUMBERS.sub("N", place) if not place.startswith("/") else place] += 1
    return dict(found)


def _threads() -> dict[str, int]:
    """Threads, but not those of the loop's own executor: they are kept for the next file, a fixed number of them."""
    names = (each.name for each in threading.enumerate() if not each.name.startswith("asyncio_"))
    return dict(Counter(_NUMBERS.sub("N", name) for name in names))


def _tasks() -> dict[str, int]:
    try:
        tasks, this = asyncio.all_tasks(), asyncio.current_task()
    except RuntimeError:  # no loop runs
        return {}
    return dict(Counter(getattr(each.get_coro(), "__qualname__", "?") for each in tasks if each is not this))


def _memory() -> float:
    """What only this process has in memory: not the pages of files that it shares with the system's cache."""
    try:
        _, resident, shared, *_ = Path("/proc/self/statm").read_text(encoding="ascii").split()
    except OSError:
        return 0.0
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE") / 1024**2


class _Mallinfo(ctypes.Structure):
    """What glibc's `mallinfo2` gives, of all its arenas."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    )  # fmt: skip


def _heap() -> float:
    """Bytes in use of the C library's heap, in MiB; 0 where it is not glibc 2.33 or later."""
    try:
        ask = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError, TypeError):
        return 0.0
    ask.restype = _Mallinfo
    found = ask()
    return float(found.uordblks + found.hblkhd) / 1024**2
