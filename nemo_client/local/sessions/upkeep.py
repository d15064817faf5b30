"""Keeping the preview's folder small: what was not used for long is removed when a backend starts."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from ..shared.disk import Lock, Owner, read_json
from ..shared.settings import USUAL_LIMITS

DAY_SECONDS = 24 * 3600.0
SESSION_DAYS = 90
RENDER_DAYS = 7
INCOMING_DAYS = 1


def tidy(
    directory: Path, owner: Owner, *, now: float | None = None, render_bytes: int = USUAL_LIMITS.render_bytes
) -> None:
    """Remove old renders, sessions untouched for 90 days, uploads no session names, and what crashes left."""
    now = time.time() if now is None else now
    owner.sweep()
    for path in _list_older(directory.glob("incoming/*"), now - INCOMING_DAYS * DAY_SECONDS):
        path.unlink(missing_ok=True)
    with Lock(directory / "runs.lock").hold():
        for path in directory.glob("runs/*.json"):
            entry = read_json(path)
            if entry and not owner.alive(entry["owner"]):
                path.unlink(missing_ok=True)
    _tidy_renders(directory, now, render_bytes)
    for path in _list_older(directory.glob("sessions/*/session.json"), now - SESSION_DAYS * DAY_SECONDS):
        shutil.rmtree(path.parent, ignore_errors=True)
    _tidy_uploads(directory, now)


def _tidy_renders(directory: Path, now: float, most: int) -> None:
    """The oldest files go first, by age and by what they take together; their jobs then read as gone."""
    files = sorted(directory.glob("renders/*"), key=_read_time)
    left = sum(path.stat().st_size for path in files)
    for path in files:
        if _read_time(path) < now - RENDER_DAYS * DAY_SECONDS or left > most:
            with contextlib.suppress(OSError):
                left -= path.stat().st_size
                path.unlink()
    for path in _list_older(directory.glob("jobs/*/job.json"), now - SESSION_DAYS * DAY_SECONDS):
        shutil.rmtree(path.parent, ignore_errors=True)


def _tidy_uploads(directory: Path, now: float) -> None:
    named = set()
    for path in directory.glob("sessions/*/session.json"):
        record = read_json(path)
        named |= {asset["stored"] for asset in (record or {}).get("assets", ())}
    for path in _list_older(directory.glob("uploads/*"), now - INCOMING_DAYS * DAY_SECONDS):
        if path.name not in named:
            path.unlink(missing_ok=True)


def _list_older(paths: Iterable[Path], moment: float) -> list[Path]:
    return [path for path in paths if _read_time(path) < moment]


def _read_time(path: Path) -> float:
    """When the file was changed last; one that has just gone counts as new."""
    try:
        return path.stat().st_mtime
    except OSError:
        return float("inf")
