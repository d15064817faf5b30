"""Two processes for `benchmarks.concurrency`: a paced backend that charges, and a client with many jobs at once.

    python -m benchmarks._crowd serve|work ORDER

ORDER is JSON. The backend prints its address and token as JSON and serves until its input ends; the client prints its
report. Pictures and videos are tiny: what is measured is the waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SAMPLE_SECONDS = 0.25
WAITING = ("queue", "generate")


@dataclass(frozen=True)
class Sample:
    """How the client stood: seconds of wall and CPU, KiB in memory, and jobs: waiting, with a stream, done."""

    wall: float
    cpu: float
    memory: int
    waiting: int
    streams: int
    done: int


def draw_quickly(directory: Path) -> Callable[..., None]:
    """A renderer that copies a tiny video, which it makes once in `directory`."""
    import av
    import numpy as np

    made = directory / "made.mp4"
    with av.open(str(made), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode())

    def draw(draft: Any, assets: Any, target: Path, *, progress: Any, **_: Any) -> None:
        shutil.copyfile(made, target)
        progress(1.0)

    return draw


def serve(order: dict[str, Any]) -> None:
    """Serve until the input ends."""
    from nemo_client import local

    directory = Path(order["directory"])
    directory.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {"generation_seconds": order["generation"], "pace": order["pace"]}
    with local.open(
        directory / "backend",
        credits=10**9,
        renderer=draw_quickly(directory),
        missing_glyphs=lambda text: "",
        **options,
    ) as backend:
        print(json.dumps({"url": backend.url, "token": backend.token}), flush=True)
        sys.stdin.read()


class Crowd:
    """Many jobs of one Studio, and samples of what they cost.

    The order's `window` ends it once all jobs have waited for so many seconds; `pauses` shortens the client's own.
    """

    def __init__(self, order: dict[str, Any]) -> None:
        self._jobs: int = order["jobs"]
        self._window: float = order.get("window", 0.0)
        self._pauses: float = order.get("pauses", 1.0)
        self._folder = Path(order["directory"])
        self._stages: dict[int, str] = {}
        self._began = time.monotonic()
        self._samples: list[Sample] = []

    async def work(self) -> None:
        """Start all jobs; report when all have finished, or have waited."""
        import av  # noqa: F401 - part of the baseline, not of the first job's memory

        from nemo_client import Studio

        async with await Studio.open("nemo", sleep=lambda seconds: asyncio.sleep(seconds * self._pauses)) as studio:
            media = [picture(number) for number in range(self._jobs)]
            self._began = time.monotonic()
            self._sample()
            jobs = asyncio.gather(*(self._job(studio, number, each) for number, each in enumerate(media)))
            watching = asyncio.ensure_future(self._watch())
            await asyncio.wait([jobs, watching], return_when=asyncio.FIRST_COMPLETED)
            if jobs.done():
                jobs.result()
            self._sample()
            print(json.dumps([asdict(each) for each in self._samples]), flush=True)
            os._exit(0)  # what is left waits for minutes, and nobody wants it

    async def _job(self, studio: Any, number: int, media: Any) -> None:
        from nemo_client import Caller, Destination, Wish

        def on_progress(progress: Any) -> None:
            self._stages[number] = progress.stage

        wish, place = Wish("a slow push-in", duration=1), Destination(self._folder, f"video-{number}")
        await studio.animate([media], wish, place, caller=Caller(on_progress))
        self._stages[number] = "finished"

    async def _watch(self) -> None:
        """Sample until all have waited long enough, if that is what is asked for."""
        since = 0.0
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            latest = self._sample()
            if not self._window or latest.waiting < self._jobs:
                since = latest.wall
            elif latest.wall - since > self._window:
                return

    def _sample(self) -> Sample:
        stages = list(self._stages.values())
        waiting = sum(stage in WAITING for stage in stages)
        sample = Sample(
            time.monotonic() - self._began, time.process_time(), _resident(), waiting,
            stages.count("generate"), stages.count("finished"),
        )  # fmt: skip
        self._samples.append(sample)
        return sample


def picture(number: int) -> Any:
    """A tiny picture of its own for each number."""
    import numpy as np

    from nemo_client import from_pixels

    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[0, 0], pixels[1, 1] = (number >> 8, number & 255, 7), (250, 20, 99)
    return from_pixels(pixels)


def _resident() -> int:
    """KiB of this process in memory."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """One of the two."""
    order = json.loads(sys.argv[2])
    if sys.argv[1] == "serve":
        serve(order)
    else:
        asyncio.run(Crowd(order).work())


if __name__ == "__main__":
    main()
