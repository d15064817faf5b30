"""What looks at everything there is: once a day, at a command, or at each delivery. For `benchmarks.fleet`."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from benchmarks._figures import Figure
from benchmarks._rows import fill
from nemo_client import Journal, list_jobs
from nemo_client._database import Database
from nemo_client._jobs import EVERY
from nemo_client._parts import sweep
from nemo_client._upkeep import DAY, KEEP_DAYS, _names_in_use


def walks(folder: Path, jobs: int, files: int) -> list[Figure]:
    """Each walk's cost for one of the things that it walks over."""
    kept, videos = folder / "walked", folder / "many videos"
    for each in (kept, videos):
        each.mkdir()
    made = fill(kept, 3 * jobs)
    for number in range(files):
        (videos / f"video_{number:06}.mp4").touch()
    return [
        *_walk("uploads in use", made, "job", lambda: _in_use(kept), "by upkeep, once a day and home; SQLite"),
        *_walk("list of all jobs", made, "job", lambda: asyncio.run(_every(kept)), "by jobs resume, forget; SQLite"),
        *_walk("sweep of a folder", files, "file", lambda: sweep(videos), "at each delivery"),
    ]


class _Enough(Exception):
    """What follows was measured elsewhere."""


def silence(url: str, folder: Path, rows: int) -> Figure:
    """How long upkeep leaves the database without a word for each row: longer than 30 s, and it is given up.

    It is stopped where it begins to ask for single uploads.
    """
    database, asked = Database(url, folder), []

    def heard(*_: object) -> None:
        asked.append(time.perf_counter())
        if len(asked) == 3:
            raise _Enough

    with database.reading():
        pass  # connected
    sa.event.listen(sa.Engine, "before_cursor_execute", heard)
    try:
        with contextlib.suppress(_Enough):
            _names_in_use(database, time.time() - KEEP_DAYS * DAY)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", heard)
        database.close()
    longest = max(after - before for before, after in itertools.pairwise(asked)) / rows * 1e6
    return Figure("walk, silence of PostgreSQL", longest, None, "µs/row", "", None, f"{rows:,} rows; in upkeep")


def _walk(name: str, count: int, thing: str, work: Callable[[], object], when: str) -> list[Figure]:
    """Once for the time, once for the memory: to count that takes time."""
    begin = time.perf_counter()
    work()
    taken = (time.perf_counter() - begin) / count * 1e6
    tracemalloc.start()
    try:
        work()
        most = tracemalloc.get_traced_memory()[1] / count
    finally:
        tracemalloc.stop()
    return [
        Figure(f"walk, {name}", taken, None, f"µs/{thing}", "", None, when),
        Figure(f"walk, {name}: memory", most, None, f"bytes/{thing}", "", None),
    ]


def _in_use(folder: Path) -> None:
    database = Database(None, folder)
    try:
        _names_in_use(database, time.time() - KEEP_DAYS * DAY)
    finally:
        database.close()


async def _every(folder: Path) -> None:
    journal = Journal(folder)
    try:
        await list_jobs(journal, limit=EVERY, hidden=True)
    finally:
        await journal.close()
