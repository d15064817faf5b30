"""Many jobs at once in bad weather: whether each ends as it should, is paid once, and leaves nothing behind.

    python -m tools.endurance [--jobs N] [--rounds N] [--share S] [--json FILE]    all at once, round by round
    python -m tools.endurance --hour [--jobs N] [--share S] [--json FILE]          over an hour of virtual time

Rounds: the backend runs in a process of its own and lets a share of all requests meet a fault; one Studio here runs
all jobs at once, then asks once more for those that ended in an error, in good weather. The last lines say what broke
a promise; the exit code is 1 if anything did.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from nemo_client import Studio
from nemo_client._wire.http import CALLS_AT_ONCE, UPLOADS_AT_ONCE
from tests.support.ledger import read_ledger
from tools._jobs import Job, by_job, files_of, judge, strays, tally
from tools._measure import Held, held

ROOT = Path(__file__).parent.parent
MEMORY = Path("/dev/shm")  # noqa: S108 - only the root: what is made there is private
MINUTE = 60.0
LATER = 21 * MINUTE  # past the horizon after which the result of a message is decided
IDLE_SECONDS = 0.3
END_SECONDS = 120.0
SOCKETS = "socket:[N]"
POOLED = CALLS_AT_ONCE + UPLOADS_AT_ONCE + 2  # connections kept for the next call, and the loop's own


@dataclass
class Report:
    """What an endurance run found. `broken` is empty when every promise was kept."""

    jobs: int
    faults: dict[str, int] = field(default_factory=dict)
    ends: list[dict[str, int]] = field(default_factory=list)
    asked_again: list[dict[str, int]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    under_way: list[int] = field(default_factory=list)
    virtual: int = 0
    held: list[Held] = field(default_factory=list)
    left: dict[str, dict[str, int]] = field(default_factory=dict)
    charges: int = 0
    broken: list[str] = field(default_factory=list)

    def judge_left(self) -> None:
        """What the Studio still holds while it rests, after the first round and after the last."""
        first, last = self.held[0], self.held[-1]
        more = last.beyond(first)
        more.get("files", {}).pop(SOCKETS, None)
        if more.pop("files", {}) or more or last.files.get(SOCKETS, 0) > POOLED:
            self.broken.append(f"more is held at the end than after the first round: {last.beyond(first)}")

    def judge_growth(self, objects: float, memory: float) -> None:
        """From one moment to the next, after a first one that warms up: objects and MiB that may be more.

        What counts is the median (the lower one of two): what is loaded on first use comes once, a leak every time.
        """
        if _usual_step([each.objects for each in self.held]) > objects:
            self.broken.append(f"objects grow: {[each.objects for each in self.held]}")
        for name in ("memory", "heap"):
            values = [getattr(each, name) for each in self.held]
            if _usual_step(values) > memory:
                self.broken.append(f"{name} grows: {[round(each, 1) for each in values]} MiB")

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {**vars(self), "held": [each.to_json() for each in self.held]}


def _usual_step(values: Sequence[float]) -> float:
    return statistics.median_low([after - before for before, after in pairwise(values)] or [0.0])


class Backend:
    """The backend's process, and its ledger."""

    def __init__(self, process: subprocess.Popen[str], directory: Path) -> None:
        self._process = process
        self.directory = directory / "backend"
        self.url, self.token = json.loads(self._line()).values()

    def weather(self, share: float) -> dict[str, int]:
        """From now on `share` of all requests meets a fault; how often which one hit so far."""
        assert self._process.stdin is not None  # noqa: S101 - asked for
        self._process.stdin.write(f"{share}\n")
        self._process.stdin.flush()
        return dict(json.loads(self._line()))

    def _line(self) -> str:
        assert self._process.stdout is not None  # noqa: S101 - asked for
        return self._process.stdout.readline()


@contextlib.contextmanager
def backend_in(directory: Path, seed: int) -> Iterator[Backend]:
    """A backend in a process of its own, in good weather."""
    code = f"from tools._weather import serve; from pathlib import Path; serve(Path({str(directory)!r}), 0, "
    command = [sys.executable, "-c", f"{code}{IDLE_SECONDS}, {seed})"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Backend(process, directory)
        finally:
            process.kill()


class Rounds:
    """Rounds of jobs in one Studio, whose own pauses are shortened to `pauses` of themselves."""

    def __init__(self, backend: Backend, folder: Path, jobs: int, share: float, pauses: float) -> None:
        self._backend = backend
        self._folder = folder
        self._share = share
        self._pauses = pauses
        self._later = 0.0
        self._told: set[str] = set()  # texts, not jobs: what this run holds itself would look like a leak
        self.report = Report(jobs)

    async def run(self, rounds: int) -> None:
        """All rounds, then the end of the Studio."""
        before = held()
        async with self._studio() as studio:
            for number in range(rounds):
                began = time.monotonic()
                await self._round(studio, number)
                self.report.seconds.append(round(time.monotonic() - began, 1))
                await quiet(studio)
                self.report.held.append(held())
        self.report.left = held().beyond(before)
        self._sum_up()

    @contextlib.asynccontextmanager
    async def _studio(self) -> AsyncIterator[Studio]:
        os.environ |= {"NEMO_API_URL": self._backend.url, "NEMO_TOKEN": self._backend.token}
        studio = await Studio.open("nemo", sleep=self._sleep, wall=lambda: time.time() + self._later)
        async with studio:
            yield studio

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds * self._pauses)

    async def _round(self, studio: Studio, number: int) -> None:
        jobs = [Job(number, each) for each in range(self.report.jobs)]
        self._backend.weather(self._share)
        await asyncio.gather(*(job.run(studio, self._folder) for job in jobs))
        self.report.faults = self._backend.weather(0.0)
        self.report.ends.append(tally(jobs))
        await self._all_worked(studio)
        ledger = by_job(read_ledger(self._backend.directory))
        self.report.broken += judge(jobs, ledger)

        self._later += LATER
        again = [job for job in jobs if job.last.video is None]
        await asyncio.gather(*(job.run(studio, self._folder) for job in again))
        self.report.asked_again.append(tally(again))
        self.report.broken += judge(again, by_job(read_ledger(self._backend.directory)))
        self._told |= files_of(jobs)

    async def _all_worked(self, studio: Studio) -> None:
        """Wait until the backend works on nothing more: what it does after a broken stream counts, too."""
        deadline = time.monotonic() + END_SECONDS
        while (await studio.credits()).frozen and time.monotonic() < deadline:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)

    def _sum_up(self) -> None:
        report, ledger = self.report, read_ledger(self._backend.directory)
        report.charges = len(ledger.charges)
        if report.left:
            report.broken.append(f"left behind: {report.left}")
        if lying := strays(self._folder, self._told):
            report.broken.append(f"files that no one told of: {lying}")


async def quiet(studio: Studio, look: float = 0.05) -> None:
    """Wait until no work and no chore of this Studio is under way; a look each `look` seconds of the loop's."""
    flights = studio._context.in_flight
    deadline = time.monotonic() + END_SECONDS
    while (flights._requests or flights._background) and time.monotonic() < deadline:  # noqa: ASYNC110 - seen from outside
        await asyncio.sleep(look)


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A folder with a home directory and one for videos; in memory where there is room."""
    memory = MEMORY if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "videos").mkdir()
        for variable in [each for each in os.environ if each.startswith("NEMO_")]:
            del os.environ[variable]
        os.environ["NEMO_HOME"] = str(folder / "home")
        yield folder


def rounds(jobs: int, rounds: int, share: float, pauses: float, seed: int) -> Report:
    """A run in rounds, with its growth judged."""
    with workplace() as folder, backend_in(folder, seed) as backend:
        work = Rounds(backend, folder / "videos", jobs, share, pauses)
        asyncio.run(work.run(rounds))
        work.report.judge_left()
        work.report.judge_growth(objects=max(500.0, jobs * 0.5), memory=max(2.0, jobs * 0.005))
        return work.report


def main() -> int:
    """Parse, run, tell."""
    parser = argparse.ArgumentParser(prog="python -m tools.endurance", description=__doc__.split("\n")[0])
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--share", type=float, default=0.05, help="of all requests that meet a fault")
    parser.add_argument("--pauses", type=float, default=0.1, help="by how much the client's own pauses are shortened")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hour", action="store_true", help="over an hour of virtual time, on one event loop")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    if args.hour:
        from tools._virtual import hour

        report = hour(args.jobs, args.share, args.seed)
    else:
        report = rounds(args.jobs, args.rounds, args.share, args.pauses, args.seed)
    text = json.dumps(report.to_json(), indent=1)
    if args.json:
        args.json.write_text(text, encoding="utf-8")
    sys.stdout.write(text + "\n")
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
