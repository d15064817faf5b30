"""How late the end of a render is noticed, and how many looks that takes, against polls with a fixed pause.

    python -m benchmarks.waiting [--smoke] [--json FILE]

First on a virtual clock, for renders of 5 to 90 s and for many short ones in a row, by what their progress tells,
against fixed pauses of 5 s (as in ComfyUI's partner nodes) and 30 s; then a few whole exports in real time, from the
local backend behind a socket.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._figures import Figure, main
from nemo_client._studio.poll_schedule import PollSchedule

SHORTEST, LONGEST = 5.0, 90.0
SHORT = 0.3
MEDIAN_TOLD, MEDIAN_UNTOLD, WORST, LOOKS = 0.5, 1.7, 3.3, 50

Shape = Callable[[float], "float | None"]
SHAPES: dict[str, Shape] = {
    "linear": lambda share: float(int(99.9 * share)),
    "steps of 10 %": lambda share: 10.0 * int(10 * share),
    "steps of 25 %": lambda share: 25.0 * int(4 * share),
    "stuck at 99 from half": lambda share: float(min(99, int(200 * share))),
    "none told": lambda share: None,
}
UNTOLD = ("stuck at 99 from half", "none told")
"""Shapes that tell nothing of the end when it comes near."""


@dataclass(frozen=True)
class Watched:
    """Seconds from the end of each render to the look that showed it, and the looks at each."""

    late: Sequence[float]
    looks: Sequence[int]

    @property
    def median(self) -> float:
        return statistics.median(self.late)

    @property
    def worst(self) -> float:
        return max(self.late)


def watch(shape: Shape, length: float, usual: float | None = None) -> tuple[float, int]:
    """Watch a render of `length` seconds on a virtual clock: how late its end is seen, and the looks."""
    schedule, now, looks, told = PollSchedule(usual), 0.0, 0, shape(0.0)
    while True:
        schedule.observe(now, told)
        now += schedule.pause(now)
        looks += 1
        if now >= length:
            return now - length, looks
        told = shape(now / length)


def watch_all(shape: Shape, lengths: Sequence[float]) -> Watched:
    """Watch renders one after another; what they took is known to those that follow, lateness included."""
    seen: list[tuple[float, int]] = []
    taken: list[float] = []
    for length in lengths:
        late, looks = watch(shape, length, statistics.median(taken[-20:]) if taken else None)
        taken.append(length + late)
        seen.append((late, looks))
    return Watched([late for late, _ in seen], [looks for _, looks in seen])


def fixed(lengths: Sequence[float], pause: float) -> Watched:
    """A poll with a fixed pause."""
    looks = [math.ceil(length / pause) for length in lengths]
    return Watched([count * pause - length for count, length in zip(looks, lengths, strict=True)], looks)


def virtual(lengths: Sequence[float]) -> Iterator[Figure]:
    """A row a shape, and one for a hundred short renders in a row."""
    five, thirty = fixed(lengths, 5.0), fixed(lengths, 30.0)
    for name, shape in SHAPES.items():
        yield _row(name, watch_all(shape, lengths), five, thirty)
    yield _short_row()


def _row(name: str, ours: Watched, five: Watched, thirty: Watched) -> Figure:
    note = (
        f"mean {statistics.fmean(ours.late):.2f}, worst {ours.worst:.1f} s; looks {statistics.fmean(ours.looks):.1f}, "
        f"at most {max(ours.looks)} (5 s poll: worst {five.worst:.1f} s, {statistics.fmean(five.looks):.1f}; "
        f"30 s poll: median {thirty.median:.1f} s)"
    )
    most = MEDIAN_UNTOLD if name in UNTOLD else MEDIAN_TOLD
    target = f"median <= {most} s, worst <= {WORST} s, looks <= {LOOKS}"
    met = ours.median <= most and ours.worst <= WORST and max(ours.looks) <= LOOKS
    return Figure(f"wait, {name}", ours.median, five.median, "s late", target, met, note)


def _short_row() -> Figure:
    """The latest of a hundred renders of SHORT seconds, against the first of them."""
    late = watch_all(SHAPES["none told"], [SHORT] * 100).late
    note = f"the first {late[0]:.2f} s late, the last {late[-1]:.2f} s"
    target, met = "no later than the first", max(late) <= late[0]
    return Figure(f"wait, a hundred renders of {SHORT} s in a row", max(late), late[0], "s late", target, met, note)


async def exports(lengths: Sequence[float], pauses: float) -> dict[str, list[float]]:
    """Whole exports in real time: seconds beyond the render's own, by the shape of its progress.

    `pauses` shortens the client's pauses.
    """
    shapes = ("linear", "stepped", "stuck_at_99")
    with tempfile.TemporaryDirectory() as folder:
        found = await asyncio.gather(*(_exports(Path(folder) / shape, shape, lengths, pauses) for shape in shapes))
    return dict(zip(shapes, found, strict=True))


async def _exports(folder: Path, shape: str, lengths: Sequence[float], pauses: float) -> list[float]:
    """One shape, one length after another; the backend charges, so that it is watched as the cloud is."""
    from benchmarks._crowd import draw_quickly, picture
    from nemo_client import Destination, Studio, Wish, local

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds * pauses)

    lost = []
    for length in lengths:
        place = folder / f"{length:g}"
        place.mkdir(parents=True)
        options: dict[str, Any] = {"credits": 10**6, "pace": 0, "missing_glyphs": lambda text: ""}
        options |= {"render_seconds": length, "render_progress": shape, "renderer": draw_quickly(place)}
        with local.open(place / "backend", **options) as backend, profile_at(place, shape, backend):
            async with await Studio.open(shape, directory=place, sleep=sleep) as studio:
                session = await studio.upload([picture(1)])
                made = await studio.generate(session, Wish("a slow push-in", duration=1))
                began = time.perf_counter()
                await studio.export(made.session, Destination(place, "video"))
                lost.append(time.perf_counter() - began - length)
    return lost


@contextmanager
def profile_at(home: Path, name: str, backend: Any) -> Iterator[None]:
    """A profile of that name in the home directory `home`, for a backend on this machine."""
    variable = f"NEMO_BENCHMARK_{name.upper()}"
    entry = {"api_url": backend.url, "token_env": variable}
    (home / "profiles.json").write_text(json.dumps({"profiles": {name: entry}}), encoding="utf-8")
    os.environ[variable] = backend.token
    with ExitStack() as stack:
        stack.callback(os.environ.pop, variable)
        yield


def run(smoke: bool) -> list[Figure]:
    """All figures."""
    lengths = [SHORTEST + step / 2 for step in range(int(2 * (LONGEST - SHORTEST)) + 1)]
    shuffled = random.Random(2).sample(lengths, len(lengths))  # noqa: S311
    figures = list(virtual(shuffled))
    real = [0.5] if smoke else [7.0, 13.0, 22.0]
    rival = fixed(real, 5.0)
    for shape, lost in asyncio.run(exports(real, 0.02 if smoke else 1.0)).items():
        seconds = ", ".join(f"{each:.2f}" for each in lost)
        note = f"renders of {', '.join(f'{each:g}' for each in real)} s: {seconds} s lost, download and check included"
        median = statistics.median(lost)
        figures.append(Figure(f"export in real time, {shape}", median, rival.median, "s lost", "", None, note))
    return figures


if __name__ == "__main__":
    sys.exit(main(run, __doc__))
