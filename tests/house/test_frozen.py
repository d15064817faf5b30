"""The outside holds: what workflows, scripts, journals and the backend see is the same whatever is rebuilt inside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nemo_client import AuthHandle, SessionHandle
from tests.frozen import outside, recorded

ROOT = Path(__file__).parent.parent.parent


def test_public_names_nodes_and_commands_are_those_that_were_kept() -> None:
    """Nothing is renamed, reordered or taken away; what is new comes last, with a default.

    Kept in tests/frozen/outside.json; `python -m tests.frozen.outside` adds what is new to it.
    """
    kept = json.loads(outside.KEPT.read_text(encoding="utf-8"))
    asked = [sys.executable, "-m", "tests.frozen.outside", "--print"]  # a process of its own: nothing is loaded before
    now = json.loads(subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout)

    assert outside.missing(kept, now) == []


async def test_a_whole_run_sends_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Upload, generate, edit, export and credits: each request as tests/frozen/requests.json has it.

    `KEEP_REQUESTS=1` in the environment writes that file.
    """
    keep = os.environ.get("KEEP_REQUESTS")
    requests = await recorded.record_requests(tmp_path, monkeypatch)
    text = json.dumps(requests, indent=1, ensure_ascii=False) + "\n"
    if keep:
        recorded.KEPT.write_text(text, encoding="utf-8")

    assert json.loads(text) == json.loads(recorded.KEPT.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("handle", "text"),
    [
        pytest.param(
            AuthHandle("nemo", "zh-CN"),
            {"profile": "nemo", "language": "zh-CN"},
            id="auth",
        ),
        pytest.param(
            SessionHandle("nemo", "auto", "generate-1", "s-1", "t-1", "u-1"),
            {
                "profile": "nemo",
                "language": "auto",
                "key": "generate-1",
                "session_id": "s-1",
                "task_id": "t-1",
                "account": "u-1",
            },
            id="session",
        ),
    ],
)
def test_handles_are_the_same_json(handle: Any, text: dict[str, str]) -> None:
    """Cached outputs and shared graphs hold them; a handle of today is read as it was written."""
    written = json.loads(handle.to_json()) if isinstance(handle.to_json(), str) else handle.to_json()

    assert {name: written[name] for name in text} == text
    assert type(handle).from_json(handle.to_json()) == handle
