"""What the list of jobs costs, and a ComfyUI in which nothing happens.

    python -m benchmarks.jobs [--smoke] [--json FILE]

Among 10,000 jobs with drafts of 30 KB one is looked up, listed and forgotten: the time, and the most memory that Python
held for it. Then 2,000 such jobs: the processor's time that the pack takes for its look every two seconds with the
panel closed, and for what an open panel asks every five seconds, as shares of one core.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks._figures import Figure, main
from benchmarks._rows import fill, key
from nemo_client import Journal, find_job, forget_job, list_jobs

ROOT = Path(__file__).parent.parent
JOBS = 10_000
IDLE_JOBS = 2_000
DRAFT = 30_000
PANEL_SECONDS = 5.0

Work = Callable[[int], Awaitable[Any]]


def run(smoke: bool) -> list[Figure]:
    """Single jobs, then the idle pack."""
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(single(Path(folder), 60 if smoke else JOBS, 3 if smoke else 30))
    with tempfile.TemporaryDirectory() as folder:
        return figures + idle(Path(folder), 60 if smoke else IDLE_JOBS, 5 if smoke else 200)


async def single(folder: Path, jobs: int, times: int) -> list[Figure]:
    """One of many jobs is looked up, listed, and forgotten."""
    await asyncio.to_thread(fill, folder, 3 * jobs, draft=DRAFT)
    journal = Journal(folder)
    begin = time.perf_counter()
    await list_jobs(journal)
    taken_over = (time.perf_counter() - begin) / jobs * 1000

    def wanted(number: int) -> str:
        return key("generate", number * 997 % jobs).split("-")[1]

    async def forget(number: int) -> None:
        await forget_job(journal, await find_job(journal, wanted(number)), folder)

    works: dict[str, Work] = {
        "a job is looked up": lambda number: find_job(journal, wanted(number)),
        "50 jobs are listed": lambda _: list_jobs(journal),
        "a word is searched": lambda _: list_jobs(journal, search="no such word"),
        "a job is forgotten": forget,
    }
    figures = []
    for name, work in works.items():
        milliseconds, megabytes = await cost(times, work)
        note = f"among {jobs:,} jobs with drafts of {DRAFT // 1000} KB; at most {megabytes:.2f} MB"
        met = milliseconds < 50 and megabytes < 10
        figures.append(Figure(name, milliseconds, None, "ms", "< 50 ms, < 10 MB", met, note))
    await journal.close()
    once = "once, when an older journal is read first"
    return [*figures, Figure("an older journal's jobs are taken over", taken_over, None, "ms/job", "", None, once)]


async def cost(times: int, work: Work) -> tuple[float, float]:
    """The median milliseconds of `work`, and the most megabytes that Python held for it."""
    taken = []
    for number in range(times):
        begin = time.perf_counter()
        await work(number)
        taken.append((time.perf_counter() - begin) * 1000)
    tracemalloc.start()
    try:
        await work(times)
        most = tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()
    return statistics.median(taken), most


def idle(folder: Path, jobs: int, times: int) -> list[Figure]:
    """The processor's time of a pack that has nothing to do, with its panel closed and open."""
    fill(folder, 3 * jobs, draft=DRAFT)
    (folder / "owners").mkdir(exist_ok=True)
    before = os.environ.get("NEMO_HOME")
    os.environ["NEMO_HOME"] = str(folder)
    try:
        return _idle(jobs, times)
    finally:
        os.environ.pop("NEMO_HOME")
        if before is not None:
            os.environ["NEMO_HOME"] = before


def _idle(jobs: int, times: int) -> list[Figure]:
    run, board_module = pack("_comfy.run"), pack("_panel.jobs_view")
    network, board = run.get_network(), board_module.Board()

    def ask(page: Any) -> Any:
        return network.submit(board.jobs(page, "en")).result(600)

    for _ in range(3):  # what an older program left out is written by the first
        network.submit(network.look()).result(600)
    look = _processor_time(times, lambda: network.submit(network.look()).result(60))
    mark = ask(board_module.Page())["mark"]
    same = _processor_time(times, lambda: ask(board_module.Page(seen=mark)))
    whole = _processor_time(max(times // 10, 2), lambda: ask(board_module.Page()))
    closed = look / run.SNAPSHOT_SECONDS
    opened = closed + same / PANEL_SECONDS + whole / 60.0  # the list itself once a minute
    network.submit(network.journal().close()).result(60)
    note = f"{jobs:,} jobs with drafts of {DRAFT // 1000} KB"
    return [
        Figure("idle pack, panel closed", 100 * closed, None, "% of a core", "< 0.1 %", 100 * closed < 0.1, note),
        Figure("idle pack, panel open", 100 * opened, None, "% of a core", "< 1 %", 100 * opened < 1, note),
    ]


def _processor_time(times: int, work: Callable[[], object]) -> float:
    """Seconds of the processor, of all threads, that `work` takes once."""
    begin = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - begin) / times


def pack(name: str) -> Any:
    """A module of the pack's nodes, which import nothing of ComfyUI until they run in it."""
    if "benchmarked_pack" not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            "benchmarked_pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
        )
        assert spec is not None  # noqa: S101 - the file is there
        assert spec.loader is not None  # noqa: S101
        sys.modules["benchmarked_pack"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["benchmarked_pack"])
    return importlib.import_module(f"benchmarked_pack.nodes.{name}")


if __name__ == "__main__":
    sys.exit(main(run, __doc__))
