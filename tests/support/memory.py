"""How much memory a piece of work takes: the peak of a process of its own, since libraries allocate out of sight."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.waiting import PATIENT_SECONDS

ROOT = Path(__file__).parent.parent.parent

_PROGRAM = """
import json, resource, sys
from nemo_client import NemoError
before = {}
def mark():
    before["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
def work():
%s
try:
    said = work()
except NemoError as error:
    said = {"error": error.id, "text": str(error)}
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before["peak"]
print(json.dumps({"said": said, "megabytes": grown / 1024}))
"""


def measured(code: str) -> tuple[Any, float]:
    """What `code` returns or raises, and by how many MB the peak of its process grew after it called `mark()`."""
    body = "\n".join(f"    {line}" for line in code.strip().splitlines())
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM % body],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENT_SECONDS,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    return told["said"], told["megabytes"]
