"""What a benchmark measures and how it is shown: one `Figure` a row of the table, one `Curve` a line of the picture.

A module of benchmarks offers `run(smoke)`, which gives its figures, and may offer `curve(smoke)`; by itself it runs as
`python -m benchmarks.NAME`. A smoke run is small: it only shows that the benchmark works, so its verdicts mean nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One measured number, beside the rival's where there is one.

    `met` is None where there is nothing to judge: no target, or the rival is not installed (`note` says so).
    """

    name: str
    ours: float
    rival: float | None
    unit: str
    target: str
    met: bool | None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours to the rival's; None without one."""
        return self.ours / self.rival if self.rival else None


@dataclass(frozen=True)
class Curve:
    """How a cost grows: `ys` in `unit` at each of `xs`."""

    name: str
    x_label: str
    xs: Sequence[float]
    ys: Sequence[float]
    unit: str


def median_of(runs: int, *functions: Callable[[], object]) -> list[float]:
    """The median seconds of each function. They take turns, so that other load on the machine meets all of them.

    A function that returns a float measured by itself: that number counts instead of the wall time.
    """
    taken: list[list[float]] = [[] for _ in functions]
    for turn in range(runs):
        order = range(len(functions)) if turn % 2 == 0 else reversed(range(len(functions)))
        for index in order:
            gc.collect()
            begin = time.perf_counter()
            answer = functions[index]()
            wall = time.perf_counter() - begin
            taken[index].append(answer if isinstance(answer, float) else wall)
    return [statistics.median(each) for each in taken]


def table(figures: Sequence[Figure]) -> str:
    """The figures for people, one line each."""
    rows = [("what", "ours", "rival", "ratio", "unit", "target", "", "")]
    for each in figures:
        verdict = {True: "met", False: "NOT MET", None: "-"}[each.met]
        numbers = (_short(each.ours), _short(each.rival), _short(each.ratio))
        rows.append((each.name, *numbers, each.unit, each.target, verdict, each.note))
    widths = [max(len(row[column]) for row in rows) for column in range(7)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if column in (1, 2, 3) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=False))
        ]
        lines.append("  ".join([*cells, row[7]]).rstrip())
    return "\n".join(lines)


def to_json(figures: Sequence[Figure], **more: object) -> str:
    """The figures for programs, with the machine that they were measured on and whatever else is given."""
    rows = [{**dataclasses.asdict(each), "ratio": each.ratio} for each in figures]
    return json.dumps({"machine": machine(), "figures": rows, **more}, indent=2) + "\n"


def machine() -> dict[str, object]:
    """What a figure means nothing without: processor, cores, system, Python."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def main(run: Callable[[bool], list[Figure]], doc: str | None) -> int:
    """The command line of one benchmark."""
    parser = argparse.ArgumentParser(description=(doc or "").split("\n", 1)[0])
    add_options(parser)
    given = parser.parse_args()
    figures = run(given.smoke)
    print(table(figures))
    write_json(given.json, to_json(figures, smoke=given.smoke))
    return 0


def add_options(parser: argparse.ArgumentParser) -> None:
    """What every benchmark understands."""
    parser.add_argument("--smoke", action="store_true", help="small and short: shows that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")


def write_json(path: Path | None, text: str) -> None:
    """Write the report where one was asked for."""
    if path is not None:
        path.write_text(text, encoding="utf-8")


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "?"
