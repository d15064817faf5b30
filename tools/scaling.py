"""What so many videos a day need, and which limit is met next, reckoned from the figures that were measured.

    python -m tools.scaling [VIDEOS_A_DAY …] [--seconds 90] [--figures docs/scaling.json] [--draw docs/scaling.png]
        [--page docs/scaling.md]

The figures are those of `python -m benchmarks.fleet --json docs/scaling.json`; what they do not hold is a constant
here, with where it comes from. The picture needs matplotlib. `docs/scaling.md` shows both tables as they are printed,
and the figures that it tells: `--page` brings all of them up to date there.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIGURES = Path(__file__).parent.parent / "docs" / "scaling.json"
SCALES = (10_000, 10_000_000)
DAY = 86_400.0
YEAR = 365
GIB = 2.0**30

STREAMS = 64  # `streams` of a profile, where nothing else is set
WRITING = 20.0  # seconds a day in which upkeep forgets what lies behind old videos, for each home directory
CORES = 8  # of a machine, and of a database server: an example
PROCESS = 0.12 * GIB  # measured: benchmarks.batch, 64 items at once
LOOKS = 33.0  # measured: benchmarks.waiting, at renders of 5 to 90 s that tell no progress, the most of all kinds
PICTURE_MB, VIDEO_MB = 1.0, 8.0  # assumed
_BESIDE = 1.4  # numbers in the picture that are nearer would cover each other
ROWS = 6  # measured: benchmarks.fleet, "a video: tables and indexes"


@dataclass(frozen=True)
class Costs:
    """What a video costs: milliseconds, transactions, bytes; `seconds` is the time in flight."""

    seconds: float
    client: float
    stream: float
    server: float
    writes: float
    reads: float
    requests: float
    size: float
    log: float
    admission: float
    among: float
    counted: float
    sqlite: float
    forgotten: float

    @property
    def of_process(self) -> float:
        """Milliseconds of the client's processor, its stream among them."""
        return self.client + self.stream * self.seconds

    def admitting(self, videos: float, *, limits: bool = False) -> float:
        """The share of its time that an account admits messages: one at a time, each looks at all that are out."""
        rate = videos / DAY
        taken = self.admission + self.among * rate * self.seconds + (self.counted * videos if limits else 0.0)
        return rate * taken / 1000


@dataclass(frozen=True)
class Limit:
    """Something that can be used up: its share at so many videos a day. `code` says that no setting moves it."""

    name: str
    share: Callable[[float], float]
    code: bool = False

    @property
    def most(self) -> float:
        """The videos a day at which all of it is used."""
        low, high = 1.0, 1e12
        while high / low > 1.0001:
            middle = math.sqrt(low * high)
            low, high = (middle, high) if self.share(middle) < 1 else (low, middle)
        return low


def costs(figures: Mapping[str, float], seconds: float) -> Costs:
    """The costs by the names that `benchmarks.fleet` gives its figures."""
    alone, crowd = figures["admission, 0 out on its account"], 10_000
    return Costs(
        seconds=seconds,
        client=figures["a video: CPU of its client, PostgreSQL"],
        stream=figures["a stream that is read: CPU"],
        server=figures["a video: CPU of PostgreSQL"],
        writes=figures["a video: writing transactions"],
        reads=figures["a video: reading transactions"],
        requests=figures["a video: requests"] + LOOKS,
        size=figures["a video: tables and indexes"] * 1024,
        log=figures["a video: write-ahead log"] * 1024,
        admission=alone,
        among=(figures[f"admission, {crowd:,} out on its account"] - alone) / crowd,
        counted=(figures[f"admission, a day of {crowd:,} counted"] - alone) / crowd,
        sqlite=3 * min(figures["SQLite, 1 process"], figures["SQLite, 8 processes"]),
        forgotten=max(figures[f"upkeep, a video is forgotten, {each}"] for each in ("SQLite", "PostgreSQL")),
    )


def limits(cost: Costs) -> list[Limit]:
    """All that is known, the nearest first."""
    found = [
        Limit(f"{STREAMS} streams of one process (the default)", lambda v: v / DAY * cost.seconds / STREAMS),
        Limit("one core of one process", lambda v: v / DAY * cost.of_process / 1000),
        Limit(f"{CORES} cores of processes", lambda v: v / DAY * cost.of_process / 1000 / CORES),
        Limit("admissions of one account", cost.admitting),
        Limit("admissions with run_limit or day_limit", lambda v: cost.admitting(v, limits=True), code=True),
        Limit("writes of one SQLite file", lambda v: v / DAY * cost.writes / cost.sqlite),
        Limit(f"{CORES} cores of PostgreSQL", lambda v: v / DAY * cost.server / 1000 / CORES),
        Limit("videos that upkeep forgets, one home directory", lambda v: v * cost.forgotten / 1000 / WRITING),
    ]
    return sorted(found, key=lambda each: each.most)


def needs(cost: Costs, videos: float) -> list[tuple[str, str]]:
    """What so many videos a day need, spread evenly over the day."""
    rate = videos / DAY
    flying = rate * cost.seconds
    processes = math.ceil(flying / STREAMS)
    both = cost.writes + cost.reads
    return [
        ("videos a second", short(rate)),
        (f"in flight at once, {cost.seconds:g} s each", short(flying)),
        (f"processes, {STREAMS} streams each", f"{processes:,}"),
        ("their cores", short(rate * cost.of_process / 1000)),
        ("their memory", size(processes * PROCESS)),
        ("connections to the database", f"{processes:,}"),
        ("journal transactions a second", f"{short(rate * both)}, {short(rate * cost.writes)} of them writing"),
        ("cores of the database", short(rate * cost.server / 1000)),
        ("rows a day", short(videos * ROWS)),
        ("tables and indexes a day / a year", f"{size(videos * cost.size)} / {size(videos * cost.size * YEAR)}"),
        ("write-ahead log a day, at least", size(videos * cost.log)),
        ("requests to the backend a second", short(rate * cost.requests)),
        (
            f"up / down, {PICTURE_MB:g} MB and {VIDEO_MB:g} MB a video",
            f"{bits(rate * PICTURE_MB)} / {bits(rate * VIDEO_MB)}",
        ),
    ]


def tables(cost: Costs, scales: Sequence[float]) -> str:
    """What is needed, and the limits, as Markdown."""
    head = [f"{scale:,.0f} a day" for scale in scales]
    rows = [[name for name, _ in needs(cost, 1.0)], *([told for _, told in needs(cost, scale)] for scale in scales)]
    needed = _table(["needed", *head], list(zip(*rows, strict=True)))
    shares = [
        (each.name, f"{short(each.most)}", *(used(each.share(scale)) for scale in scales)) for each in limits(cost)
    ]
    return f"{needed}\n\n{_table(['limit', 'all used at', *head], shares)}\n"


def update_tables(page: str, figures: Mapping[str, float], cost: Costs) -> str:
    """The page with these figures in its table of what was measured, and with both tables that follow from them."""
    needed, limited = tables(cost, SCALES).strip().split("\n\n")
    for head, table in (("| needed |", needed), ("| limit | all used at |", limited)):
        start = page.index(head)
        page = page[:start] + table + page[page.index("\n\n", start) :]
    start = page.index("| figure |")
    end = page.index("\n\n", start)
    lines = page[start:end].splitlines()
    return page[:start] + "\n".join([*lines[:2], *(_update_row(row, figures) for row in lines[2:])]) + page[end:]


def _update_row(row: str, figures: Mapping[str, float]) -> str:
    name, _, *others = row.removeprefix("| ").removesuffix(" |").split(" | ")
    return f"| {' | '.join([name, short(figures[name]), *others])} |"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def short(number: float) -> str:
    """Two digits that count, no more than are known."""
    if number == 0:
        return "0"
    digits = 1 - math.floor(math.log10(abs(number)))
    return f"{round(number, digits):,.{max(digits, 0)}f}"


def used(share: float) -> str:
    """A share of a limit."""
    return f"{short(share * 100)} %" if share < 1 else f"{short(share)} times"


def size(number: float) -> str:
    """Bytes."""
    power = min(int(math.log(max(number, 1), 1024)), 5)
    return f"{short(number / 1024**power)} {('B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB')[power]}"


def bits(megabytes: float) -> str:
    """Megabytes a second as a line's width."""
    return f"{short(megabytes * 8)} Mbit/s" if megabytes < 125 else f"{short(megabytes / 125)} Gbit/s"


def read(path: Path) -> tuple[dict[str, float], dict[str, Any]]:
    """The figures by their names, and the machine."""
    report = json.loads(path.read_text(encoding="utf-8"))
    return {each["name"]: each["ours"] for each in report["figures"]}, report["machine"]


def draw(cost: Costs, machine: Mapping[str, Any], path: Path) -> None:
    """The share of each limit over the videos a day, on logarithmic axes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    page, panel = pyplot.subplots(figsize=(9.5, 7.6), layout="constrained")
    across = [10 ** (3 + step / 20) for step in range(101)]
    before = 1.0
    for number, each in enumerate(limits(cost), 1):
        label = f"{number}  {each.name}: {short(each.most)}"
        shade = str(0.05 + 0.05 * number)
        panel.plot(across, list(map(each.share, across)), "--" if each.code else "-", color=shade, label=label)
        height = 1.0 if each.most > _BESIDE * before else 0.4
        panel.text(_where(each, height), height, str(number), ha="center", va="center", fontsize=9,
                   bbox={"boxstyle": "circle,pad=0.22", "facecolor": "white", "edgecolor": shade})  # fmt: skip
        before = each.most
    panel.axhspan(1, 10, color="0.9", zorder=0)
    panel.axhline(1, color="black", linewidth=1)
    panel.text(1.15e3, 4.5, "over the limit", fontsize=9)
    for scale, words in zip(SCALES, ("10 thousand", "10 million"), strict=True):
        panel.axvline(scale, color="black", linestyle=":", linewidth=1.6)
        panel.text(scale, 12, f"{words} a day", fontsize=10, weight="bold", ha="center")
    panel.set(xscale="log", yscale="log", xlim=(1e3, 1e8), ylim=(1e-5, 10), xlabel="videos a day",
              ylabel="share of what there is")  # fmt: skip
    panel.grid(visible=True, which="major", alpha=0.3)
    title = "limits, and the videos a day that use all of each (solid: moved by settings; dashed: by new code)"
    page.legend(title=title, loc="outside lower center", ncols=2, fontsize=9.5, title_fontsize=9.5, frameon=False)
    known = f"{machine['cores']} cores of {machine['processor']}, {machine['system']}, Python {machine['python']}"
    page.suptitle(f"Reckoned from figures of {known}; {cost.seconds:g} s a video", fontsize=9)
    page.savefig(path, dpi=110)
    pyplot.close(page)


def _where(limit: Limit, share: float) -> float:
    return Limit(limit.name, lambda videos: limit.share(videos) / share).most


def main() -> int:
    """Print the tables; draw the picture and update the page where that is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("videos", nargs="*", type=float, default=SCALES, help="videos a day")
    parser.add_argument("--seconds", type=float, default=90.0, help="how long a video is in flight")
    parser.add_argument("--figures", type=Path, default=FIGURES, help="what benchmarks.fleet wrote with --json")
    parser.add_argument("--draw", type=Path, metavar="PICTURE")
    parser.add_argument("--page", type=Path, help="the page whose tables are brought up to date")
    given = parser.parse_args()
    figures, machine = read(given.figures)
    cost = costs(figures, given.seconds)
    sys.stdout.write(tables(cost, given.videos))
    if given.draw is not None:
        draw(cost, machine, given.draw)
    if given.page is not None:
        given.page.write_text(update_tables(given.page.read_text(encoding="utf-8"), figures, cost), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
