"""What a batch of 10 to 2,000 items costs: time, processor and memory of `nemo-video batch` itself.

    python -m benchmarks.batch [--smoke] [--json FILE]

Two processes: a local backend that charges, without artificial delays, and the whole command with its journal, its
result lines and its page. Each size has a home, a journal and a folder of its own.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks._figures import Curve, Figure, main
from benchmarks.concurrency import serving

ROOT = Path(__file__).parent.parent
SIZES = (10, 50, 200, 500, 2000)
LABEL = "items of a batch"
SECONDS = 0.05
KIB_AN_ITEM = 64.0


@dataclass(frozen=True)
class Ran:
    """One batch: seconds of wall and CPU, and MiB in memory at the most."""

    items: int
    done: int
    wall: float
    cpu: float
    most: float


def ran(items: int, address: dict[str, str]) -> Ran:
    """A batch of so many items, in a process of its own."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        photos = Path(name) / "photos"
        photos.mkdir()
        for number in range(items):
            _picture(number).save(photos / f"shot{number}.png")
        environment = {**os.environ, **address, "NEMO_HOME": f"{name}/home", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "benchmarks.batch", "--work", str(photos), f"{name}/videos"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        return Ran(items, **json.loads(done.stdout))


def _picture(number: int):  # type: ignore[no-untyped-def]
    from PIL import Image

    return Image.new("RGB", (32, 24), (number % 256, number // 256, 90))


def work(photos: str, folder: str) -> None:
    """The command in this process; what it cost, as JSON."""
    from nemo_client._cli.main import main as command

    began, cpu = time.monotonic(), time.process_time()
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        command(["batch", photos, "--output", folder, "--duration", "1", "--json", "--quiet"])
    done = json.loads(said.getvalue())["done"]
    cost = Ran(0, done, time.monotonic() - began, time.process_time() - cpu, _most())
    print(json.dumps({name: value for name, value in asdict(cost).items() if name != "items"}))


def _most() -> float:
    """MiB that this process had in memory at the most."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def measured(sizes: Sequence[int]) -> list[Ran]:
    """One batch of each size, each with a backend of its own."""
    found = []
    for size in sizes:
        with serving(SECONDS, pace=0) as address:
            found.append(ran(size, address))
    return found


def run(smoke: bool) -> list[Figure]:
    """What an item costs in a large batch, and whether all were made."""
    small, large = measured((2, 6) if smoke else SIZES[2:4])  # both with as many at once as there may be
    more = large.items - small.items
    cpu, memory = (large.cpu - small.cpu) / more * 1000, (large.most - small.most) / more * 1024
    made = float(large.items - large.done)
    return [
        Figure(f"batch of {large.items}: not made", made, None, "items", "0", made == 0),
        Figure(f"batch of {large.items}: CPU", cpu, None, "ms/item", "", None, f"{large.wall:.0f} s in all"),
        Figure(
            f"batch of {large.items}: memory", max(memory, 0.0), None, "KiB/item", f"<= {KIB_AN_ITEM:g}",
            memory <= KIB_AN_ITEM, f"{large.most:.0f} MiB in all",
        ),
    ]  # fmt: skip


def curve(smoke: bool) -> list[Curve]:
    """How a batch grows with its items."""
    found = measured((2, 4) if smoke else SIZES)
    sizes = [each.items for each in found]
    return [
        Curve("batch: time", LABEL, sizes, [each.wall for each in found], "s"),
        Curve("batch: CPU", LABEL, sizes, [each.cpu for each in found], "s"),
        Curve("batch: memory in all", LABEL, sizes, [each.most for each in found], "MiB"),
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(*sys.argv[2:4])
        sys.exit(0)
    sys.exit(main(run, __doc__))
