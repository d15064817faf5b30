"""The local preview on a Dask cluster of one and of two worker processes: how much faster two are, and what is lost.

    python -m benchmarks.cluster [--smoke] [--json FILE]

Scheduler, workers and the command are processes of their own, all on this machine. A worker renders two items at a
time, so that one is drawn while another is begun or delivered. Each turn has a home of its own, and a first item, which
is not counted, has loaded everything. Beside the time of a batch stands where the processors' time went.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks._figures import Figure, main

ROOT = Path(__file__).parent.parent
COMMAND = (sys.executable, "-c", "import sys; from nemo_client._cli.main import main; sys.exit(main())")
THREADS = 2
RUNS = 3
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(frozen=True)
class Ran:
    """One batch: seconds of wall, of these between its first and its last video, and of CPU in each process."""

    items: int
    wall: float
    rendering: float
    workers: float
    scheduler: float
    command: float

    @property
    def speed(self) -> float:
        """Videos a second, once there is one: without what begins and ends the command."""
        return (self.items - 1) / max(self.rendering, 1e-3)

    @property
    def cpu(self) -> float:
        """All of it."""
        return self.workers + self.scheduler + self.command


def run(smoke: bool) -> list[Figure]:
    """Two workers beside one, and one beside the command without a cluster; they take turns."""
    if importlib.util.find_spec("distributed") is None:
        return [Figure("workers of a cluster", 0.0, None, "", "", None, "dask.distributed is not installed")]
    crews, items, size, runs = ((1,), 2, (160, 120), 1) if smoke else ((0, 1, 2), 24, (1600, 1200), RUNS)
    found: dict[int, list[Ran]] = {workers: [] for workers in crews}
    for turn in range(runs):
        for workers in sorted(found, reverse=bool(turn % 2)):
            found[workers].append(ran(workers, items, size))
    rows, before = [], None
    for workers, each in found.items():
        rows += figures(workers, _median(each), before)
        before = _median(each)
    return rows


def figures(workers: int, ran: Ran, before: Ran | None) -> list[Figure]:
    """How fast so many workers are, beside one less, and where the time of the processors went."""
    name = f"local preview, {f'{workers} worker(s)' if workers else 'no cluster'}"
    speed, other = ran.speed, before and before.speed
    spent = f"seconds of CPU: workers {ran.workers:.1f}, scheduler {ran.scheduler:.1f}, command {ran.command:.1f}"
    busy = ran.cpu / (ran.wall * (os.cpu_count() or 1))
    return [
        Figure(f"{name}: items", ran.items / ran.wall, before and before.items / before.wall, "1/s", "", None, spent),
        Figure(f"{name}: from the first video on", speed, other, "1/s", "", None),
        Figure(f"{name}: CPU an item", ran.cpu / ran.items, before and before.cpu / before.items, "s", "", None),
        Figure(f"{name}: processors busy", busy, None, "of all", "", None),
    ]


def ran(workers: int, items: int, size: tuple[int, int]) -> Ran:
    """A batch of so many items on so many workers; 0 is the command by itself."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        first, photos = folder / "first", folder / "photos"
        for place, count in ((first, max(THREADS * workers, 1)), (photos, items)):
            place.mkdir()
            for number in range(count):
                _photograph(place / f"{place.name}{number}.jpg", size, number)
        environment = {**os.environ, "NEMO_HOME": f"{name}/home", "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
        with cluster(folder, workers, environment) as (address, processes):
            more = ["--scheduler", address] if workers else ["--jobs", str(THREADS)]
            batch(first, folder / "first videos", environment, more)
            before = [_seconds(each) for each in processes]
            wall, command = batch(photos, folder / "videos", environment, more)
            made = sorted(path.stat().st_mtime for path in (folder / "videos").glob("*.mp4"))
            spent = [_seconds(each) - was for each, was in zip(processes, before, strict=True)]
        return Ran(items, wall, made[-1] - made[0], sum(spent[1:]), spent[0] if spent else 0.0, command)


def batch(photos: Path, videos: Path, environment: dict[str, str], more: Sequence[str]) -> tuple[float, float]:
    """Carry out a batch; its seconds, and those of CPU in the command itself."""
    import resource

    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    asked = [*COMMAND, "batch", str(photos), "--output", str(videos), "--local", "--duration", "2", *more]
    said = subprocess.run([*asked, "--json", "--quiet"], env=environment, capture_output=True, text=True, check=True)
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert json.loads(said.stdout)["left"] == 0  # noqa: S101 - else the figure would mean nothing
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@contextlib.contextmanager
def cluster(folder: Path, workers: int, environment: dict[str, str]) -> Iterator[tuple[str, list[int]]]:
    """A scheduler and so many workers; its address, and the processes, the scheduler's first. None for 0 workers."""
    started: list[subprocess.Popen[bytes]] = []
    file = folder / "scheduler.json"

    def start(*arguments: str) -> None:
        command = [sys.executable, "-m", "dask", *arguments, "--no-dashboard", "--scheduler-file", str(file)]
        quiet = subprocess.DEVNULL
        started.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=quiet, stderr=quiet))

    try:
        if workers:
            start("scheduler", "--host", "127.0.0.1", "--port", "0")
        for _ in range(workers):
            start("worker", "--no-nanny", "--nthreads", str(THREADS), "--local-directory", str(folder / "scratch"))
        yield (_address(file, workers) if workers else ""), [each.pid for each in started]
    finally:
        for each in reversed(started):
            each.kill()
            each.wait()


def _address(file: Path, workers: int) -> str:
    """The scheduler's address, once all workers have joined it."""
    from distributed import Client

    deadline = time.monotonic() + 60
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    with Client(scheduler_file=str(file), set_as_default=False) as client:
        client.wait_for_workers(workers, timeout=60)
        return str(client.scheduler.address)


def _seconds(process: int) -> float:
    """Seconds of CPU that a process has taken; 0 where the system does not tell."""
    try:
        told = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(told[11]) + int(told[12])) / TICKS


def _median(found: Sequence[Ran]) -> Ran:
    """The middle one by its wall time."""
    middle = statistics.median_low([each.wall for each in found])
    return next(each for each in found if each.wall == middle)


def _photograph(path: Path, size: tuple[int, int], seed: int) -> None:
    """Shapes and grain, each picture another one."""
    chance = np.random.default_rng(seed)
    coarse = Image.fromarray(chance.integers(0, 255, (12, 16, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    grain = chance.normal(0, 6, (size[1], size[0], 1))
    Image.fromarray(np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8)).save(path, quality=92)


if __name__ == "__main__":
    sys.exit(main(run, __doc__))
