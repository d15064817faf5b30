"""A client as a process of its own, for tests that kill, stop and continue it.

`python -m tests.process_client` loads everything once and then forks a process for each order on its standard input
(a JSON object a line). The client's clock runs SPEED times as fast, and agrees between processes that are given the
same `t0`, so that the pauses of a settling message take a moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nemo_client import (
    Destination,
    Journal,
    NemoError,
    Studio,
    Video,
    Wish,
    _journal,
    _tags,
    from_pixels,
    home,
    list_jobs,
)
from nemo_client._steps import State
from tests import process_backend

SPEED = 100
EPOCH = 1_800_000_000.0
AT_WORK = ("anyio._backends._asyncio", "av", "certifi", "httpcore", "httpx", "sqlalchemy.dialects.sqlite")
WRITES = ("_begin", "_move", "_finished", "_commit", "_claim", "_yield_claim", "_deliver")


class WatchedJournal(Journal):
    """A journal that sends its own process a signal right before or after a transaction: `strike` says which.

    `{"signal": "KILL", "when": "after", "number": 3}` is the third transaction that writes; with `"work"`, the
    number counts those of that name. `{"kill_after": 0.1}` is that many seconds after the commit as sent.
    """

    def __init__(self, strike: dict[str, Any] | None, wall: Callable[[], float]) -> None:
        super().__init__(home(), os.environ.get("NEMO_JOURNAL_URL") or None, wall=wall)
        self.written: list[str] = []
        self._strike_at = strike or {}

    async def _do(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await super()._do(self._watched, work, *arguments)

    def _watched(self, work: Callable[..., Any], *arguments: Any) -> Any:
        if work.__name__ not in WRITES:
            return work(*arguments)
        self.written.append(work.__name__)
        self._strike("before")
        result = work(*arguments)
        self._strike("after")
        if work.__name__ == "_commit" and "kill_after" in self._strike_at:
            kill_in(self._strike_at["kill_after"])
        return result

    def _strike(self, when: str) -> None:
        strike = self._strike_at
        if strike.get("when") != when or strike.get("work", self.written[-1]) != self.written[-1]:
            return
        counted = [name for name in self.written if name == strike.get("work", name)]
        if len(counted) == strike["number"]:
            # To this very thread, which then cannot go on for a moment, into a transaction that it would keep open.
            signal.pthread_kill(threading.get_ident(), getattr(signal, f"SIG{strike['signal']}"))


async def animate(order: dict[str, Any]) -> dict[str, Any]:
    """Animate a small picture as the order says; what it came to as plain data."""
    started, later = order["t0"], order.get("later", 0.0)

    def wall() -> float:
        return EPOCH + later + SPEED * (time.time() - started)

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / SPEED)

    journal = WatchedJournal(order.get("strike"), wall)
    try:
        async with await Studio.open(
            "nemo", journal=journal, sleep=sleep, clock=lambda: SPEED * time.monotonic(), wall=wall
        ) as studio:
            video = await _delivered(studio, journal, order)
            return {
                "video": str(video.path),
                "spent": video.money.spent,
                "sha256": video.sha256,
                "reused": video.reused,
                **({"steps": journal.written} if order.get("count") else {}),
            }
    except NemoError as error:
        pid = error.facts.get("pid")
        return {
            "error": error.id,
            "kind": type(error).__name__,
            "charged": error.charged,
            "text": str(error),
            "pid": pid,
        }
    finally:
        await journal.close()


async def _delivered(studio: Studio, journal: Journal, order: dict[str, Any]) -> Video:
    if order.get("resend"):
        (job,) = [job for job in await list_jobs(journal) if job.state in (State.FAILED.value, State.LOST.value)]
        await studio.resend(job)
    pixels = np.full((48, 32, 3), 90, np.uint8)
    pixels[12:24, 8:16] = (200, 80, 20)
    destination = Destination(Path(order["folder"]), "clip", tags=order.get("tags", {}))
    return await studio.animate([from_pixels(pixels)], Wish("slow push-in", duration=2), destination)


def kill_in(seconds: float) -> None:
    """End this process by SIGKILL in that many real seconds."""
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL))
    timer.daemon = True
    timer.start()


def kill_after_copy(source: Path, target: Path, *_: Any) -> None:
    """End this process by SIGKILL while a tagged copy is half written."""
    target.write_bytes(source.read_bytes()[:100])
    os.kill(os.getpid(), signal.SIGKILL)


def client(order: dict[str, Any]) -> None:
    """Carry out the order in this process, and write what it came to into `report`, with the journal's writes."""
    if "lease" in order:
        _journal.LEASE_SECONDS = order["lease"]  # type: ignore[misc]
        _journal.RENEW_SECONDS = order["lease"] / 4  # type: ignore[misc]
    if order.get("kill_tagging"):
        _tags._copy = kill_after_copy
    if "kill_after" in order:
        kill_in(order["kill_after"])
    began = time.monotonic()
    result = asyncio.run(animate(order))
    Path(order["report"]).write_text(json.dumps({**result, "seconds": time.monotonic() - began}))


def _forked(order: dict[str, Any]) -> int:
    """The id of a new process that carries out `order`."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        for name in [name for name in os.environ if name.startswith("NEMO_")]:
            del os.environ[name]
        os.environ.update(order.get("env", {}))
        os.close(0)
        (process_backend.serve if order["do"] == "serve" else client)(order)
        status = 0
    except BaseException:  # noqa: BLE001 - whatever ended this process is told, in the place of the report
        Path(order["report"]).write_text(json.dumps({"crash": traceback.format_exc()}))
    finally:
        os._exit(status)


def _awaited(pid: int) -> dict[str, int]:
    """How a process ended, or that it was stopped by a signal."""
    _, status = os.waitpid(pid, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        return {"stopped": os.WSTOPSIG(status)}
    return {"signal": os.WTERMSIG(status)} if os.WIFSIGNALED(status) else {"exit": os.WEXITSTATUS(status)}


def main() -> None:
    """Take orders until the standard input ends: `{"do": "wait", "pid": …}`, or one to start.

    What a client imports only once it works is loaded before, or each of them would do it again.
    """
    for name in AT_WORK:
        importlib.import_module(name)
    with contextlib.suppress(ImportError):  # the extra fleet
        importlib.import_module("sqlalchemy.dialects.postgresql.psycopg")
        importlib.import_module("psycopg")
    Image.init()
    for line in sys.stdin:
        order = json.loads(line)
        answer = _awaited(order["pid"]) if order["do"] == "wait" else {"pid": _forked(order)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
