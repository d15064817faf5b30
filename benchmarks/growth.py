"""How cost grows with images, jobs, bytes and rows: the curves of all benchmarks, in one picture.

    python -m benchmarks.growth [--smoke] [--json FILE]

A curve's figure is its slope on logarithmic axes over its upper part: 1 is linear, 0 does not grow at all, more than 1
is a defect. The picture, `growth.png` beside this file, has a panel for each thing that grows, with a dashed line of
slope 1; it needs matplotlib.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks._figures import Curve, Figure, machine, main

PICTURE = Path(__file__).with_name("growth.png")
LINEAR = 1.15
"""What counts as linear: a slope of 1, and what the noise of a shared machine adds."""
UPPER = 3
"""So many of the largest sizes are the upper part."""


def run(smoke: bool) -> list[Figure]:
    """Measure all curves, draw them, and give each one's slope."""
    from benchmarks.__main__ import names

    curves: list[Curve] = []
    for name in names():
        curve = getattr(importlib.import_module(f"benchmarks.{name}"), "curve", None)
        if curve is not None:
            found = curve(smoke)
            curves += [found] if isinstance(found, Curve) else found
    if importlib.util.find_spec("matplotlib") is None:
        return [figure(each, "no picture: matplotlib is not installed") for each in curves]
    with tempfile.TemporaryDirectory() as folder:
        draw(curves, Path(folder, PICTURE.name) if smoke else PICTURE)
    return [figure(each) for each in curves]


def figure(curve: Curve, note: str = "") -> Figure:
    """How steeply a curve rises where it is largest."""
    steep = slope(curve.xs[-UPPER:], curve.ys[-UPPER:])
    last = f"{curve.ys[-1]:.3g} {curve.unit} at {curve.xs[-1]:,} ({curve.x_label})"
    return Figure(curve.name, steep, None, "slope", "<= 1", steep <= LINEAR, "; ".join(filter(None, [last, note])))


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """The slope of the straight line through the points on logarithmic axes."""
    across, up = [math.log(x) for x in xs], [math.log(max(y, 1e-9)) for y in ys]
    return statistics.linear_regression(across, up).slope if len(set(across)) > 1 else 0.0


def draw(curves: Sequence[Curve], path: Path) -> None:
    """One panel for each thing that grows."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import NullFormatter

    labels = list(dict.fromkeys(each.x_label for each in curves))
    down = -(-len(labels) // 2)
    page, panels = pyplot.subplots(down, min(len(labels), 2), figsize=(11, 4.2 * down), squeeze=False)
    for panel in panels.flat[len(labels) :]:
        panel.set_visible(False)
    for panel, label in zip(panels.flat, labels, strict=False):
        mine = [each for each in curves if each.x_label == label]
        for curve in mine:
            panel.plot(curve.xs, curve.ys, marker="o", markersize=4, label=f"{curve.name} ({curve.unit})")
        xs, ys = [x for each in mine for x in each.xs], [max(y, 1e-9) for each in mine for y in each.ys]
        across, up = math.sqrt(min(xs) * max(xs)), math.sqrt(min(ys) * max(ys))
        panel.plot(
            (min(xs), max(xs)), (up * min(xs) / across, up * max(xs) / across), "--", color="grey", label="slope 1"
        )
        panel.set(xscale="log", yscale="log", xlabel=label, ylim=(min(ys) / 5, max(ys) * 5))
        panel.xaxis.set_minor_formatter(NullFormatter())  # the powers of ten are enough
        panel.grid(visible=True, which="major", alpha=0.3)
        panel.legend(fontsize=8)
    known = machine()
    page.suptitle(
        f"{known['cores']} cores of {known['processor']}, {known['system']}, Python {known['python']}", fontsize=9
    )
    page.tight_layout()
    page.savefig(path, dpi=110)
    pyplot.close(page)


if __name__ == "__main__":
    sys.exit(main(run, __doc__))
