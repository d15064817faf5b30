"""The local backend as a process of its own: it charges, keeps its ledger on disk, and is scripted over HTTP."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

from nemo_client import local
from tests.support.backend import write_video


def serve(order: dict[str, Any]) -> None:
    """Serve in the order's directory until the process is ended; `report` is told the address and the token."""
    directory = Path(order["directory"])
    directory.mkdir(parents=True, exist_ok=True)
    made = write_video(directory.with_suffix(".mp4"))

    def draw(draft: Any, assets: Any, target: Path, *, progress: Any, **_: Any) -> None:
        progress(0.5)
        shutil.copyfile(made, target)

    options: dict[str, Any] = {"pace": 0, "generation_seconds": order["generation_seconds"], "control": True}
    with local.open(directory, credits=1_000_000, renderer=draw, missing_glyphs=lambda text: "", **options) as backend:
        report = Path(order["report"])
        waiting = report.with_suffix(".new")
        waiting.write_text(json.dumps({"url": backend.url, "token": backend.token}))
        waiting.replace(report)
        threading.Event().wait()
