"""What many jobs at once cost: 1,000 that wait, and 32 branches beside each other.

    python -m benchmarks.concurrency [--smoke] [--json FILE]

Two processes: a local backend that charges, paced so that a generation takes long, and a client with all jobs in one
event loop. CPU and memory are the client's own. For the waiting, the jobs are given up once all of them have waited a
while: with a stream that is read, or planned until one of the profile's 64 is free.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._crowd import Sample
from benchmarks._figures import Curve, Figure, main

ROOT = Path(__file__).parent.parent
MEMORY = Path("/dev/shm")  # noqa: S108 - only the root: what is made there is private
STREAMS = 64
HEARTBEATS = 4.0  # the backend's pace: one a second


@dataclass(frozen=True)
class Crowded:
    """What so many jobs cost the client, from the first moment to the last sample."""

    jobs: int
    samples: Sequence[Sample]

    @property
    def wall(self) -> float:
        return self.samples[-1].wall

    @property
    def memory(self) -> float:
        """KiB at the most, above the moment before the first job."""
        return float(max(each.memory for each in self.samples) - self.samples[0].memory)

    @property
    def started(self) -> Sample:
        """The first moment at which all were waiting."""
        return next(each for each in self.samples if each.waiting == self.jobs)

    @property
    def start_cpu(self) -> float:
        """Seconds of CPU until all were waiting."""
        return self.started.cpu - self.samples[0].cpu

    @property
    def waiting_cpu(self) -> float:
        """CPU seconds a second, while all wait."""
        first, last = self.started, self.samples[-1]
        return (last.cpu - first.cpu) / (last.wall - first.wall)


@contextlib.contextmanager
def serving(generation: float, pace: float = HEARTBEATS) -> Iterator[dict[str, str]]:
    """A backend in a process of its own; what its clients' environment needs. `pace` 0: it waits for nothing.

    Its files are in memory where there is room: the cloud's disk is not ours, and the client's journal waits for it.
    """
    memory = MEMORY if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory, ignore_cleanup_errors=True) as folder:
        order = {"directory": folder, "generation": generation, "pace": pace}
        with _started("serve", order, os.environ.copy()) as backend:
            assert backend.stdout is not None  # noqa: S101 - asked for below
            found = json.loads(backend.stdout.readline())
            yield {"NEMO_API_URL": found["url"], "NEMO_TOKEN": found["token"]}


@contextlib.contextmanager
def _started(what: str, order: dict[str, Any], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "benchmarks._crowd", what, json.dumps(order)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe) as process:
        try:
            yield process
        finally:
            process.kill()


def crowd(jobs: int, address: dict[str, str], **order: float) -> Crowded:
    """Run so many jobs in a process of their own, with a new home and journal."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "videos").mkdir()
        environment = {**os.environ, **address, "NEMO_HOME": str(folder / "home")}
        asked = {"directory": str(folder / "videos"), "jobs": jobs, **order}
        with _started("work", asked, environment) as client:
            assert client.stdout is not None  # noqa: S101 - asked for above
            report = client.stdout.read()
    return Crowded(jobs, [Sample(**each) for each in json.loads(report)])


def waiting_crowd(jobs: int, smoke: bool) -> Crowded:
    """So many jobs, given up once all of them have waited a while."""
    with serving(10.0 if smoke else 120.0) as address:
        return crowd(jobs, address, window=0.5 if smoke else 10.0)


def waiting(smoke: bool) -> list[Figure]:
    """Many jobs that wait."""
    jobs = 20 if smoke else 1000
    seen = waiting_crowd(jobs, smoke)
    cost, memory = seen.waiting_cpu / jobs * 1000, seen.memory / jobs
    streams = float(max(each.streams for each in seen.samples))
    note = f"{seen.start_cpu / jobs * 1000:.0f} ms of CPU a job before: upload, session, plan"
    return [
        Figure(f"{jobs} jobs waiting: CPU", cost, None, "ms/job/s", "<= 0.3", cost <= 0.3, note),
        Figure(f"{jobs} jobs waiting: memory", memory, None, "KiB/job", "<= 200", memory <= 200),
        Figure(f"{jobs} jobs waiting: streams", streams, None, "at once", f"<= {STREAMS}", streams <= STREAMS),
    ]


def branches(smoke: bool) -> Figure:
    """Branches of one graph beside each other, and one alone."""
    count, seconds = (4, 0.2) if smoke else (32, 5.0)
    pauses = 0.02 if smoke else 1.0
    with serving(seconds) as address:
        one, all_of_them = (crowd(jobs, address, pauses=pauses).wall for jobs in (1, count))
    ratio = all_of_them / one
    note = f"{ratio:.2f} x one branch, which takes {one:.1f} s; the rival is that, one after another"
    target = "<= 1.2 x one branch"
    return Figure(f"{count} branches, {seconds:g} s each", all_of_them, one * count, "s", target, ratio <= 1.2, note)


def run(smoke: bool) -> list[Figure]:
    """All figures."""
    return [*waiting(smoke), branches(smoke)]


def curve(smoke: bool) -> list[Curve]:
    """How the cost of waiting grows with the jobs at once."""
    counts = [1, 10] if smoke else [1, 10, 32, 100, 320, 1000]
    seen = [waiting_crowd(jobs, smoke) for jobs in counts]
    return [
        Curve("jobs: CPU until all wait", "jobs at once", counts, [each.start_cpu for each in seen], "s"),
        Curve("jobs: CPU while all wait", "jobs at once", counts, [each.waiting_cpu * 1000 for each in seen], "ms/s"),
        Curve("jobs: memory", "jobs at once", counts, [each.memory for each in seen], "KiB"),
    ]


if __name__ == "__main__":
    sys.exit(main(run, __doc__))
