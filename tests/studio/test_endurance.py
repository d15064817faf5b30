"""Many jobs at once while a share of all requests meets a fault: small runs of `tools.endurance`, and its measures.

The full runs (1,000 jobs at once, round by round; 1,000 jobs over an hour) are those that its own page names.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.samples import mark_all_but_every
from tests.support.waiting import PATIENT_SECONDS
from tools._jobs import End, Job, Taken, by_job, judge, strays
from tools._measure import Held, held
from tools._virtual import VirtualLoop
from tools.endurance import Report

pytestmark = pytest.mark.long  # many processes, or minutes of waiting

ROOT = Path(__file__).parent.parent.parent
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which files are open, in /proc/self/fd")
RUNS = {
    "rounds": ("--jobs", "40", "--rounds", "3", "--share", "0.08", "--pauses", "0.01"),
    "hour": ("--hour", "--jobs", "40", "--share", "0.05"),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """Both runs, each in a process of its own: what a test's process holds beside it would be measured, too."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    report = tmp_path_factory.mktemp("endurance")
    running = {
        name: subprocess.Popen(
            [sys.executable, "-m", "tools.endurance", *options, "--json", str(report / name)],
            cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for name, options in RUNS.items()
    }  # fmt: skip
    yield running
    for process in running.values():
        process.kill()
        process.communicate()


@LINUX
@pytest.mark.long
@pytest.mark.parametrize("name", mark_all_but_every(2, list(RUNS), "nightly"))
def test_each_job_is_paid_once_and_nothing_is_left(runs: dict[str, subprocess.Popen[str]], name: str) -> None:
    """A video or an error of ours, one charge at the most, the ledger's; no file, thread, task or memory stays."""
    out, errors = runs[name].communicate(timeout=PATIENT_SECONDS)
    report: dict[str, Any] = json.loads(out or "{}")

    assert report.get("broken") == [], errors
    assert runs[name].returncode == 0
    assert report["charges"] > report["jobs"] / 2
    assert sum(report["faults"].values()) > report["jobs"] / 2
    assert name == "rounds" or report["virtual"] >= 3600


def of(name: str, **end: Any) -> Job:
    job = Job(*(int(part) for part in name.split("-")))
    job.ends.append(End(**end))
    return job


@pytest.mark.parametrize(
    ("end", "taken", "words"),
    [
        ({"wrong": "KeyError: 'x'"}, Taken(), "neither a video nor an error of ours"),
        ({"error": "E", "charged": "maybe"}, Taken(2, (100,)), "sent more than once"),
        ({"error": "E", "charged": "maybe"}, Taken(1, (100, 100)), "charged more than once"),
        ({"error": "E", "charged": "no"}, Taken(1, (100,)), "charged, and denied"),
        ({"error": "E", "charged": "yes"}, Taken(1), "not charged, and claimed"),
        ({"video": Path("nowhere.mp4"), "sha256": "0"}, Taken(1, (100,)), "not the one that was told"),
        ({"video": Path("nowhere.mp4")}, Taken(1), "nobody paid for"),
        ({"certainty": "exact", "spent": 50.0}, Taken(1, (100,)), "not the ledger's"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_promise_is_told(end: dict[str, Any], taken: Taken, words: str) -> None:
    """What the runs look for is found where it is there."""
    told = judge([of("1-2", **end)], {"1-2": taken})

    assert any(words in each for each in told), told


def test_a_kept_promise_is_not_told() -> None:
    """An error that says what the ledger says is an end like a video."""
    assert judge([of("1-2", error="E", charged="no")], {}) == []
    assert judge([of("1-2", error="E", charged="maybe")], {"1-2": Taken(1, (100,))}) == []


def test_a_file_that_nobody_told_of_is_a_stray(tmp_path: Path) -> None:
    """Halves of downloads count as left behind."""
    (tmp_path / "told.mp4").touch()
    (tmp_path / "half.part").touch()

    assert strays(tmp_path, {"told.mp4"}) == ["half.part"]


@LINUX
async def test_what_is_left_behind_is_seen(tmp_path: Path) -> None:
    """A file, a thread and a task more are found, and by name."""
    before, end = held(), threading.Event()
    thread = threading.Thread(target=end.wait, name="forgotten")
    thread.start()
    task = asyncio.ensure_future(asyncio.sleep(60))
    with (tmp_path / "open").open("w"):
        after = held()
    end.set()
    thread.join()
    task.cancel()

    assert after.beyond(before) == {
        "files": {str(tmp_path / "open"): 1},
        "threads": {"forgotten": 1},
        "tasks": {"sleep": 1},
    }
    assert held().beyond(after) == {}


def moment(objects: int = 1000, memory: float = 100.0, **tasks: int) -> Held:
    return Held({}, {}, tasks, objects, memory)


@pytest.mark.parametrize(
    ("moments", "words"),
    [
        ([moment(1000), moment(1600), moment(2200), moment(2800)], "objects grow"),
        ([moment(memory=100.0), moment(memory=103.0), moment(memory=106.0)], "memory grows"),
        ([moment(), moment(), moment(leaked=1)], "more is held"),
    ],
    ids=["objects", "memory", "tasks"],
)
def test_growth_from_round_to_round_is_told(moments: list[Held], words: str) -> None:
    """A leak comes every time."""
    report = Report(40, held=moments)
    report.judge_left()
    report.judge_growth(objects=100, memory=1)

    assert len(report.broken) == 1
    assert words in report.broken[0]


def test_what_comes_once_is_no_growth() -> None:
    """A module that is loaded on first use, or a cache that fills."""
    report = Report(40, held=[moment(1000, 100), moment(5000, 120), moment(5010, 120), moment(5005, 120)])
    report.judge_left()
    report.judge_growth(objects=100, memory=1)

    assert report.broken == []


def test_virtual_time_passes_only_while_nobody_works() -> None:
    """An hour of sleep takes no time, and while a thread works the clock stands still."""
    loop = VirtualLoop()

    async def work() -> tuple[float, float, float]:
        began = loop.time()
        await asyncio.sleep(3600)
        slept = loop.time()
        await asyncio.to_thread(threading.Event().wait, 0.05)
        return began, slept, loop.time()

    try:
        began, slept, worked = loop.run_until_complete(work())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()

    assert slept - began == pytest.approx(3600)
    assert worked == slept


def test_the_ledger_is_read_by_job() -> None:
    """A charge belongs to the message that it was taken for, and that one names its job."""
    from tests.support.ledger import LedgerReport

    entries = (
        {"kind": "message", "id": "r1", "text": "take 1-7: a slow push-in"},
        {"kind": "message", "id": "r2", "text": "take 1-8: a slow push-in"},
        {"kind": "charge", "run": "r1", "amount": 100},
    )

    assert by_job(LedgerReport(entries)) == {"1-7": Taken(1, (100,)), "1-8": Taken(1)}
