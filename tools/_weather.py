"""A local backend in bad weather: a share of all requests meets a random fault, over real sockets."""

from __future__ import annotations

import random
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nemo_client import local
from tests.support.faults import Fault, Faults

# Anywhere: what can happen to any request.
ANYWHERE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("refuse", {}),
    ("close_before_headers", {}),
    ("close_before_headers", {"accepted": False}),
    ("close_after_headers", {}),
    ("close_at", {"at": 60}),
    ("close_at", {"at": 60, "reset": True}),
    ("http_500", {}),
    ("html_502", {}),
    ("http_503", {"retry_after": 3}),
    ("http_503_accepted", {}),
    ("http_504", {}),
    ("http_429", {"retry_after": 3}),
    ("truncated_json", {}),
)
# Beside those, each in its place. A kind that stands twice comes twice as often.
PLACES: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "message": (
        ("error_in_stream", {}),
        ("error_in_stream", {"charged": True}),
        ("error_in_stream", {"charged": True, "made": True}),
        ("clean_end", {}),
        ("clean_end", {"works_on": False}),
        ("close_at", {"at": 400}),
        ("close_at", {"at": 400, "reset": True}),
        ("stop_on_hangup", {}),
        ("ask_back", {}),
        ("expired_token", {}),
    ),
    "render": (("duplicate_id", {}),),
    "render-status": (("answer", {"status": 404, "code": 404, "message": "There is no such render"}),),
    "files": (("expired_url", {}), ("close_at", {"at": 500}), ("close_at", {"at": 500, "reset": True})),
    "download": (("close_at", {"at": 500}),),
}
NOT_JSON = ("files", "download", "message")
IDLE = "idle"
"""Bytes, then nothing for a while, then the end: in this script a fault of its own."""


class Weather(Faults):
    """Faults at random: `share` of all requests meets one. `idle` is how many seconds a connection stands still."""

    def __init__(self, share: float, idle: float, seed: int = 0) -> None:
        super().__init__()
        self.share = share
        self._idle = idle
        self._random = random.Random(seed)  # noqa: S311 - weather, not a secret

    def begin_call(self, endpoint: str) -> Any:
        """The backend asks at every request, on its own thread."""
        self.clear()
        if self._random.random() < self.share:
            self._storm(endpoint)
        return super().begin_call(endpoint)

    def _storm(self, endpoint: str) -> None:
        known = [*ANYWHERE, *PLACES.get(endpoint, ()), (IDLE, {})]
        kind, parameters = self._random.choice(known)
        if kind == "truncated_json" and endpoint in NOT_JSON:
            kind = IDLE
        if kind == IDLE:
            self.add(Fault("stall", endpoint, seconds=self._idle, at=60), Fault("close_at", endpoint, at=60))
        else:
            self.add(Fault(kind, endpoint, **parameters))

    @property
    def tally(self) -> dict[str, int]:
        """How often which fault hit which endpoint; a stall comes with a cut, and only the cut counts."""
        return dict(Counter(f"{kind} {endpoint}" for kind, endpoint in self.fired if kind != "stall"))


def tiny_video(directory: Path) -> Path:
    """A real video of half a second, 32 pixels wide, made once in `directory`."""
    import av
    import numpy as np

    made = directory / "made.mp4"
    with av.open(str(made), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for shade in range(5):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), shade * 50, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return made


def copying(made: Path) -> Callable[..., None]:
    """A renderer that copies `made`."""

    def draw(draft: Any, assets: Any, target: Path, *, progress: Any, **_: Any) -> None:
        shutil.copyfile(made, target)
        progress(1.0)

    return draw


def serve(directory: Path, share: float, idle: float, seed: int) -> None:
    """Serve in a process of its own: the address and token first, then an answer for each line of input.

    A line is the share of faults from now on. The answer is the tally so far, as JSON.
    """
    import json

    weather = Weather(share, idle, seed)
    with local.open(
        directory / "backend", credits=10**9, pace=0, faults=weather, missing_glyphs=lambda text: "",
        renderer=copying(tiny_video(directory)),
    ) as backend:  # fmt: skip
        sys.stdout.write(json.dumps({"url": backend.url, "token": backend.token}) + "\n")
        sys.stdout.flush()
        for line in sys.stdin:
            weather.share = float(line)
            sys.stdout.write(json.dumps(weather.tally) + "\n")
            sys.stdout.flush()
