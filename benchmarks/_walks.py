"""What looks at everything there is: once a day, at a command, or at each delivery. For `benchmarks.fleet`."""

from __future__ import annotations

import asyncio
import itertools
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from benchmarks._figures import Figure
from benchmarks._rows import fill
from nemo_client import Journal, list_jobs
from nemo_client._files.temp_files import remove_abandoned_parts
from nemo_client._journal.database import Database
from nemo_client._journal.leases import Owner
from nemo_client._journal.records import DAY_SECONDS as DAY
from nemo_client._journal.retention import (
    KEEP_DAYS,
    UpkeepBounds,
    _forget_exports,
    _forget_owners,
    list_needed_names,
    select_begun_since,
    select_exports_due,
    select_opened,
)
from nemo_client._studio.jobs import EVERY


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
        *_forgotten(kept, made),
        *_walk("sweep of a folder", files, "file", lambda: remove_abandoned_parts(videos), "at each delivery"),
    ]


def _forgotten(folder: Path, jobs: int) -> list[Figure]:
    """What upkeep takes to forget what lies behind a delivered video, and to find that it has done so."""
    database, later = Database(None, folder), time.time() + DAY
    try:
        begin = time.perf_counter()
        _forget_exports(database, later, UpkeepBounds(seconds=float("inf")))
        taken = (time.perf_counter() - begin) / jobs * 1000
        begin = time.perf_counter()
        assert sum(map(len, select_exports_due(database, later))) == 0  # noqa: S101 - all are done
        again = (time.perf_counter() - begin) / jobs * 1e6
    finally:
        database.close()
    return [
        Figure(
            "upkeep, a video is forgotten, SQLite", taken, None, "ms/job", "", None, "once, 90 days after its delivery"
        ),
        Figure("walk, videos that were forgotten", again, None, "µs/job", "", None, "by upkeep, once a day and home"),
    ]


def upkeep_of(url: str, folder: Path, rows: int) -> list[Figure]:
    """What a whole upkeep takes in PostgreSQL, with some old videos to forget.

    And the longest time that it leaves the database without a word: above 30 s it would be given up.
    """
    database, asked = Database(url, folder), [time.perf_counter()]
    horizon = time.time() - KEEP_DAYS * DAY

    def heard(*_: object) -> None:
        asked.append(time.perf_counter())

    with database.reading():
        pass  # connected
    sa.event.listen(sa.Engine, "before_cursor_execute", heard)
    try:
        found = sum(map(len, select_exports_due(database, horizon)))
        heard()
        looked = asked[-1] - asked[0]
        _forget_exports(database, horizon, UpkeepBounds(seconds=float("inf")))
        heard()
        forgotten = max(asked[-1] - asked[0] - 2 * looked, 0.0)  # it looks, too
        _forget_owners(database, Owner(folder))
        before = select_opened(database)
        for _ in list_needed_names(database, horizon):
            pass
        select_begun_since(database, before)
        heard()
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", heard)
        database.close()
    longest = max(after - before for before, after in itertools.pairwise(asked)) * 1000
    reading = max(asked[-1] - asked[0] - forgotten - 2 * looked, 0.0) / rows * 1e6
    note = f"among {rows:,} rows and as many deliveries"
    return [
        Figure("upkeep, longest silence of PostgreSQL", longest, None, "ms", "30 s", longest < 30_000, note),
        Figure(
            "upkeep, a video is forgotten, PostgreSQL", forgotten / max(found, 1) * 1000, None, "ms/job", "", None, note
        ),
        Figure("walk, deliveries, PostgreSQL", looked / rows * 1e6, None, "µs/delivery", "", None, note),
        Figure("walk, uploads in use, PostgreSQL", reading, None, "µs/job", "", None, note),
    ]


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
        before = select_opened(database)
        for _ in list_needed_names(database, time.time() - KEEP_DAYS * DAY):
            pass
        select_begun_since(database, before)
    finally:
        database.close()


async def _every(folder: Path) -> None:
    journal = Journal(folder)
    try:
        await list_jobs(journal, limit=EVERY, hidden=True)
    finally:
        await journal.close()
