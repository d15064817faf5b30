"""What the journal costs a step, among 100,000 rows, and a run that finds everything in it.

    python -m benchmarks.journal [--smoke] [--json FILE]

A write is one transaction that is on disk when it returns; a bare insert of as many bytes by Python's own sqlite3,
with the same settings and in turns, says what this disk takes for that. The journal's own times include the way to its
thread and back.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks._figures import Curve, Figure, main
from benchmarks._rows import ACCOUNT, PROFILE, fill, key
from nemo_client import Destination, Journal, Studio, Wish, from_pixels, list_jobs
from nemo_client._journal.records import Attempt
from nemo_client._journal.steps import Event, State

ROWS = 100_000
SIZES = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
PROMPT = "turn this image into a 5-second animated video clip with smooth motion"

Work = Callable[[int], Awaitable[Any]]


def run(smoke: bool) -> list[Figure]:
    """Writes, reads, and a run that finds everything."""
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(steps(Path(folder), 300 if smoke else ROWS, 3 if smoke else 60))
    with tempfile.TemporaryDirectory() as folder:
        return figures + asyncio.run(known_run(Path(folder), 2 if smoke else 9, (64, 36) if smoke else (1920, 1080)))


def curve(smoke: bool) -> list[Curve]:
    """Milliseconds of what is often done, from 10 to a million rows."""
    sizes = SIZES[:2] if smoke else SIZES
    found: dict[str, list[float]] = {}
    for rows in sizes:
        with tempfile.TemporaryDirectory() as folder:
            for name, taken in asyncio.run(growth(Path(folder), rows, 3 if smoke else 30)).items():
                found.setdefault(name, []).append(taken)
    return [Curve(f"journal: {name}", "rows in the journal", sizes, ys, "ms") for name, ys in found.items()]


async def growth(folder: Path, rows: int, times: int) -> dict[str, float]:
    """What each costs in a journal of that many rows."""
    jobs = await asyncio.to_thread(fill, folder, rows)
    journal = Journal(folder)
    await journal.begin(planned("warm", 0))

    async def send(number: int) -> None:
        await journal.commit(await journal.begin(planned("new", number)), lambda opened, day: None)

    works: dict[str, Work] = {
        "look-up": lambda n: journal.latest(key("generate", n * 997 % jobs)),
        "planned and sent (two writes)": send,
        "list of 50 jobs": lambda _: list_jobs(journal),
        "what is owed": lambda _: journal.undelivered(ACCOUNT),
    }
    taken = await in_turns(times, *works.values())
    await journal.close()
    return dict(zip(works, taken, strict=True))


async def steps(folder: Path, rows: int, times: int) -> list[Figure]:
    """A paid step in a journal of that many rows: its three writes beside bare ones, and what is read around them."""
    jobs = await asyncio.to_thread(fill, folder, rows)
    journal = Journal(folder)
    attempts: list[Attempt] = [await journal.begin(planned("warm", 0))]
    facts = {"draft": {"t": "x" * 2000}, "money": {"spent": 80.0, "certainty": "exact"}}

    async def begin(number: int) -> None:
        attempts.append(await journal.begin(planned("new", number)))

    async def send(_: int) -> None:
        attempts[-1] = await journal.commit(attempts[-1], lambda opened, day: None)

    async def finish(_: int) -> None:
        await journal.move(attempts[-1], Event.FINISH, spent=80.0, facts=facts)

    with contextlib.closing(bare(folder / "bare.sqlite3")) as connection:
        began, sent, finished, small, large = await in_turns(
            times, begin, send, finish, lambda _: insert(connection, 500), lambda _: insert(connection, 2500)
        )
    look_up, owed, day, listed = await in_turns(
        times,
        lambda n: journal.latest(key("generate", n * 997 % jobs)),
        lambda _: journal.undelivered(ACCOUNT),
        lambda _: journal.paid_since(PROFILE, time.time() - 86400.0),
        lambda _: list_jobs(journal),
    )
    paid = len(await journal.paid_since(PROFILE, time.time() - 86400.0))
    await journal.close()
    among = f"among {rows:,} rows"
    most = max(began, sent, finished)
    bars = f"planned {began:.2f}, sent (with admission) {sent:.2f}, done {finished:.2f}; {among}"
    return [
        Figure("write of a step, durable", most, max(small, large), "ms", "<= 3 ms", most <= 3, bars),
        Figure("look-up of a step", look_up, None, "ms", "<= 1 ms", look_up <= 1, among),
        Figure("what is owed to an account", owed, None, "ms", "", None, among),
        Figure("what the last day took", day, None, "ms", "", None, f"{paid} paid steps {among}"),
        Figure("list of 50 jobs", listed, None, "ms", "", None, among),
    ]


async def known_run(folder: Path, times: int, size: tuple[int, int]) -> list[Figure]:
    """The whole way once, then again: from the picture's pixels to the path of the video."""
    pixels = picture(size)
    place, wish = Destination(folder / "out", "clip"), Wish(PROMPT, duration=1)

    async def whole(studio: Studio) -> bool:
        media = await asyncio.to_thread(from_pixels, pixels)
        return (await studio.animate([media], wish, place)).reused

    async def opened() -> bool:
        async with await Studio.open(directory=folder / "home") as studio:
            return await whole(studio)

    begin = time.perf_counter()
    await opened()
    first = (time.perf_counter() - begin) * 1000
    async with await Studio.open(directory=folder / "home") as running:
        known, from_nothing = await in_turns(times, lambda _: whole(running), lambda _: opened())
        if not await whole(running):
            raise AssertionError("the run was not found in the journal")
    shutil.rmtree(folder / "out")
    target, what = "<= 100 ms", f"{size[0]}x{size[1]}, its pixels encoded; rival: the first run, with all its waiting"
    return [
        Figure("a run that finds everything", known, first, "ms", target, known <= 100, what),
        Figure("the same, opening and closing", from_nothing, first, "ms", target, from_nothing <= 100, what),
    ]


def picture(size: tuple[int, int]) -> np.ndarray:
    """The detail of a photograph, made up: soft shapes, fine texture, a little grain."""
    rng = np.random.default_rng(1)
    levels = sum(
        np.asarray(Image.fromarray(rng.standard_normal((share * 9 // 16 + 2, share)).astype(np.float32)).resize(size))
        * (40 / share**0.5)
        for share in (4, 16, 64, 256)
    )
    grain = rng.standard_normal((size[1], size[0], 3), np.float32) * 2.5
    return (128 + levels[..., None] + grain).clip(0, 255).astype(np.uint8)


async def in_turns(times: int, *works: Work) -> list[float]:
    """The median milliseconds of each, which take turns."""
    taken: list[list[float]] = [[] for _ in works]
    for number in range(times):
        for index, work in enumerate(works):
            begin = time.perf_counter()
            await work(number)
            taken[index].append((time.perf_counter() - begin) * 1000)
    return [statistics.median(each) for each in taken]


def planned(name: str, number: int) -> Attempt:
    """A paid step that is asked for."""
    facts = {"text": PROMPT * 4}
    return Attempt(f"generate-{name}-{number}", 1, State.PLANNED, PROFILE, account=ACCOUNT, session_id="s", facts=facts)


def bare(path: Path) -> sqlite3.Connection:
    """A database of one table, with the journal's settings."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, text TEXT)")
    return connection


async def insert(connection: sqlite3.Connection, size: int) -> None:
    """One durable row, on another thread as the journal's are."""

    def inserted() -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO rows (text) VALUES (?)", ("x" * size,))
        connection.execute("COMMIT")

    await asyncio.to_thread(inserted)


if __name__ == "__main__":
    sys.exit(main(run, __doc__))
