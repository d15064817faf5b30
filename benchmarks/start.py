"""What the pack adds to ComfyUI's start: its loading against an empty pack's, in turns, and what it does meanwhile.

    python -m benchmarks.start [--smoke] [--json FILE]

`COMFYUI_PATH` names a ComfyUI checkout and `COMFYUI_PYTHON` its interpreter; without them the packages that ComfyUI
imports stand for it. Each load happens in a child forked from a process that is as far as ComfyUI is by then. Bytecode
is there already, as at every start but the first. Wall time tells of the neighbours on a busy machine, too; processor
time does not.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks._figures import Figure, main

PACK = Path(__file__).parent.parent
TARGET_MS = 30.0
RUNS = 21


def run(smoke: bool) -> list[Figure]:
    """Milliseconds that the pack adds, and how much it touches beside memory."""
    target = f"<= {TARGET_MS:.0f} ms more"
    if not hasattr(os, "fork"):
        return [Figure("added to ComfyUI's start", 0.0, None, "ms", target, None, "needs a system that forks")]
    checkout = "" if smoke else os.environ.get("COMFYUI_PATH", "")
    report = loaded(3 if smoke else RUNS, checkout)
    where = "in ComfyUI" if checkout else "beside the packages that ComfyUI imports"
    first = f"first start, without bytecode: {report['first'][0]:.0f} ms"
    times = []
    for index, name in enumerate(("load the pack; an empty pack", "the same, processor time")):
        ours, empty = (
            statistics.median(each[index] for each in column) for column in zip(*report["pairs"], strict=True)
        )
        added = statistics.median(mine[index] - theirs[index] for mine, theirs in report["pairs"])
        times.append(Figure(name, ours, empty, "ms", target, added <= TARGET_MS, f"{where}; {first}"))
    deeds = {name: report["deeds"][name] for name in ("written", "network", "programs", "threads")}
    done = [f"{name}: {each}" for name, found in deeds.items() for each in found]
    note = "; ".join(done[:3]) or "files written, connections, programs, threads"
    return [
        *times,
        Figure("done at its load", float(len(done)), None, "deeds", "0", not done, note),
    ]


def loaded(runs: int, checkout: str) -> dict[str, Any]:
    """What `_comfyui_start` reports."""
    python = os.environ.get("COMFYUI_PYTHON", sys.executable) if checkout else sys.executable
    with tempfile.TemporaryDirectory() as folder:
        empty, base = Path(folder, "empty_pack"), Path(folder, "base")
        empty.mkdir()
        (base / "custom_nodes").mkdir(parents=True)
        (empty / "__init__.py").write_text("NODE_CLASS_MAPPINGS = {}\n", encoding="utf-8")
        script = Path(__file__).with_name("_comfyui_start.py")
        command = [python, str(script), str(PACK), str(empty), str(base), str(runs), checkout]
        environment = {**os.environ, "NEMO_HOME": str(Path(folder, "home"))}
        answer = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        if Path(folder, "home").exists():
            raise AssertionError("the pack made its home directory when it was loaded")
    report: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return report


if __name__ == "__main__":
    sys.exit(main(run, __doc__))
