"""A client as a process of its own, for tests that kill, stop and continue it.

`python -m tests.support.process_client` loads everything once and then forks a process for each order on its standard
input (a JSON object a line). The client's clock runs SPEED times as fast, and agrees between processes that are given
the same `t0`, so that the pauses of a settling message take a moment.
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
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import nemo_client
from nemo_client import (
    Destination,
    Journal,
    NemoError,
    SessionHandle,
    Studio,
    Video,
    Wish,
    from_pixels,
    home,
    list_jobs,
)
from nemo_client._config.timings import use_timings
from nemo_client._files import metadata
from nemo_client._journal.steps import State
from tests.support import process_backend
from tests.support.timings import make_timings

SPEED = 100
EPOCH = 1_800_000_000.0
AT_WORK = ("anyio._backends._asyncio", "av", "certifi", "httpcore", "httpx", "sqlalchemy.dialects.sqlite")
PACKAGE = Path(nemo_client.__file__).parent
BELOW = ("http", "db_thread", "tunnels", "retry", "rate_limiter")
WRITES = (
    "_begin", "_move", "_record_begun_and_sent", "_record_finished", "_commit", "_claim", "_yield_claim", "_deliver",
)  # fmt: skip


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
    """Animate a small picture as the order says; its result as plain data."""
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


class Awaits:
    """Everything that a process waits for, from some moment on, by the lines of the client that lead there.

    `kill_at` is one of these places: when it is reached for the first time, the process ends by SIGKILL.
    """

    def __init__(self, kill_at: str = "") -> None:
        self.places: dict[str, None] = {}
        self._kill_at = kill_at

    def begin(self) -> None:
        asyncio.get_running_loop().set_task_factory(
            lambda loop, work, **rest: asyncio.Task(self.watch(work), loop=loop, **rest)
        )

    async def watch(self, work: Any) -> Any:
        return await _Watched(work, self._note)

    def _note(self, work: Any) -> None:
        lines = []
        while work is not None:
            frame = getattr(work, "cr_frame", None) or getattr(work, "gi_frame", None)
            path = Path(frame.f_code.co_filename) if frame is not None else Path()
            if frame is not None and PACKAGE in path.parents and path.stem not in BELOW:
                lines.append(f"{path.stem}:{frame.f_lineno}")
            work = getattr(work, "cr_await", None) or getattr(work, "gi_yieldfrom", None)
        place = " ".join(lines)
        if place == self._kill_at != "":
            os.kill(os.getpid(), signal.SIGKILL)
        if place:
            self.places[place] = None


class _Watched:
    """A coroutine that tells whenever it waits."""

    def __init__(self, work: Any, note: Callable[[Any], None]) -> None:
        self._work, self._note = work, note

    def __await__(self) -> Generator[Any, Any, Any]:
        give = self._work.send
        value: Any = None
        while True:
            try:
                waits_for = give(value)
            except StopIteration as end:
                return end.value
            self._note(self._work)
            try:
                give, value = self._work.send, (yield waits_for)
            except BaseException as error:  # noqa: BLE001 - handed on to the work
                give, value = self._work.throw, error


async def step(order: dict[str, Any]) -> dict[str, Any]:
    """Carry out one step on a session as the order says, in front of it what lies behind it; its result."""
    started, later = order["t0"], order.get("later", 0.0)

    def wall() -> float:
        return EPOCH + later + SPEED * (time.time() - started)

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / SPEED)

    awaits = Awaits(order.get("kill_at", ""))
    async with await Studio.open("nemo", sleep=sleep, clock=lambda: SPEED * time.monotonic(), wall=wall) as studio:
        session = await studio.upload([from_pixels(np.full((48, 32, 3), 90, np.uint8))])
        if order["after"] == "generate":
            session = (await studio.generate(session, Wish("slow push-in", duration=2))).session
        if order.get("watch"):
            awaits.begin()
        try:
            await awaits.watch(STEPS[order["step"]](studio, session))
        except NemoError as error:
            return {"error": error.id, "charged": error.charged, "text": str(error)}
        return {"places": list(awaits.places)}


STEPS: dict[str, Callable[[Studio, SessionHandle], Coroutine[Any, Any, object]]] = {
    "generate": lambda studio, at: studio.generate(at, Wish("slow push-in", duration=2)),
    "generate with another seed": lambda studio, at: studio.generate(at, Wish("slow push-in", duration=2, seed=1)),
    "edit": lambda studio, at: studio.edit(at, "make it 4 seconds"),
    "edit with other words": lambda studio, at: studio.edit(at, "make it 6 seconds"),
    "edit the newest state": lambda studio, at: studio.edit(
        at, "make it 6 seconds", when_changed="edit the newest state"
    ),
    "generate again": lambda studio, at: studio.edit(at, "make it 6 seconds", when_changed="generate again (pays)"),
    "chat": lambda studio, at: studio.chat(at, "make it 5 seconds"),
    "chat with other words": lambda studio, at: studio.chat(at, "make it 7 seconds"),
    "upload": lambda studio, at: studio.upload([from_pixels(np.full((32, 32, 3), 30, np.uint8))], onto=at),
}


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
    """Carry out the order in this process, and write its result into `report`, with the journal's writes."""
    if order.get("kill_tagging"):
        metadata._copy_with_tags = kill_after_copy
    if "kill_after" in order:
        kill_in(order["kill_after"])
    began = time.monotonic()
    lease = {"lease": order["lease"], "renew": order["lease"] / 4} if "lease" in order else {}
    with use_timings(make_timings(journal=lease)):
        result = asyncio.run((step if order["do"] == "step" else animate)(order))
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
