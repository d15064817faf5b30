"""Time lost by waiting: how long after its end a render is noticed, and how many looks that takes.

    python -m benchmarks.waiting [--smoke] [--json FILE]

Renders of 5 to 90 s on a virtual clock, watched by the project's pace and by polls of 5 s (ComfyUI's partner nodes)
and 30 s; then a few whole exports in real time, from the local backend behind a socket. `best blind` is what no
schedule can beat that is told nothing but that the length lies between 5 and 90 s.
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
from nemo_client._studio.poll_schedule import Habits, Pace

SHORTEST, LONGEST = 5.0, 90.0
TARGET = "median <= 0.5 s, worst <= 3 s, looks <= a 5 s poll's"

Shape = Callable[[float], "float | None"]
SHAPES: dict[str, Shape] = {
    "linear": lambda share: float(int(99.9 * share)),
    "steps of 10 %": lambda share: 10.0 * int(10 * share),
    "steps of 25 %": lambda share: 25.0 * int(4 * share),
    "stuck at 99 from half": lambda share: float(min(99, int(200 * share))),
    "none told": lambda share: None,
}


@dataclass(frozen=True)
class Watched:
    """Seconds from the end of each render to the look that showed it, and the looks on average."""

    late: Sequence[float]
    looks: float

    @property
    def median(self) -> float:
        return statistics.median(self.late)

    @property
    def worst(self) -> float:
        return max(self.late)

    def better_than(self, poll: Watched) -> bool:
        return self.median <= 0.5 and self.worst <= 3.0 and self.looks <= poll.looks


def watch(shape: Shape, length: float, pace: Pace) -> tuple[float, int]:
    """Watch a render of `length` seconds on a virtual clock: how late its end is seen, and the looks."""
    now, looks, told = 0.0, 0, shape(0.0)
    while True:
        pace.observe(now, told)
        now += pace.pause(now)
        looks += 1
        if now >= length:
            return now - length, looks
        told = shape(now / length)


def watch_all(shape: Shape, lengths: Sequence[float], pace: Callable[[float], Pace], habits: Habits) -> Watched:
    """Watch renders one after another; what they teach counts for those that follow."""
    seen = []
    for length in lengths:
        each = pace(length)
        each.stretch = habits.stretch
        late, looks = watch(shape, length, each)
        habits.learn(each, length + late)
        seen.append((late, looks))
    return Watched([late for late, _ in seen], statistics.fmean(looks for _, looks in seen))


def untaught(shape: Shape, lengths: Sequence[float], pace: Callable[[float], Pace]) -> Watched:
    """Watch each render as the first one."""
    seen = [watch(shape, length, pace(length)) for length in lengths]
    return Watched([late for late, _ in seen], statistics.fmean(looks for _, looks in seen))


def fixed(lengths: Sequence[float], pause: float) -> Watched:
    """A poll with a fixed pause."""
    looks = [math.ceil(length / pause) for length in lengths]
    late = [count * pause - length for count, length in zip(looks, lengths, strict=True)]
    return Watched(late, statistics.fmean(looks))


def best_blind(looks: float) -> float:
    """Mean seconds late of the best schedule for lengths spread evenly over the range, with so many looks on average.

    With pauses d(t), looks are the integral of S/d and lateness that of f d/2 (f the density of the end, S the share
    that still runs). Their product is least where d goes with the root of S/f, here of LONGEST - t.
    """
    spread = LONGEST - SHORTEST
    return (2 / 3) ** 2 * spread / 2 / looks


def virtual(lengths: Sequence[float]) -> Iterator[Figure]:
    """A row a shape: first without, then with what earlier renders here taught."""
    five, thirty = fixed(lengths, 5.0), fixed(lengths, 30.0)
    chance = random.Random(1)  # noqa: S311 - lengths, not secrets
    usual = {length: length * chance.uniform(0.9, 1.1) for length in lengths}
    once = Habits()
    watch_all(SHAPES["stuck at 99 from half"], lengths[:20], lambda _: Pace(), once)
    for name, shape in SHAPES.items():
        fresh = untaught(shape, lengths, lambda _: Pace())
        yield _row(f"wait, {name}, first render ever", fresh, five, thirty)
        if name.startswith("stuck"):
            yield _row(f"wait, {name}, after some", watch_all(shape, lengths, lambda _: Pace(), once), five, thirty)
        if name.startswith(("stuck", "none")):
            known = untaught(shape, lengths, lambda length: Pace(usual[length]))
            yield _row(f"wait, {name}, usual length known (+-10 %)", known, five, thirty)


def _row(name: str, ours: Watched, five: Watched, thirty: Watched) -> Figure:
    note = (
        f"mean {statistics.fmean(ours.late):.2f}, worst {ours.worst:.1f} s, {ours.looks:.1f} looks (5 s poll: worst "
        f"{five.worst:.1f} s, {five.looks:.1f}; 30 s poll: median {thirty.median:.1f} s)"
    )
    if name.startswith("wait, none told, first"):
        note += f"; best blind mean {best_blind(ours.looks):.2f} s"
    judged = not name.startswith("wait, none told")  # nothing told: nothing promised
    met = ours.better_than(five) if judged else None
    return Figure(name, ours.median, five.median, "s late", TARGET if judged else "", met, note)


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
    steps = 12 if smoke else 171
    lengths = [SHORTEST + (LONGEST - SHORTEST) * step / (steps - 1) for step in range(steps)]
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
